//! The span that a piece of work belongs to, for the log lines that are written meanwhile.

use tokio::task::futures::TaskLocalFuture;

use super::id::SpanContext;

tokio::task_local! {
    static CURRENT: Option<SpanContext>;
}

/// The span that is worked on here; `None` where nothing is traced.
#[must_use]
pub fn get() -> Option<SpanContext> {
    CURRENT.try_with(|current| *current).ok().flatten()
}

/// Has a future belong to a span; what is logged while it is polled says so.
pub fn within<F: Future>(span: Option<SpanContext>, work: F) -> TaskLocalFuture<Option<SpanContext>, F> {
    CURRENT.scope(span, work)
}

/// Has what is said at once belong to a span.
pub fn at<R>(span: Option<SpanContext>, say: impl FnOnce() -> R) -> R {
    match span {
        Some(_) => CURRENT.sync_scope(span, say),
        None => say(),
    }
}
