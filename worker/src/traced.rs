//! What is noted of a traced task on its way through the stages, and the spans that are made of it.
//!
//! ```text
//! process                       from the delivery, or since it stands in a line, to the end of the attempt's record
//! |-- admit, or wait            until it is to be claimed
//! |-- claim                     the transaction; linked to the span of the whole batch
//! |-- execute                   until its end
//! |   `-- engine backup ..      each child process
//! |       |-- open ..           what it did, one after the other
//! `-- record                    the transaction; linked to the span of the whole batch
//! ```
//!
//! Nearly no task is traced, so each carries a pointer at most.

mod batch;
mod operation;

use serde::{Deserialize, Serialize};
use shared::db::lease::Leased;
use shared::message::TaskMessage;
use shared::task::{Ended, Epoch, Task, TaskId};
use shared::topology;
use shared::trace::{Kind, Moment, Place, Span, SpanContext, TraceContext, id::TraceId, tracer};
use shared::work::Reported;

pub use batch::Batch;
pub use operation::OperationSpans;

use crate::plan::Plan;

/// A traced task on its way.
#[derive(Debug, Clone)]
pub struct Traced {
    place: Place,
    /// Since when it is worked on.
    begun: Moment,
    /// The message that it came in, if it names itself.
    message: Option<Box<str>>,
    /// The span of its execution.
    execute: SpanContext,
}

/// As it is handed to a process that runs the task alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    parent: Option<String>,
    begun: Moment,
    message: Option<Box<str>>,
}

impl Traced {
    fn new(place: Place, begun: Moment, message: Option<Box<str>>) -> Self {
        Self { place, begun, message, execute: place.span() }
    }

    /// A task that was delivered just now; `None` for one that is not traced.
    pub fn delivered(task: &TaskMessage, message: Option<&str>) -> Option<Box<Self>> {
        let place = tracer().place(task.id, task.trace.as_ref())?;
        Some(Box::new(Self::new(place, Moment::now(), message.map(Into::into))))
    }

    /// A task that was claimed as it is stored: what its row says counts where it names another trace than its message. One that was
    /// called from a line, in which it stands since `since`, comes without a message.
    pub fn claimed(
        delivered: Option<Box<Self>>,
        leased: &Leased,
        since: Option<Moment>,
    ) -> Option<Box<Self>> {
        let Task { id, trace, .. } = &leased.task;
        match (delivered, trace) {
            (Some(traced), None) => Some(traced),
            (None, None) if since.is_none() => None,
            (delivered, stored) => {
                let place = tracer().place(*id, stored.as_ref())?;
                match delivered {
                    Some(traced) if traced.place.trace == place.trace => Some(traced),
                    Some(other) => Some(Box::new(Self::new(place, other.begun, other.message))),
                    None => Some(Box::new(Self::new(place, since.unwrap_or_else(Moment::now), None))),
                }
            }
        }
    }

    /// The span of an attempt.
    #[must_use]
    pub fn attempt(&self, leased: &Leased) -> SpanContext {
        self.place.attempt(leased.task.id, leased.epoch)
    }

    /// The span of its execution.
    #[must_use]
    pub fn execution(&self) -> SpanContext {
        self.execute
    }

    /// What is stored with a task that was named no trace: its later attempts and publications are told to be where this one is.
    #[must_use]
    pub fn stored(&self, leased: &Leased) -> TraceContext {
        let attempt = self.attempt(leased);
        let parent = self.place.parent.map(|span| SpanContext { trace: self.place.trace, span });
        TraceContext::of_span(parent.unwrap_or(attempt), state(&leased.task))
    }

    /// What goes with the tasks that an attempt causes: they are below it.
    #[must_use]
    pub fn caused(&self, leased: &Leased) -> TraceContext {
        TraceContext::of_span(self.attempt(leased), state(&leased.task))
    }

