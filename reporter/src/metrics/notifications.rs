//! What is told to people: deliveries and dead man's switches.

use shared::metric;
use shared::metric::Metric;

metric!(pub(crate) NOTIFICATIONS: Metric::counter(
    "holdfast_notifications_total", &["channel", "outcome"],
    "Attempts of this process to deliver notifications, by kind of channel and outcome: delivered, \
     failed (another one follows), given_up"
));
metric!(pub(super) NOTIFICATIONS_WAITING: Metric::gauge(
    "holdfast_notifications_waiting", &[], "Notifications that are not delivered yet"
));
metric!(pub(super) NOTIFICATIONS_AGE: Metric::gauge(
    "holdfast_notifications_age_seconds", &[],
    "For how long the oldest notification of holdfast_notifications_waiting waits; 0 without any"
));
metric!(pub(crate) HEARTBEATS: Metric::counter(
    "holdfast_heartbeats_total", &["outcome"],
    "What this process told dead man's switches as the leader, by outcome; withheld: the pipeline did \
     not work"
));
metric!(pub(crate) PIPELINE_WORKS: Metric::gauge(
    "holdfast_pipeline_works", &[],
    "Whether the pipeline works, as dead man's switches are told: 1 or 0; only from the leader"
));
