//! A transaction of many tasks: a span of its own, because its tasks belong to as many traces.

use shared::trace::{Kind, Moment, Span, SpanContext};

/// A transaction that has been committed.
#[derive(Debug)]
pub struct Batch {
    name: &'static str,
    context: SpanContext,
    from: Moment,
    to: Moment,
    size: usize,
    /// The attempts in it that are traced.
    attempts: Vec<SpanContext>,
}

impl Batch {
    /// Ends now; `size` is what was in it, traced or not.
    #[must_use]
    pub fn ended(name: &'static str, from: Moment, size: usize) -> Self {
        Self { name, context: SpanContext::root(), from, to: Moment::now(), size, attempts: Vec::new() }
    }

    /// Its span.
    #[must_use]
    pub const fn context(&self) -> SpanContext {
        self.context
    }

    /// From when to when it took.
    #[must_use]
    pub const fn window(&self) -> (Moment, Moment) {
        (self.from, self.to)
    }

    /// A traced attempt was in it.
    pub fn held(&mut self, attempt: SpanContext) {
        self.attempts.push(attempt);
    }

    /// Sends its span, if one of its attempts is traced.
    pub fn send(self) {
        if self.attempts.is_empty() {
            return;
        }
        let span = Span::new(self.context, None, self.name, Kind::Internal, (self.from, self.to));
        let span = span.with("holdfast.batch.size", self.size);
        self.attempts.into_iter().fold(span, Span::link).send();
    }
}
