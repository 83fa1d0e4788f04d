//! How fast engine operations may use targets: each that uses one has an equal part of what the target is limited to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deadpool_postgres::GenericClient;
use shared::db::job::JobTarget;
use shared::db::{self, repository_lock};
use shared::limit::Key;
use tokio::sync::watch;

use super::Book;
use crate::engine::protocol;

/// The operations of this worker that use limited targets, or may come to do so.
#[derive(Debug, Default)]
pub struct Speeds(Mutex<Vec<Operation>>);

#[derive(Debug)]
struct Operation {
    targets: Vec<JobTarget>,
    speeds: watch::Sender<protocol::Speeds>,
}

impl Speeds {
    /// The speeds of an operation that uses some targets, as they are now, and each change of them.
    pub async fn follow<C: GenericClient>(
        &self,
        client: &C,
        book: &Book,
        targets: Vec<JobTarget>,
    ) -> Result<watch::Receiver<protocol::Speeds>, db::Error> {
        let now = of_targets(client, book, targets.iter()).await?;
        let (speeds, follow) = watch::channel(now);
        self.lock().push(Operation { targets, speeds });
        Ok(follow)
    }

    /// Looks at all targets that are in use.
    pub(super) async fn look<C: GenericClient>(&self, client: &C, book: &Book) -> Result<(), db::Error> {
        let targets: Vec<JobTarget> = {
            let mut operations = self.lock();
            operations.retain(|operation| !operation.speeds.is_closed());
            operations.iter().flat_map(|operation| &operation.targets).cloned().collect()
        };
        let now = of_targets(client, book, targets.iter()).await?;
        for Operation { targets, speeds } in &*self.lock() {
            let here = targets.iter().filter_map(|target| {
                let location = &target.target.repository;
                now.get(location).map(|speed| (location.clone(), *speed))
            });
            let here: protocol::Speeds = here.collect();
            speeds.send_if_modified(|before| std::mem::replace(before, here.clone()) != here);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of each operation on some targets, for those that are limited.
async fn of_targets<C: GenericClient>(
    client: &C,
    book: &Book,
    targets: impl Iterator<Item = &JobTarget>,
) -> Result<protocol::Speeds, db::Error> {
    let mut speeds = BTreeMap::new();
    for target in targets {
        let location = &target.target.repository;
        let limited = book.limit(&Key::Target(target.target.name.clone()));
        let Some(limit) = limited.and_then(|limited| limited.limit.bytes_per_second) else { continue };
        if !speeds.contains_key(location) {
            let users = repository_lock::holders(client, target.id).await?;
            let part = limit / u64::try_from(users).unwrap_or(1).max(1);
            speeds.insert(location.clone(), part.max(1));
        }
    }
    Ok(speeds)
}
