//! A collector of traces: it takes spans by the OpenTelemetry protocol over HTTP, and writes them down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A span that was taken.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The service that sent it.
    pub service: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// The span that it is below; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// What it is, by the protocol: 1 internal, 2 server, 4 producer, 5 consumer.
    pub kind: i32,
    /// When it began and ended, in nanoseconds.
    pub window: (u64, u64),
    /// What is said of it, as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it is linked to.
    pub links: Vec<String>,
    /// What other systems say of its trace.
    pub state: String,
    /// The class of the error that it ended with.
    pub error: Option<String>,
}

impl Seen {
    /// An attribute; empty where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Whether it is of a task.
    pub fn is_of(&self, task: uuid::Uuid) -> bool {
        self.attribute("holdfast.task.id") == task.to_string()
    }

    fn of(service: &str, span: Span) -> Self {
        // The first is the one that stands for no error at all, the second for success.
        let failed = span.status.filter(|status| status.code == 2);
        Self {
            service: service.to_owned(),
            trace: hex::encode(span.trace_id),
            id: hex::encode(span.span_id),
            parent: hex::encode(span.parent_span_id),
            name: span.name,
            kind: span.kind,
            window: (span.start_time_unix_nano, span.end_time_unix_nano),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            links: span.links.into_iter().map(|link| hex::encode(link.span_id)).collect(),
            state: span.trace_state,
            error: failed.map(|status| status.message),
        }
    }
}

#[derive(Default)]
struct Taken {
    spans: Vec<Seen>,
    headers: Vec<HeaderMap>,
}

/// What a collector answers.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// It has taken everything.
    Taken,
    /// It has taken everything but so many spans.
    TakenBut(i64),
    /// It takes nothing now, and asks for no rest.
    Busy,
    /// It takes nothing, ever.
    Refused,
}

impl Answer {
    fn takes(self) -> bool {
        matches!(self, Self::Taken | Self::TakenBut(_))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Taken => StatusCode::OK.into_response(),
            Self::TakenBut(rejected_spans) => {
                let error_message = "too many".to_owned();
                let partial = ExportTracePartialSuccess { rejected_spans, error_message };
                ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec().into_response()
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "0")]).into_response(),
            Self::Refused => StatusCode::BAD_REQUEST.into_response(),
        }
    }
}

/// A collector on this machine.
pub struct Collector {
    /// For `traces.endpoint`.
    pub endpoint: String,
    taken: Arc<Mutex<Taken>>,
    _running: JoinSet<()>,
}

impl Collector {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::answering(&[Answer::Taken]).await
    }

    /// Starts one that gives these answers in turn, and then the last of them.
    pub async fn answering(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (taken, answers) = (Arc::<Mutex<Taken>>::default(), answers.to_owned());
        let take = async move |State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes| {
            let mut taken = taken.lock().unwrap();
            let answer = answers[taken.headers.len().min(answers.len() - 1)];
            taken.take(headers, body, answer.takes());
            answer
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(taken.clone());
        let mut running = JoinSet::new();
        running.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, taken, _running: running }
    }

    /// The settings of a process that sends all its spans here.
    pub fn settings(&self) -> [(&str, &str); 2] {
        [("HOLDFAST_TRACES_ENDPOINT", &self.endpoint), ("HOLDFAST_TRACES_SAMPLE", "1")]
    }

    /// All spans that were taken.
    pub fn spans(&self) -> Vec<Seen> {
        self.taken.lock().unwrap().spans.clone()
    }

    /// The spans of a trace.
    pub fn trace(&self, trace: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }

    /// The headers of all requests.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.taken.lock().unwrap().headers.clone()
    }
}

impl Taken {
    fn take(&mut self, headers: HeaderMap, body: Bytes, takes: bool) {
        self.headers.push(headers);
        let request = ExportTraceServiceRequest::decode(body).expect("a request of the protocol");
        for of_resource in request.resource_spans.into_iter().filter(|_| takes) {
            let about: BTreeMap<String, String> =
                of_resource.resource.into_iter().flat_map(|about| about.attributes).map(attribute).collect();
            for of_scope in of_resource.scope_spans {
                assert_eq!(of_scope.scope.map(|scope| scope.name).as_deref(), Some("holdfast"));
                self.spans
                    .extend(of_scope.spans.into_iter().map(|span| Seen::of(&about["service.name"], span)));
            }
        }
    }
}

fn attribute(KeyValue { key, value, .. }: KeyValue) -> (String, String) {
    let value = match value.and_then(|AnyValue { value }| value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("{key} is {other:?}"),
    };
    (key, value)
}
