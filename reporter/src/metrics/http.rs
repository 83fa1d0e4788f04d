//! What keeping answers, and reading from a replica, comes to.

use shared::metric;
use shared::metric::Metric;

metric!(pub(crate) CACHE_REQUESTS: Metric::counter(
    "holdfast_cache_requests_total", &["entity", "tier", "result"],
    "Looks for an answer that is kept, by what it is of, tier (memory; redis only after that) and \
     result"
));
metric!(pub(crate) CACHE_REDIS_UP: Metric::gauge(
    "holdfast_cache_redis_up", &[],
    "Whether Redis answered when it was asked last: 1 or 0; absent without one, and while nobody asks"
));
metric!(pub(crate) REPLICA_LAG: Metric::gauge(
    "holdfast_replica_lag_seconds", &[],
    "For how long the replica has not had everything that the primary had; it grows also while the \
     replica hears of nothing"
));
metric!(pub(crate) REPLICA_USED: Metric::gauge(
    "holdfast_replica_used", &[], "Whether requests read the replica: 1 or 0; absent without one"
));
