//! What reading over HTTP costs.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use super::{
    CACHE_REDIS_UP, CACHE_REQUESTS, HTTP_REQUEST, HTTP_REQUESTS, HTTP_STATEMENTS, REPLICA_LAG, REPLICA_USED,
};

pub(super) fn describe() {
    let count = Unit::Count;
    describe_counter!(
        HTTP_REQUESTS,
        count,
        "Requests below /api/v1, by the template of their path, method and class of status"
    );
    describe_histogram!(
        HTTP_REQUEST,
        Unit::Seconds,
        "How long these took until their answer began, by the template of their path"
    );
    describe_counter!(
        HTTP_STATEMENTS,
        count,
        "Statements that these made, by the template of their path: none for an answer that is kept for a moment"
    );
    describe_counter!(
        CACHE_REQUESTS,
        count,
        "Looks for an answer that is kept, by what it is of, tier (memory; redis only after that) and result"
    );
    describe_gauge!(
        CACHE_REDIS_UP,
        "Whether Redis answered when it was asked last: 1 or 0; absent without one, and while nobody asks"
    );
    describe_gauge!(
        REPLICA_LAG,
        Unit::Seconds,
        "For how long the replica has not had everything that the primary had; it grows also while the replica hears of nothing"
    );
    describe_gauge!(REPLICA_USED, "Whether requests read the replica: 1 or 0; absent without one");
}
