//! What is said of the export of traces: one function an event.

pub(super) fn not_sent(why: &str, without_room: u64) {
    tracing::warn!(
        why,
        dropped_for_want_of_room = without_room,
        "spans of traces cannot be sent: the work goes on, and this is said once a minute at most"
    );
}

pub(super) fn not_flushed() {
    tracing::warn!("the last spans of traces were not taken in time: they are dropped");
}
