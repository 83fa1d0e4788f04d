//! The spans of what the relay publishes: one for each traced task, however many travel in a message.

use shared::db::task::Due;
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use shared::trace::{Kind, Moment, Place, Span, SpanContext, TraceContext, tracer};

/// A publication that is traced.
#[derive(Debug)]
pub(super) struct Traced {
    /// The row's place among those that are published together.
    row: usize,
    place: Place,
    itself: SpanContext,
    state: Option<Box<str>>,
}

/// Has each traced row name the span of its publication, below which its worker goes on.
pub(super) fn name(due: &mut [Due]) -> Vec<Traced> {
    let mut traced = Vec::new();
    for (row, due) in due.iter_mut().enumerate() {
        let message = &mut due.message;
        let Some(place) = tracer().place(message.id, message.trace.as_ref()) else { continue };
        let itself = place.span();
        let state = message.trace.as_ref().and_then(TraceContext::state).map(Into::into);
        message.trace =
            Some(TraceContext::of_span(itself, message.trace.as_ref().and_then(TraceContext::state)));
        traced.push(Traced { row, place, itself, state });
    }
    traced
}

/// Sends the spans of what was published. `messages` says of each message how many rows it held, what it is called, and whether the
/// broker has confirmed it.
pub(super) fn send(
    traced: Vec<Traced>,
    due: &[Due],
    (kind, priority): (TaskKind, Priority),
    began: Moment,
    messages: &[(usize, &str, bool)],
) {
    if traced.is_empty() {
        return;
    }
    let (now, key) = (Moment::now(), routing_key(kind, priority));
    let destination = format!("{TASKS_EXCHANGE}:{key}");
    // The message of each row, in their order.
    let of: Vec<_> = messages.iter().flat_map(|message| std::iter::repeat_n(message, message.0)).collect();
    for Traced { row, place, itself, state } in traced {
        let (Some((rows, id, confirmed)), Some(due)) = (of.get(row).copied(), due.get(row)) else { continue };
        let name = format!("publish {destination}");
        Span::new(itself, place.parent, name, Kind::Producer, (began, now))
            .with_state(state.as_deref())
            .with("messaging.system", "rabbitmq")
            .with("messaging.operation.name", "publish")
            .with("messaging.operation.type", "send")
            .with("messaging.destination.name", destination.clone())
            .with("messaging.rabbitmq.destination.routing_key", key.clone())
            .with("messaging.message.id", (*id).to_owned())
            .with("holdfast.message.tasks", *rows)
            .with("holdfast.task.id", due.message.id.to_string())
            .with("holdfast.task.kind", kind.as_str())
            .with_some("holdfast.job", due.message.job.as_ref().map(ToString::to_string))
            .failed((!confirmed).then_some("not_confirmed"))
            .send();
    }
}
