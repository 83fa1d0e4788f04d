//! Ends work at the server too: whoever only stopped waiting would leave it at its statement.

use std::pin::pin;
use std::time::Duration;

use tokio_postgres::CancelToken;
use tokio_util::sync::CancellationToken;

use super::location::Location;

/// How long work that was cancelled may take to end.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often the server is told: between two statements there is nothing that it could end.
const AGAIN: Duration = Duration::from_millis(250);

/// Has the server end what one session does.
pub struct Canceller {
    location: Location,
    session: CancelToken,
}

impl Canceller {
    pub(super) const fn new(location: Location, session: CancelToken) -> Self {
        Self { location, session }
    }
}

/// Does work on one connection until it is done, or until `cancel`: then the server ends the statement that runs, and nothing comes
/// out. The connection is to be closed after that, because the server may be at the statement still, or end the next one.
pub async fn until<T>(
    cancel: &CancellationToken,
    server: &Canceller,
    work: impl Future<Output = T>,
) -> Option<T> {
    if cancel.is_cancelled() {
        return None;
    }
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return Some(done),
        () = cancel.cancelled() => {}
    }
    let told = async {
        loop {
            // A server that cannot be told does nothing for us either.
            _ = server.location.cancel(&server.session).await;
            tokio::time::sleep(AGAIN).await;
        }
    };
    let ended = async {
        tokio::select! {
            _ = work => {}
            () = told => {}
        }
    };
    _ = tokio::time::timeout(TIMEOUT, ended).await;
    None
}
