//! Sends spans to a collector, in batches and beside everything else.
//!
//! Its queue is bounded and nobody waits for it. A collector that is away is tried again and again with the batch at hand; meanwhile the
//! queue fills, and what has no room in it is dropped and counted.

use std::time::Duration;

use metrics::counter;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::config::{Export, TraceConfig};
use super::events;
use super::otlp::{self, Response};
use super::span::{Span, Value};
use super::tracer::{DROPPED, REFUSED, SENT, Tracer, show_all, tracer};
use crate::tls::Checks;

/// Spans that wait for the exporter: what a batch of 3,000 recorded attempts makes, if all are traced. Some 10 MiB at most.
const QUEUE: usize = 16 * 1024;
/// Spans of one request: about a mebibyte, which collectors take by default.
const MOST: usize = 2048;
/// How long a request waits for more spans.
const LINGER: Duration = Duration::from_secs(1);
/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long is waited before the first further try; each time twice as long.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Answers that ask for a further try, until a batch is given up: what a collector never takes must not keep it from all that follows.
const MOST_ANSWERS: u32 = 10;
/// No longer is waited, whatever the collector asks for.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How long what is left may take at the end of the process.
const FLUSH: Duration = Duration::from_secs(3);

/// The exporter of a process; without an endpoint it does nothing.
#[derive(Debug)]
pub struct Exporter {
    /// Ends with how many spans were left.
    running: JoinSet<u64>,
    end: CancellationToken,
}

impl Exporter {
    /// Begins to trace and to export. `program` and `instance` are what collectors show as the service and its instance.
    ///
    /// # Errors
    /// Nobody is trusted who could vouch for the collector.
    pub fn start(config: &TraceConfig, program: &str, instance: &str) -> anyhow::Result<Self> {
        show_all();
        let (mut running, end) = (JoinSet::new(), CancellationToken::new());
        if let Some(export) = &config.export {
            let (spans, queue) = mpsc::channel(QUEUE);
            let collector = Collector::new(export, program, instance)?;
            Tracer::start(export.share, spans);
            running.spawn(run(queue, collector, end.clone()));
        }
        Ok(Self { running, end })
    }

    /// Sends what is left, if the collector takes it within three seconds; to be called when everything else has ended.
    pub async fn finish(mut self) {
        self.end.cancel();
        let mut lost = 0;
        let ended = async {
            while let Some(ended) = self.running.join_next().await {
                lost += ended.unwrap_or_default();
            }
        };
        let in_time = timeout(FLUSH, ended).await.is_ok();
        if !in_time || lost > 0 {
            events::not_flushed(in_time.then_some(lost));
        }
    }
}

/// Sends spans until the end, and tells how many could not be sent then.
async fn run(mut spans: mpsc::Receiver<Span>, mut collector: Collector, end: CancellationToken) -> u64 {
    let (mut batch, mut left) = (Vec::new(), 0);
    while !end.is_cancelled() {
        tokio::select! {
            _ = spans.recv_many(&mut batch, MOST) => {}
            () = end.cancelled() => {}
        }
        gather(&mut spans, &mut batch, &end).await;
        left += collector.deliver(&batch, &end).await;
        batch.clear();
    }
    while let Ok(span) = spans.try_recv() {
        batch.push(span);
    }
    for batch in batch.chunks(MOST) {
        left += collector.deliver(batch, &end).await;
    }
    left
}

/// Takes what comes within a moment.
async fn gather(spans: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>, end: &CancellationToken) {
    let until = Instant::now() + LINGER;
    while batch.len() < MOST {
        let room = MOST - batch.len();
        tokio::select! {
            taken = spans.recv_many(batch, room) => if taken == 0 { return },
            () = sleep_until(until) => return,
            () = end.cancelled() => return,
        }
    }
}

/// Why a request was in vain.
enum Trouble {
    /// Nobody answered.
    Away(String),
    /// The next one may be answered otherwise; perhaps the collector says when.
    Busy(String, Option<Duration>),
    /// So it would be each time.
    Refused(String),
}

