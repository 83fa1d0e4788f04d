//! Which tasks are traced, and the way of their spans to the exporter. One a process, as with its log and its metrics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;
use tokio::sync::mpsc;

use super::TraceContext;
use super::id::{Share, SpanContext, SpanId, TraceId};
use super::span::Span;
use crate::metric;
use crate::metric::Metric;
use crate::task::TaskId;

metric!(pub(super) SENT: Metric::counter(
    "holdfast_traces_sent_total", &[], "Spans of traces that the collector took"
));
metric!(pub(super) DROPPED: Metric::counter(
    "holdfast_traces_dropped_total", &["reason"],
    "Spans of traces that were dropped: `full` (the collector is away or too slow), `refused` (by it); what is left at the end of a process is in its log"
));

/// The collector is too slow or away.
pub(super) const FULL: &str = "full";
/// The collector does not want them.
pub(super) const REFUSED: &str = "refused";

static TRACER: OnceLock<Tracer> = OnceLock::new();
static OFF: Tracer = Tracer { on: None };

/// The process's tracer: it traces nothing until an exporter was started.
pub fn tracer() -> &'static Tracer {
    TRACER.get().unwrap_or(&OFF)
}

/// Shows what is measured of traces before anything happens.
pub(super) fn show_all() {
    counter!(SENT).increment(0);
    for reason in [FULL, REFUSED] {
        counter!(DROPPED, "reason" => reason).increment(0);
    }
}

/// Decides which tasks are traced, and takes their spans.
#[derive(Debug)]
pub struct Tracer {
    on: Option<On>,
}

#[derive(Debug)]
struct On {
    share: Share,
    spans: mpsc::Sender<Span>,
    /// Spans for which there was no room.
    full: AtomicU64,
}

/// Where the next span of a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Into which trace.
    pub trace: TraceId,
    /// Below which span; at the root of the trace where there is none.
    pub parent: Option<SpanId>,
}

impl Tracer {
    /// Begins to trace a share of the tasks; of several calls the first counts.
    pub(super) fn start(share: Share, spans: mpsc::Sender<Span>) {
        _ = TRACER.set(Self { on: Some(On { share, spans, full: AtomicU64::new(0) }) });
    }

    /// Whether a task is traced, and where: in the trace that is named for it if that is recorded, and otherwise, if none is named,
    /// by chance in a trace of its own. To be asked before anything is done for a trace.
    #[must_use]
    pub fn place(&self, task: TaskId, named: Option<&TraceContext>) -> Option<Place> {
        let on = self.on.as_ref()?;
        match named {
            Some(context) => {
                let SpanContext { trace, span } = SpanContext::of(context)?;
                Some(Place { trace, parent: Some(span) })
            }
            None if on.share.holds(task) => Some(Place { trace: TraceId::of(task)?, parent: None }),
            None => None,
        }
    }

    /// The span that a request names as its own, where that is recorded.
    #[must_use]
    pub fn requested(&self, named: Option<&TraceContext>) -> Option<Place> {
        self.on.as_ref()?;
        let SpanContext { trace, span } = SpanContext::of(named?)?;
        Some(Place { trace, parent: Some(span) })
    }

    /// Hands a span to the exporter. It never waits: without room the span is dropped and counted.
    pub(super) fn send(&self, span: Span) {
        let Some(on) = &self.on else { return };
        if on.spans.try_send(span).is_err() {
            on.full.fetch_add(1, Ordering::Relaxed);
            counter!(DROPPED, "reason" => FULL).increment(1);
        }
    }

    /// How many spans were dropped for want of room since the process began.
    pub(super) fn without_room(&self) -> u64 {
        self.on.as_ref().map_or(0, |on| on.full.load(Ordering::Relaxed))
    }
}

impl Place {
    /// The span of an attempt that goes here.
    #[must_use]
    pub fn attempt(self, task: TaskId, epoch: crate::task::Epoch) -> SpanContext {
        SpanContext { trace: self.trace, span: SpanId::of(task, epoch) }
    }

    /// A new span that goes here.
    #[must_use]
    pub fn span(self) -> SpanContext {
        SpanContext::within(self.trace)
    }
}
