//! The way to a target's repository: its lock, its password, and its creation at the first use.

use secrecy::ExposeSecret as _;
use shared::db;
use shared::db::repository_lock::Refused;
use shared::db::target::StoredTarget;
use shared::settings;
use shared::target::TargetName;
use shared::task::{Ended, Postponed};

use super::attempt::{Attempt, away, refuse, retry};
use crate::engine::protocol::{Operation, OperationResult, Repository, Secret};

/// A repository that this attempt may use.
pub(super) struct Opened {
    /// Its target.
    pub stored: StoredTarget,
    /// What the engine needs to open it.
    pub repository: Repository,
}

/// Takes the shared lock of a target's repository.
///
/// # Errors
/// The end of the attempt: it waits for a detached target, or for somebody who holds the repository alone.
pub(super) async fn open(attempt: &Attempt<'_>, target: &TargetName) -> Result<Opened, Ended> {
    let stored = lock(attempt, target, false).await?;
    let repository = describe(&stored)?;
    Ok(Opened { stored, repository })
}

/// Takes the exclusive lock of a target's repository: nobody else uses it until this attempt is recorded.
///
/// # Errors
/// As [`open`]; it waits for whoever uses the repository in any way.
pub(super) async fn open_alone(attempt: &Attempt<'_>, target: &TargetName) -> Result<Opened, Ended> {
    let stored = lock(attempt, target, true).await?;
    let repository = describe(&stored)?;
    Ok(Opened { stored, repository })
}

/// As [`open`], and creates the repository if it never was.
pub(super) async fn open_or_create(attempt: &Attempt<'_>, target: &TargetName) -> Result<Opened, Ended> {
    let client = attempt.worker.database.client().await.map_err(retry)?;
    let known = db::target::by_name(&client, target).await.map_err(retry)?;
    drop(client);
    if known.is_some_and(|known| known.repository_id.is_none()) {
        create(attempt, target).await?;
    }
    open(attempt, target).await
}

/// Two that create one repository would each write a key of their own: it is locked alone from the beginning, because
/// two that share it could never both rise.
async fn create(attempt: &Attempt<'_>, target: &TargetName) -> Result<(), Ended> {
    let stored = lock(attempt, target, true).await?;
    if stored.repository_id.is_some() {
        return Ok(());
    }
    let repository = describe(&stored)?;
    let created = attempt.engine(Operation::Init { repository }).await?;
    let OperationResult::Init(created) = created.result else { return Err(unexpected()) };
    let client = attempt.worker.database.client().await.map_err(retry)?;
    db::target::set_repository_id(&client, stored.id, &created.repository_id).await.map_err(retry)
}

/// The child answered something else than what it was asked.
pub(super) fn unexpected() -> Ended {
    refuse("the engine answered another question")
}

/// A target's repository for the engine, with its password.
pub fn describe(stored: &StoredTarget) -> Result<Repository, Ended> {
    let target = &stored.target;
    let password = settings::secret(&target.password)
        .map_err(|error| refuse(format!("target {}: password: {error}", target.name)))?;
    Ok(Repository {
        location: target.repository.clone(),
        options: std::collections::BTreeMap::new(),
        password: Secret::new(password.expose_secret().to_owned()),
        key: None,
        expected_id: stored.repository_id.clone(),
    })
}

async fn lock(attempt: &Attempt<'_>, target: &TargetName, exclusive: bool) -> Result<StoredTarget, Ended> {
    let acquired = async {
        let mut client = attempt.worker.database.client().await?;
        let transaction = client.transaction().await?;
        let acquired =
            db::repository_lock::acquire(&transaction, target, attempt.holder(), exclusive).await?;
        _ = db::commit(transaction).await?;
        Ok::<_, db::Error>(acquired)
    };
    match acquired.await.map_err(retry)? {
        Ok(stored) => Ok(stored),
        Err(Refused::Unknown) => Err(refuse(format!("no target is named {target}"))),
        Err(Refused::Away) => Err(away(target)),
        Err(Refused::Fenced) => Err(Ended::Interrupted),
        Err(Refused::Busy) => Err(Ended::Postponed(Postponed::Busy(target.clone()))),
    }
}
