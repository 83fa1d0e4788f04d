//! What the children derived from passwords: in this process's memory, and nowhere else.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};

use crate::{
    engine::protocol::{Key, Operation, Repository},
    events,
};

/// The keys of the repositories that children have opened, by location.
///
/// One is used for as long as its password is the same; that its key file is so too is the child's business
/// ([`crate::engine::key`]).
#[derive(Default)]
pub(super) struct Keys(Mutex<HashMap<String, Derived>>);

struct Derived {
    password: Digest,
    key: Key,
}

type Digest = [u8; 32];

/// A repository that an operation opens.
pub(super) struct Opening {
    location: String,
    /// The location as the child names it.
    shown: String,
    password: Digest,
}

impl Keys {
    /// Adds to each repository of an operation what its password gave before; returns these repositories.
    pub(super) fn lend(&self, operation: &mut Operation) -> Vec<Opening> {
        let keys = self.lock();
        let lend_to = |repository: &mut Repository| {
            let opening = Opening::of(repository);
            let derived = keys.get(&opening.location).filter(|derived| derived.password == opening.password);
            repository.key = derived.map(|derived| derived.key.clone());
            opening
        };
        operation.repositories_mut().into_iter().map(lend_to).collect()
    }

    /// Keeps what a child derived for the repository of this name.
    pub(super) fn keep(&self, openings: &[Opening], shown: &str, key: Key) {
        events::key_derived(shown);
        if let Some(opening) = openings.iter().find(|opening| opening.shown == shown) {
            let derived = Derived { password: opening.password, key };
            self.lock().insert(opening.location.clone(), derived);
        }
    }

    /// Lets go of the keys of an operation that failed: whatever it failed by, the next one begins with the password.
    pub(super) fn forget(&self, openings: &[Opening]) {
        let mut keys = self.lock();
        for opening in openings {
            keys.remove(&opening.location);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Derived>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    fn of(repository: &Repository) -> Self {
        Self {
            location: repository.location.clone(),
            shown: repository.shown(),
            password: Sha256::digest(repository.password.reveal()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{Copy, Secret};

    fn repository(location: &str, password: &str) -> Repository {
        Repository {
            location: location.to_owned(),
            options: std::collections::BTreeMap::new(),
            password: Secret::new(password.to_owned()),
            key: None,
            expected_id: None,
        }
    }

    fn copy(from: Repository, to: Repository) -> Operation {
        Operation::Copy(Copy { from, to, snapshot: String::new() })
    }

    fn key(file: &str) -> Key {
        Key { file: file.to_owned(), master: Secret::new("master".to_owned()) }
    }

    /// The key files whose keys an operation from a to b would get.
    fn lent(keys: &Keys, from: &str, to: &str) -> [Option<String>; 2] {
        let mut operation = copy(repository("/a", from), repository("/b", to));
        keys.lend(&mut operation);
        let Operation::Copy(copy) = operation else { unreachable!() };
        [copy.from.key, copy.to.key].map(|key| key.map(|key| key.file))
    }

    #[test]
    fn a_key_is_lent_to_its_own_repository_while_the_password_is_the_same() {
        let keys = Keys::default();
        let openings = keys.lend(&mut copy(repository("/a", "one"), repository("/b", "two")));
        assert_eq!(lent(&keys, "one", "two"), [None, None]);
        keys.keep(&openings, "/a", key("of a"));
        keys.keep(&openings, "/b", key("of b"));
        keys.keep(&openings, "/c", key("of c"));
        let (a, b) = (Some("of a".to_owned()), Some("of b".to_owned()));
        assert_eq!(lent(&keys, "one", "two"), [a, b.clone()]);
        assert_eq!(lent(&keys, "two", "two"), [None, b]);
        assert_eq!(lent(&keys, "one ", "one"), [None, None]);
    }

    #[test]
    fn a_new_key_takes_the_place_of_the_old_one_and_a_failure_takes_all_of_the_operation_away() {
        let keys = Keys::default();
        let openings = keys.lend(&mut copy(repository("/a", "one"), repository("/b", "two")));
        for file in ["first", "second"] {
            keys.keep(&openings, "/a", key(file));
            keys.keep(&openings, "/b", key(file));
        }
        let second = Some("second".to_owned());
        assert_eq!(lent(&keys, "one", "two"), [second.clone(), second]);
        keys.forget(&openings[..1]);
        assert_eq!(lent(&keys, "one", "two"), [None, Some("second".to_owned())]);
        keys.forget(&openings);
        assert_eq!(lent(&keys, "one", "two"), [None, None]);
    }

    #[test]
    fn a_child_names_a_repository_without_the_secrets_of_its_location() {
        let keys = Keys::default();
        let remote = || repository("rest:http://user:hunter2@host/docs", "one");
        let mut operation = Operation::Init { repository: remote() };
        let openings = keys.lend(&mut operation);
        keys.keep(&openings, "rest:http://host/docs", key("remote"));
        keys.lend(&mut operation);
        let Operation::Init { repository } = operation else { unreachable!() };
        assert_eq!(repository.key, Some(key("remote")));
    }
}
