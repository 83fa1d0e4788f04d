//! Repositories that are not what they should be: each refusal is permanent or not, and says why.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use worker::engine::protocol::{Level, Secret};

use crate::fixture::{Place, gone, of_source, permanent, transient};

#[tokio::test]
async fn a_wrong_password_is_named() {
    let (place, mut repository) = Place::ready().await;
    repository.password = Secret::new("battery staple".to_owned());
    for message in [
        permanent(place.list(&repository).await),
        permanent(place.backup(place.backup_request(&repository)).await),
        permanent(place.try_init(&repository).await),
    ] {
        assert_eq!(message, format!("wrong password for the repository at {}", repository.location));
    }
}

#[tokio::test]
async fn another_repository_in_its_place_is_refused() {
    let (place, mut repository) = Place::ready().await;
    let known = repository.expected_id.replace("0".repeat(64)).unwrap();
    for message in [
        permanent(place.list(&repository).await),
        permanent(place.backup(place.backup_request(&repository)).await),
        permanent(place.try_init(&repository).await),
    ] {
        assert!(message.starts_with("another repository than the one known is at"), "{message}");
        assert!(message.contains(&known), "{message}");
    }
    assert_eq!(place.snapshots("repository"), 0);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_never_created_anew() {
    let (place, repository) = Place::ready().await;
    fs::remove_file(place.path("repository/config")).unwrap();
    let message = gone(place.backup(place.backup_request(&repository)).await);
    assert!(message.ends_with("there is no config file"), "{message}");
    let message = permanent(place.try_init(&repository).await);
    assert!(message.ends_with("refusing to create another one in its place"), "{message}");

    fs::remove_dir_all(place.path("repository")).unwrap();
    for message in [
        gone(place.list(&repository).await),
        gone(place.backup(place.backup_request(&repository)).await),
        gone(place.verify(&repository, &"0".repeat(64), Level::Structure).await),
    ] {
        assert!(message.starts_with("the repository is gone from"), "{message}");
        assert!(message.ends_with("there is no such directory"), "{message}");
    }
    assert!(!place.path("repository").exists());
}

#[tokio::test]
async fn init_keeps_an_existing_repository_and_needs_a_parent_directory() {
    let place = Place::new();
    let repository = place.repository("repository");
    let created = place.try_init(&repository).await.unwrap();
    let found = place.try_init(&repository).await.unwrap();
    assert_eq!((created.created, found.created), (true, false));
    assert_eq!(created.repository_id, found.repository_id);

    // As if the disk at `mount` were not mounted.
    let message = permanent(place.try_init(&place.repository("mount/repository")).await);
    assert!(message.starts_with("the directory that shall hold the repository"), "{message}");
    assert!(!place.path("mount").exists());

    place.write("taken/file", b"");
    let message = permanent(place.try_init(&place.repository("taken")).await);
    assert!(message.ends_with("is not empty and no repository: it holds file"), "{message}");
}

#[tokio::test]
async fn an_unusable_source_fails_before_anything_is_saved() {
    let (place, repository) = Place::ready().await;
    let mut request = place.backup_request(&repository);
    request.paths.push(place.path("missing"));
    let message = of_source(place.backup(request).await);
    assert_eq!(message, format!("the source path {} does not exist", place.path("missing").display()));

    for (paths, exclude) in [
        (vec![], vec![]),
        (vec![PathBuf::from("relative")], vec![]),
        (vec![place.path("source")], vec!["!a".to_owned()]),
        (vec![place.path("source")], vec!["[a".to_owned()]),
    ] {
        let request =
            worker::engine::protocol::Backup { paths, exclude, ..place.backup_request(&repository) };
        of_source(place.backup(request).await);
    }
    assert_eq!(place.snapshots("repository"), 0);
}

#[tokio::test]
async fn a_restore_never_touches_what_is_there() {
    let (place, repository) = Place::ready().await;
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    place.write("taken/file", b"");
    for (into, why) in [
        ("taken", "the directory is not empty"),
        ("taken/file", "it is no directory"),
        ("absent/restored", "its parent directory does not exist"),
    ] {
        let message = permanent(place.restore(&repository, &saved.snapshot, into).await);
        assert!(message.ends_with(why), "{message}");
    }
    let message = permanent(place.restore(&repository, &"0".repeat(64), "restored").await);
    assert!(message.contains("does not hold snapshot 000"), "{message}");
}

/// A server that gives the same answer to everything; returns its address.
fn serve(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn a_remote_repository_that_is_gone_differs_from_one_that_cannot_be_reached() {
    let place = Place::new();
    let mut repository = place.repository("unused");
    repository.options.insert("retry".to_owned(), "0".to_owned());
    let mut at = |address: &str| {
        repository.location = format!("rest:http://user:hunter2@{address}/docs");
        repository.clone()
    };
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();

    let missing = gone(place.list(&at(&serve("404 Not Found"))).await);
    assert!(missing.starts_with("the repository is gone from rest:http://127.0.0.1:"), "{missing}");
    let refused = permanent(place.list(&at(&serve("401 Unauthorized"))).await);
    assert!(refused.contains("refuses access"), "{refused}");
    let broken = transient(place.list(&at(&serve("500 Internal Server Error"))).await);
    assert!(broken.contains("cannot reach"), "{broken}");
    let absent = transient(place.list(&at(&unused)).await);
    assert!(absent.contains("Connection refused"), "{absent}");
    for message in [missing, refused, broken, absent] {
        assert!(!message.contains("hunter2"), "{message}");
    }
}
