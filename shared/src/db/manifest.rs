//! Table `manifest`: what a source held when it was backed up, compressed.

use deadpool_postgres::{GenericClient, Transaction};
use uuid::Uuid;

use super::{Error, prepared, signed};
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
    let statement =
        "insert into manifest (id, job_id, files, bytes, sha256, content) values ($1, $2, $3, $4, $5, $6)";
    let statement = prepared(transaction, statement).await?;
    let (files, bytes) = (signed(manifest.files), signed(manifest.bytes));
    transaction
        .execute(&statement, &[&manifest.id, &job.0, &files, &bytes, &manifest.sha256, &manifest.content])
        .await?;
    Ok(())
}

/// The compressed manifest of the source that a restore point was made from.
pub async fn content_for<C: GenericClient>(
    client: &C,
    point: RestorePointId,
) -> Result<Option<Vec<u8>>, Error> {
    let statement =
        "select m.content from restore_point r join manifest m on m.id = r.manifest_id where r.id = $1";
    let statement = prepared(client, statement).await?;
    let row = client.query_opt(&statement, &[&point.0]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