/// Where spans go.
struct Collector {
    client: Client,
    export: Export,
    resource: Vec<(&'static str, Value)>,
    /// When was last said that something is wrong, and how many spans had been dropped by then.
    said: Option<(Instant, u64)>,
}

impl Collector {
    fn new(export: &Export, program: &str, instance: &str) -> anyhow::Result<Self> {
        // Where nothing is encrypted nobody has to be trusted, and a machine without authorities can trace.
        let encrypted = export.endpoint.scheme() == "https";
        let checks = if encrypted { Checks::Everything } else { Checks::Nothing };
        let client = Client::builder()
            .timeout(REQUEST)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(export.trust.client(checks)?)
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let resource = vec![
            ("service.namespace", "holdfast".into()),
            ("service.name", format!("holdfast-{program}").into()),
            ("service.instance.id", instance.to_owned().into()),
            ("service.version", env!("CARGO_PKG_VERSION").into()),
            ("host.name", host.into()),
            ("process.pid", i64::from(std::process::id()).into()),
        ];
        Ok(Self { client, export: export.clone(), resource, said: None })
    }

    /// Sends a batch, however long nobody answers; after the end of the process only once more. Returns how many spans are left then.
    async fn deliver(&mut self, batch: &[Span], end: &CancellationToken) -> u64 {
        if batch.is_empty() {
            return 0;
        }
        let body = otlp::body(&self.resource, batch);
        let spans = batch.len() as u64;
        let (mut rest, mut answers) = (FIRST_REST, 0);
        loop {
            let last = end.is_cancelled();
            let (why, asked) = match self.post(body.clone()).await {
                Ok(answer) => {
                    let rejected = answer.rejected().min(spans);
                    counter!(SENT).increment(spans - rejected);
                    if rejected > 0 {
                        self.drop(rejected, REFUSED, answer.message());
                    }
                    return 0;
                }
                Err(Trouble::Refused(why)) => {
                    self.drop(spans, REFUSED, &why);
                    return 0;
                }
                Err(Trouble::Busy(why, asked)) => {
                    answers += 1;
                    if answers == MOST_ANSWERS {
                        self.drop(spans, REFUSED, &why);
                        return 0;
                    }
                    (why, asked)
                }
                Err(Trouble::Away(why)) => (why, None),
            };
            self.say(&why);
            if last {
                return spans;
            }
            tokio::select! {
                // Who asks for no rest gets one all the same.
                () = sleep(asked.unwrap_or(rest).clamp(rest, LONGEST_REST)) => {}
                () = end.cancelled() => {}
            }
            rest = (rest * 2).min(LONGEST_REST);
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<Response, Trouble> {
        let request = self.client.post(self.export.endpoint.clone()).headers(self.export.headers.clone());
        let sent = request.header(CONTENT_TYPE, "application/x-protobuf").body(body).send().await;
        // The address may not be anybody's to know, and is in the settings.
        let gone = |error: reqwest::Error| Trouble::Away(described(&error.without_url()));
        let answer = sent.map_err(gone)?;
        let status = answer.status();
        if status.is_success() {
            let body = answer.bytes().await.map_err(gone)?;
            // Whoever answers something else has taken the spans all the same.
            return Ok(Response::decode(body).unwrap_or_default());
        }
        let why = format!("the collector answers {status}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let asked =
                    answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                Err(Trouble::Busy(why, asked.map(Duration::from_secs)))
            }
            _ => Err(Trouble::Refused(why)),
        }
    }

    fn drop(&mut self, spans: u64, reason: &'static str, why: &str) {
        counter!(DROPPED, "reason" => reason).increment(spans);
        self.say(why);
    }

    /// Once a minute at most.
    fn say(&mut self, why: &str) {
        let (now, without_room) = (Instant::now(), tracer().without_room());
        let before = match self.said {
            Some((at, _)) if now - at < Duration::from_mins(1) => return,
            Some((_, before)) => before,
            None => 0,
        };
        events::not_sent(why, without_room - before);
        self.said = Some((now, without_room));
    }
}

/// An error with what it comes from.
fn described(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}
