//! What is said of the export of traces: one function an event.

pub(super) fn not_sent(why: &str, without_room: u64) {
    tracing::warn!(
        why,
        dropped_for_want_of_room = without_room,
        "spans of traces cannot be sent: the work goes on, and this is said once a minute at most"
    );
}

/// `spans` is absent where the collector did not even answer in time.
pub(super) fn not_flushed(spans: Option<u64>) {
    tracing::warn!(spans, "the collector did not take the last spans of traces: they are dropped");
}
