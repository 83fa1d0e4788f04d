//! The messages of the OpenTelemetry protocol that carry spans: a part of
//! <https://github.com/open-telemetry/opentelemetry-proto> 1.x, whose numbers never change. Tests read what is sent with the project's own
//! messages.

use std::borrow::Cow;

use prost::Message;

use super::span::{self, Kind, Span};

/// What is posted to `/v1/traces`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(uint32, tag = "14")]
    dropped_links_count: u32,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// What comes back.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Response {
    /// How many spans were not taken.
    pub(super) fn rejected(&self) -> u64 {
        let rejected = self.partial_success.as_ref().map_or(0, |partial| partial.rejected_spans);
        u64::try_from(rejected).unwrap_or(0)
    }

    /// Why not, or what should be done otherwise.
    pub(super) fn message(&self) -> &str {
        self.partial_success.as_ref().map_or("", |partial| &partial.error_message)
    }
}

/// Of spans that are not sampled nothing is sent.
const SAMPLED: u32 = 1;
/// The code of a span that failed.
const ERROR: i32 = 2;

/// The body of a request.
pub(super) fn body(resource: &[(&'static str, span::Value)], spans: &[Span]) -> Vec<u8> {
    let attributes = resource.iter().map(KeyValue::new).collect();
    let scope = Scope { name: "holdfast".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: spans.iter().map(WireSpan::from).collect() };
    let resource_spans =
        ResourceSpans { resource: Some(Resource { attributes }), scope_spans: vec![scope_spans] };
    Request { resource_spans: vec![resource_spans] }.encode_to_vec()
}

impl KeyValue {
    fn new((key, value): &(&'static str, span::Value)) -> Self {
        let value = match value {
            span::Value::Text(text) => Any::Text(text.clone().into_owned()),
            span::Value::Number(number) => Any::Number(*number),
            span::Value::Flag(flag) => Any::Flag(*flag),
        };
        Self { key: (*key).to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }
}

impl From<&Span> for WireSpan {
    fn from(span: &Span) -> Self {
        let link = |to: &super::id::SpanContext| Link {
            trace_id: to.trace.bytes().to_vec(),
            span_id: to.span.bytes().to_vec(),
            flags: SAMPLED,
        };
        Self {
            trace_id: span.context.trace.bytes().to_vec(),
            span_id: span.context.span.bytes().to_vec(),
            trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
            name: Cow::clone(&span.name).into_owned(),
            kind: match span.kind {
                Kind::Internal => 1,
                Kind::Server => 2,
                Kind::Producer => 4,
                Kind::Consumer => 5,
            },
            start_time_unix_nano: span.from.as_nanos(),
            end_time_unix_nano: span.to.as_nanos(),
            attributes: span.attributes.iter().map(KeyValue::new).collect(),
            links: span.links.iter().map(link).collect(),
            dropped_links_count: span.links_left_out,
            status: span.error.map(|error| Status { message: error.to_owned(), code: ERROR }),
            flags: SAMPLED,
        }
    }
}
