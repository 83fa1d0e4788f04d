//! A collector of traces: it takes spans by the OpenTelemetry protocol over HTTP, and writes them down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
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
        Self::answering(StatusCode::OK).await
    }

    /// Starts one that gives this answer to everything.
    pub async fn answering(status: StatusCode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::<Mutex<Taken>>::default();
        let take = async move |State(taken): State<Arc<Mutex<Taken>>>, headers: HeaderMap, body: Bytes| {
            taken.lock().unwrap().take(headers, body);
            status
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
    fn take(&mut self, headers: HeaderMap, body: Bytes) {
        let request = ExportTraceServiceRequest::decode(body).expect("a request of the protocol");
        for of_resource in request.resource_spans {
            let about: BTreeMap<String, String> =
                of_resource.resource.into_iter().flat_map(|about| about.attributes).map(attribute).collect();
            for of_scope in of_resource.scope_spans {
                assert_eq!(of_scope.scope.map(|scope| scope.name).as_deref(), Some("holdfast"));
                self.spans
                    .extend(of_scope.spans.into_iter().map(|span| Seen::of(&about["service.name"], span)));
            }
        }
        self.headers.push(headers);
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
