//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

/// Between two looks: short against what a person or a test notices, long against what a look costs.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);

/// Looks until `look` finds something; `None` when `limit` has passed without.
pub(crate) async fn until<T>(
    limit: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(Some(found));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
