//! A key that was derived once: when the next child opens with it, and when not.

use std::fs;

use rustic_core::{
    Credentials, KeyOptions, OpenStatus, Repository as Rustic, RepositoryOptions, repofile::KeyId,
};
use worker::engine::protocol::{Event, Key, List, Operation, Repository, Secret};

use crate::{
    exec::{Exec, in_a_while},
    fixture::{Place, permanent},
};

const OTHER_PASSWORD: &str = "battery staple";

/// Lets a child open a repository: what it derived, and its last event.
async fn outcome_of_opening(repository: &Repository) -> (Option<Key>, Event) {
    let list = List { repository: repository.clone(), job: "docs".to_owned() };
    let mut exec = Exec::start(Operation::List(list), in_a_while());
    let mut derived = None;
    loop {
        match exec.next().unwrap() {
            Event::Derived { repository: shown, key } => {
                assert_eq!(shown, repository.shown());
                derived = Some(key);
            }
            end @ (Event::Finished { .. } | Event::Failed(_)) => {
                exec.ended().await;
                return (derived, end);
            }
            _ => {}
        }
    }
}

/// A repository with the key that its password gives.
async fn known() -> (Place, Repository) {
    let (place, mut repository) = Place::ready().await;
    let (derived, last) = outcome_of_opening(&repository).await;
    assert!(matches!(last, Event::Finished { .. }), "{last:?}");
    repository.key = derived;
    (place, repository)
}

/// Opens a repository without our engine around it.
fn rustic(repository: &Repository, password: &str) -> Rustic<OpenStatus> {
    let backends =
        rustic_backend::BackendOptions::default().repository(&repository.location).to_backends().unwrap();
    let options = RepositoryOptions::default().no_cache(true);
    Rustic::new(&options, &backends).unwrap().open(&Credentials::password(password)).unwrap()
}

/// Gives a repository a second password.
fn add_password(repository: &Repository) -> KeyId {
    rustic(repository, "correct horse").add_key(OTHER_PASSWORD, &KeyOptions::default()).unwrap()
}

#[tokio::test]
async fn a_child_that_is_given_the_key_does_not_derive_it() {
    let (place, repository) = known().await;
    let key = repository.key.as_ref().unwrap();
    assert_eq!(fs::read_dir(place.path("repository/keys")).unwrap().count(), 1);
    assert!(place.path("repository/keys").join(&key.file).exists());
    let (derived, last) = outcome_of_opening(&repository).await;
    assert_eq!(derived, None);
    assert!(matches!(last, Event::Finished { .. }), "{last:?}");
}

#[tokio::test]
async fn a_key_that_is_of_no_use_is_derived_anew() {
    let (place, repository) = known().await;
    let key = repository.key.clone().unwrap();
    let other = add_password(&repository).to_hex().to_string();
    let with = |key: Key| Repository { key: Some(key), ..repository.clone() };
    for useless in [
        Key { file: "0".repeat(64), ..key.clone() },
        Key { file: "../config".to_owned(), ..key.clone() },
        Key { master: Secret::new("{}".to_owned()), ..key.clone() },
    ] {
        let (derived, last) = outcome_of_opening(&with(useless)).await;
        assert_eq!(derived.as_ref(), Some(&key));
        assert!(matches!(last, Event::Finished { .. }), "{last:?}");
    }

    // A key file with the right name and another content.
    fs::copy(place.path("repository/keys").join(other), place.path("repository/keys").join(&key.file))
        .unwrap();
    let (derived, last) = outcome_of_opening(&repository).await;
    assert_eq!(derived, None);
    assert!(
        matches!(&last, Event::Failed(failure) if failure.message.starts_with("wrong password")),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_repository_that_was_made_anew_is_opened_with_the_password() {
    let (place, mut repository) = known().await;
    fs::remove_dir_all(place.path("repository")).unwrap();
    repository.expected_id = None;
    place.try_init(&repository).await.unwrap();
    let (derived, last) = outcome_of_opening(&repository).await;
    assert!(derived.is_some_and(|derived| Some(&derived) != repository.key.as_ref()));
    assert!(matches!(last, Event::Finished { .. }), "{last:?}");
}

#[tokio::test]
async fn a_password_whose_key_was_removed_opens_nothing_any_more() {
    let (place, mut repository) = Place::ready().await;
    place.list(&repository).await.unwrap();
    let first = *rustic(&repository, "correct horse").key_id();
    add_password(&repository);
    place.list(&repository).await.unwrap();
    rustic(&repository, OTHER_PASSWORD).delete_key(&first.unwrap()).unwrap();
    let message = permanent(place.list(&repository).await);
    assert!(message.starts_with("wrong password for the repository"), "{message}");
    repository.password = Secret::new(OTHER_PASSWORD.to_owned());
    place.list(&repository).await.unwrap();
}