    /// For a process that runs the task alone.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let parent = self.place.parent.map(|span| SpanContext { trace: self.place.trace, span });
        Carried {
            parent: parent.map(|parent| parent.to_string()),
            begun: self.begun,
            message: self.message.clone(),
        }
    }

    /// In such a process.
    #[must_use]
    pub fn resumed(carried: Carried, task: TaskId) -> Option<Box<Self>> {
        let Carried { parent, begun, message } = carried;
        let place = match parent {
            Some(parent) => {
                let context = TraceContext::read(Some(&parent), None)?;
                let SpanContext { trace, span } = SpanContext::of(&context)?;
                Place { trace, parent: Some(span) }
            }
            None => Place { trace: TraceId::of(task)?, parent: None },
        };
        Some(Box::new(Self::new(place, begun, message)))
    }

    /// It was delivered, and becomes no attempt now: it is refused for `reason`, or it waits in the database, is at work elsewhere or has ended.
    pub fn not_started(&self, task: &TaskMessage, reason: Option<&'static str>) {
        let window = (self.begun, Moment::now());
        let span = Span::new(self.place.span(), self.place.parent, "admit", Kind::Consumer, window);
        span.with("holdfast.task.id", task.id.to_string())
            .with("holdfast.task.kind", task.kind.as_str())
            .with("holdfast.outcome", if reason.is_some() { "refused" } else { "not_started" })
            .failed(reason)
            .send();
    }

    /// It was claimed, in a transaction with others.
    pub fn started(&self, leased: &Leased, waited: bool, claim: &Batch) {
        let (attempt, (from, to)) = (self.attempt(leased), claim.window());
        let before = if waited { "wait" } else { "admit" };
        let span =
            |name, window| Span::new(attempt.another(), Some(attempt.span), name, Kind::Internal, window);
        span(before, (self.begun, from)).send();
        span("claim", (from, to)).link(claim.context()).send();
    }

    /// Its execution has ended.
    pub fn executed(&self, leased: &Leased, from: Moment, ended: &Ended) {
        let parent = self.attempt(leased).span;
        let window = (from, Moment::now());
        Span::new(self.execute, Some(parent), "execute", Kind::Internal, window).failed(error(ended)).send();
    }

    /// The attempt was recorded, in a transaction with others; or its results were discarded, because the task has another owner.
    pub fn recorded(&self, leased: &Leased, plan: &Plan, ended: &Ended, owned: bool, record: &Batch) {
        let Leased { task, attempt, rescues, epoch, .. } = leased;
        let (itself, (from, to)) = (self.attempt(leased), record.window());
        let span = Span::new(itself.another(), Some(itself.span), "record", Kind::Internal, (from, to));
        span.link(record.context()).send();

        let (queue, key) =
            (topology::queue(task.kind, task.priority), topology::routing_key(task.kind, task.priority));
        let name = format!("process {queue}");
        let mut span = Span::new(itself, self.place.parent, name, Kind::Consumer, (self.begun, to));
        // The attempt before it, whoever made it and whatever came of it. A rescue leaves an epoch out, and may be one of the last two.
        let before = if *rescues > 0 { 2 } else { 1 };
        for epoch in (1..epoch.0).rev().take(before) {
            span = span.link(self.place.attempt(task.id, Epoch(epoch)));
        }
        let job = plan.job().map(|plan| plan.job.job.name.to_string());
        let (outcome, error) =
            if owned { (outcome(ended), error(ended)) } else { ("discarded", Some("fenced")) };
        span.with_state(state(task))
            .with("messaging.system", "rabbitmq")
            .with("messaging.operation.name", "process")
            .with("messaging.operation.type", "process")
            .with("messaging.destination.name", format!("{}:{key}:{queue}", topology::TASKS_EXCHANGE))
            .with("messaging.rabbitmq.destination.routing_key", key)
            .with_some("messaging.message.id", self.message.as_deref().map(ToOwned::to_owned))
            .with("holdfast.task.id", task.id.to_string())
            .with("holdfast.task.kind", task.kind.as_str())
            .with_some("holdfast.job", job)
            .with("holdfast.attempt", *attempt)
            .with("holdfast.epoch", epoch.0)
            .with("holdfast.outcome", outcome)
            .failed(error)
            .send();
    }
}

fn state(task: &Task) -> Option<&str> {
    task.trace.as_ref().and_then(TraceContext::state)
}

fn outcome(ended: &Ended) -> &'static str {
    match (ended.outcome(), ended) {
        (Some(outcome), _) => outcome.as_str(),
        (None, Ended::Interrupted) => "interrupted",
        (None, _) => "postponed",
    }
}

/// The class of what went wrong. Its words are in the log and in the database: they may name paths and hosts.
const fn error(ended: &Ended) -> Option<&'static str> {
    match ended {
        Ended::Failed { retryable: true, .. } => Some("transient"),
        Ended::Failed { retryable: false, .. } => Some("permanent"),
        Ended::Noted { reported: Reported::Failed, .. } => Some("reported"),
        Ended::TimedOut { .. } => Some("timed_out"),
        Ended::Lost => Some("lost"),
        Ended::Done { .. }
        | Ended::Noted { .. }
        | Ended::Postponed(_)
        | Ended::Cancelled { .. }
        | Ended::Interrupted => None,
    }
}
