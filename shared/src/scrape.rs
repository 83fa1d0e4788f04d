//! What every process measures of itself, for whoever scrapes it.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::db::statement;

/// The media type of the answer.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often what was observed is put into its classes: until then each observation takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// A recorder that knows the classes of what all processes measure.
///
/// # Errors
/// None, as long as no constant is wrong.
pub fn recorder() -> Result<PrometheusBuilder, BuildError> {
    let statements = Matcher::Full(statement::SECONDS.to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(statements, &statement::BUCKETS)
}

/// Makes this process measure what all do; to be called once a process, before its first statement.
///
/// # Errors
/// It was called before.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = recorder()?.install_recorder()?;
    statement::describe();
    Ok(handle)
}

/// Keeps the memory of what is measured small, also when nobody scrapes, until `stop`.
pub async fn keep(handle: &PrometheusHandle, stop: &CancellationToken) {
    let mut every = tokio::time::interval(UPKEEP);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        handle.run_upkeep();
    }
}
