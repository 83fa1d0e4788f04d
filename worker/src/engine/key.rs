//! A repository's master key, with and without deriving it from the password.
//!
//! A password opens a repository through a key file: scrypt makes a key of the password and the salt in the file, and that
//! decrypts the master key in it. scrypt is meant to be slow (a third of a second), and a worker's children would do it
//! again for each small backup. So a child that did it tells its worker ([`tell`]), and the next one gets the master
//! key with its request.
//!
//! The master key depends on nothing but the password and the content of the key file. [`known`] makes sure that the
//! file is there and as it was, and the worker that the password is the same, so a known key opens nothing that its
//! password would not open at this moment: a key that was removed (`restic key remove`) or that has rotted, and a
//! repository that was made anew, are noticed at once, and no time limit is needed.

use rustic_core::{
    Credentials, FileType, Id, OpenStatus, ReadBackend, Repository as Rustic, repofile::MasterKey,
};
use sha2::{Digest as _, Sha256};

use super::{
    output::emit,
    protocol::{Event, Key, Secret},
    repository,
};

/// The key that an earlier child derived, if its key file is still there and unchanged. Whatever else is the matter with
/// the file, opening with the password will tell.
pub fn known(backend: &impl ReadBackend, key: &Key) -> Option<Credentials> {
    let id: Id = key.file.parse().ok()?;
    let content = backend.read_full(FileType::Key, &id).ok()?;
    if hex::encode(Sha256::digest(&content)) != key.file {
        return None;
    }
    let master: MasterKey = serde_json::from_str(key.master.reveal()).ok()?;
    Some(Credentials::Masterkey(master))
}

/// Tells the worker what the password gave, unless the repository was opened with a known key.
pub fn tell(shown: &str, opened: &Rustic<OpenStatus>) {
    let Some(file) = opened.key_id() else { return };
    let Ok(master) = serde_json::to_string(&opened.key()) else { return };
    let key = Key { file: repository::hex(**file), master: Secret::new(master) };
    emit(&Event::Derived { repository: shown.to_owned(), key });
}
