//! Table `manifest`: what a source held when it was backed up, compressed.

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::statement::statement;
use super::{Error, signed};
use crate::job::JobId;
use crate::work::RestorePointId;

/// A manifest as the engine wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its identity.
    pub id: Uuid,
    /// Entries.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 of `content`, in hexadecimal.
    pub sha256: String,
    /// Compressed JSON lines.
    pub content: Vec<u8>,
}

/// Writes one manifest.
pub async fn insert(transaction: &Transaction<'_>, job: JobId, manifest: &Manifest) -> Result<(), Error> {
    let statement = statement!(
        "manifest.insert",
        "insert into manifest (id, job_id, files, bytes, sha256, content) values ($1, $2, $3, $4, $5, $6)"
    );
    let (files, bytes) = (signed(manifest.files), signed(manifest.bytes));
    statement
        .execute(transaction, &[&manifest.id, &job.0, &files, &bytes, &manifest.sha256, &manifest.content])
        .await?;
    Ok(())
}

/// The compressed manifest of the source that a restore point was made from.
pub async fn content_for<C: GenericClient>(
    client: &C,
    point: RestorePointId,
) -> Result<Option<Vec<u8>>, Error> {
    let statement = statement!(
        "manifest.content_for",
        "select m.content from restore_point r join manifest m on m.id = r.manifest_id where r.id = $1"
    );
    let row = statement.query_opt(client, &[&point.0]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The manifests of restore points, which nobody else takes away until the transaction ends: of two who let go of one manifest
/// on two targets the second must see that it is the last.
pub async fn hold(transaction: &Transaction<'_>, points: &[RestorePointId]) -> Result<Vec<Uuid>, Error> {
    let statement = statement!(
        "manifest.hold",
        "select id from manifest where id in (select manifest_id from restore_point where id = any($1))
         order by id for update"
    );
    let points: Vec<Uuid> = points.iter().map(|point| point.0).collect();
    let rows = statement.query(transaction, &[&points]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Removes those of some manifests that no restore point has any more.
pub async fn remove_unused(transaction: &Transaction<'_>, manifests: &[Uuid]) -> Result<(), Error> {
    let statement = statement!(
        "manifest.remove_unused",
        "delete from manifest m
         where id = any($1) and not exists (select from restore_point r where r.manifest_id = m.id)"
    );
    statement.execute(transaction, &[&manifests]).await?;
    Ok(())
}
