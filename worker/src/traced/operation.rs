//! The spans of an engine's child process and of what it does, one phase after the other.
//!
//! They are made here, of what the child says when a phase begins: a child that is killed has exported nothing, and loses nothing.

use shared::trace::{Kind, Moment, Span, SpanContext};

use crate::engine::parent::{Completed, EngineError};

/// A child process that runs.
#[derive(Debug)]
pub struct OperationSpans {
    operation: &'static str,
    /// The execution that it belongs to.
    parent: SpanContext,
    itself: SpanContext,
    begun: Moment,
    phase: Option<(String, Moment)>,
    /// How it ended; until it is known, it was given up.
    ended: Result<(), &'static str>,
}

impl OperationSpans {
    /// A child process begins.
    #[must_use]
    pub fn begin(operation: &'static str, parent: SpanContext) -> Self {
        let (itself, begun) = (parent.another(), Moment::now());
        Self { operation, parent, itself, begun, phase: None, ended: Err("given_up") }
    }

    /// It begins another phase, which ends the one before.
    pub fn phase(&mut self, name: String) {
        let now = Moment::now();
        self.end_phase(now, None);
        self.phase = Some((name, now));
    }

    /// It has ended.
    pub fn end(mut self, ended: &Result<Completed, EngineError>) {
        self.ended = match ended {
            Ok(_) => Ok(()),
            Err(error) => Err(class(error)),
        };
    }

    fn end_phase(&mut self, now: Moment, error: Option<&'static str>) {
        if let Some((name, since)) = self.phase.take() {
            let (context, parent) = (self.itself.another(), Some(self.itself.span));
            Span::new(context, parent, name, Kind::Internal, (since, now)).failed(error).send();
        }
    }
}

/// Also of a child that was given up, because its task took too long to end it.
impl Drop for OperationSpans {
    fn drop(&mut self) {
        let (now, error) = (Moment::now(), self.ended.err());
        self.end_phase(now, error);
        let name = format!("engine {}", self.operation);
        Span::new(self.itself, Some(self.parent.span), name, Kind::Internal, (self.begun, now))
            .with("holdfast.engine.operation", self.operation)
            .failed(error)
            .send();
    }
}

const fn class(error: &EngineError) -> &'static str {
    match error {
        EngineError::Permanent(_) => "permanent",
        EngineError::Source(_) => "source",
        EngineError::Gone(_) => "gone",
        EngineError::Transient(_) => "transient",
        EngineError::Process(_) => "process",
        EngineError::Cancelled => "cancelled",
        EngineError::LeaseLost => "lease_lost",
        EngineError::Crashed { .. } => "crashed",
    }
}
