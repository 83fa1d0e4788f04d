//! The lines as they are, byte for byte: both sides of an upgrade have to agree on them.

use std::{collections::BTreeMap, path::PathBuf};

use super::*;
use crate::engine::clock::BootInstant;

fn key() -> Key {
    Key { file: "ef".repeat(32), master: Secret::new("battery staple".to_owned()) }
}

fn repository() -> Repository {
    Repository {
        location: "rest:http://user:hunter2@backup.example:8000/docs".to_owned(),
        options: BTreeMap::from([("retry".to_owned(), "2".to_owned())]),
        password: Secret::new("correct horse".to_owned()),
        key: Some(key()),
        expected_id: Some("ab".repeat(32)),
    }
}

fn assert_request(operation: Operation, json: &str) {
    let (deadline, speeds) = (BootInstant::from_nanos(5), Speeds::new());
    let request = Request { version: VERSION, deadline, speeds, operation };
    let line = serde_json::to_string(&request).unwrap();
    let repository = r#"{"location":"rest:http://user:hunter2@backup.example:8000/docs","options":{"retry":"2"},"password":"correct horse","key":{"file":"efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef","master":"battery staple"},"expected_id":"abababababababababababababababababababababababababababababababab"}"#;
    let expected =
        format!(r#"{{"version":5,"deadline":5,"operation":{json}}}"#).replace("REPOSITORY", repository);
    assert_eq!(line, expected);
    let again: Request = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), line);
}

fn assert_event(event: &Event, json: &str) {
    assert_eq!(serde_json::to_string(event).unwrap(), json);
    assert_eq!(&serde_json::from_str::<Event>(json).unwrap(), event);
}

#[test]
fn requests_keep_their_form() {
    assert_request(
        Operation::Init { repository: repository() },
        r#"{"kind":"init","repository":REPOSITORY}"#,
    );
    assert_request(
        Operation::Backup(Backup {
            repository: repository(),
            task: "0193".to_owned(),
            epoch: 2,
            job: "docs".to_owned(),
            paths: vec![PathBuf::from("/srv/docs")],
            exclude: vec!["*.tmp".to_owned()],
            hashes: Hashes::All,
            manifest_out: PathBuf::from("/var/m"),
        }),
        r#"{"kind":"backup","repository":REPOSITORY,"task":"0193","epoch":2,"job":"docs","paths":["/srv/docs"],"exclude":["*.tmp"],"hashes":"all","manifest_out":"/var/m"}"#,
    );
    assert_request(
        Operation::Copy(Copy { from: repository(), to: repository(), snapshot: "cd".to_owned() }),
        r#"{"kind":"copy","from":REPOSITORY,"to":REPOSITORY,"snapshot":"cd"}"#,
    );
    assert_request(
        Operation::Verify(Verify {
            repository: repository(),
            snapshot: "cd".to_owned(),
            level: Level::Restore { manifest: PathBuf::from("/m"), scratch: PathBuf::from("/s") },
        }),
        r#"{"kind":"verify","repository":REPOSITORY,"snapshot":"cd","level":{"restore":{"manifest":"/m","scratch":"/s"}}}"#,
    );
    assert_request(
        Operation::Verify(Verify {
            repository: repository(),
            snapshot: "cd".to_owned(),
            level: Level::Structure,
        }),
        r#"{"kind":"verify","repository":REPOSITORY,"snapshot":"cd","level":"structure"}"#,
    );
    assert_request(
        Operation::Restore(Restore {
            repository: repository(),
            snapshot: "cd".to_owned(),
            into: PathBuf::from("/into"),
        }),
        r#"{"kind":"restore","repository":REPOSITORY,"snapshot":"cd","into":"/into"}"#,
    );
    assert_request(
        Operation::List(List { repository: repository(), job: "docs".to_owned() }),
        r#"{"kind":"list","repository":REPOSITORY,"job":"docs"}"#,
    );
    assert_request(
        Operation::Forget(Forget {
            repository: repository(),
            job: "docs".to_owned(),
            snapshots: vec!["cd".to_owned()],
        }),
        r#"{"kind":"forget","repository":REPOSITORY,"job":"docs","snapshots":["cd"]}"#,
    );
    assert_request(
        Operation::Prune { repository: repository() },
        r#"{"kind":"prune","repository":REPOSITORY}"#,
    );
}

#[test]
fn what_is_told_later_keeps_its_form() {
    for (told, json) in [
        (Told::Extend(BootInstant::from_nanos(7)), r#"{"extend":7}"#),
        (Told::Speeds(Speeds::from([("/backups/a".to_owned(), 1024)])), r#"{"speeds":{"/backups/a":1024}}"#),
    ] {
        assert_eq!(serde_json::to_string(&told).unwrap(), json);
        assert_eq!(serde_json::from_str::<Told>(json).unwrap(), told);
    }
}

#[test]
fn events_keep_their_form() {
    let progress = Progress {
        phase: "backing up".to_owned(),
        files_done: Some(1),
        files_total: None,
        bytes_done: 2,
        bytes_total: Some(3),
    };
    assert_event(&Event::Phase { name: "read back".to_owned() }, r#"{"event":"phase","name":"read back"}"#);
    assert_event(
        &Event::Progress(progress),
        r#"{"event":"progress","phase":"backing up","files_done":1,"bytes_done":2,"bytes_total":3}"#,
    );
    assert_event(
        &Event::Warning(Warning { path: None, message: "odd".to_owned() }),
        r#"{"event":"warning","message":"odd"}"#,
    );
    assert_event(
        &Event::Derived { repository: "/r".to_owned(), key: Key { file: "ef".to_owned(), ..key() } },
        r#"{"event":"derived","repository":"/r","key":{"file":"ef","master":"battery staple"}}"#,
    );
    assert_event(
        &Event::Failed(Failure::permanent("no")),
        r#"{"event":"failed","class":"permanent","message":"no"}"#,
    );
    assert_event(
        &Event::Finished {
            result: OperationResult::Init(InitResult { repository_id: "ab".to_owned(), created: true }),
        },
        r#"{"event":"finished","result":{"kind":"init","repository_id":"ab","created":true}}"#,
    );
}

#[test]
fn results_keep_their_form() {
    let forgotten = OperationResult::Forget(ForgetResult { removed: 2 });
    assert_event(
        &Event::Finished { result: forgotten },
        r#"{"event":"finished","result":{"kind":"forget","removed":2}}"#,
    );
    let pruned = OperationResult::Prune(PruneResult { bytes_removed: 1, bytes_marked: 2, bytes_kept: 3 });
    assert_event(
        &Event::Finished { result: pruned },
        r#"{"event":"finished","result":{"kind":"prune","bytes_removed":1,"bytes_marked":2,"bytes_kept":3}}"#,
    );
    let mut differences = Named::default();
    differences.push("a: is missing");
    assert_event(
        &Event::Finished {
            result: OperationResult::Verify(VerifyResult {
                passed: false,
                repository_id: "ab".to_owned(),
                files: 1,
                bytes: 2,
                hashed_files: 3,
                bytes_read: 4,
                differences,
                seconds: 0.5,
            }),
        },
        r#"{"event":"finished","result":{"kind":"verify","passed":false,"repository_id":"ab","files":1,"bytes":2,"hashed_files":3,"bytes_read":4,"differences":{"count":1,"first":["a: is missing"]},"seconds":0.5}}"#,
    );
    let manifest = ManifestSummary {
        entries: 3,
        files: 2,
        bytes: 9,
        hashed_files: 1,
        hashed_bytes: 4,
        size: 77,
        sha256: "ef".to_owned(),
    };
    assert_event(
        &Event::Finished {
            result: OperationResult::Backup(BackupResult {
                snapshot: "cd".to_owned(),
                repository_id: "ab".to_owned(),
                data_time: "2026-11-23T02:00:00+01:00".to_owned(),
                files: 2,
                bytes: 9,
                bytes_added: 5,
                parent: None,
                source_errors: Named::default(),
                vanished: 0,
                changed: 1,
                manifest,
            }),
        },
        r#"{"event":"finished","result":{"kind":"backup","snapshot":"cd","repository_id":"ab","data_time":"2026-11-23T02:00:00+01:00","files":2,"bytes":9,"bytes_added":5,"parent":null,"source_errors":{"count":0,"first":[]},"vanished":0,"changed":1,"manifest":{"entries":3,"files":2,"bytes":9,"hashed_files":1,"hashed_bytes":4,"size":77,"sha256":"ef"}}}"#,
    );
}

#[test]
fn debug_output_shows_no_secret() {
    let shown = format!("{:?}", Operation::Init { repository: repository() });
    assert!(shown.contains("rest:http://backup.example:8000/docs"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("correct horse"), "{shown}");
    let shown = format!("{shown} {:?}", Event::Derived { repository: String::new(), key: key() });
    assert!(!shown.contains("battery staple"), "{shown}");
}

#[test]
fn a_hundred_long_names_fit_into_one_line() {
    let mut named = Named::default();
    for _ in 0..150 {
        // The worst case: each character becomes an escape of six.
        named.push("\u{1}".repeat(10_000));
    }
    assert_eq!(named.count, 150);
    let line = serde_json::to_string(&named).unwrap();
    assert!(line.len() < crate::engine::lines::LINE_LIMIT / 2, "{}", line.len());
}

#[test]
fn a_text_is_cut_at_a_character() {
    assert_eq!(shorten("abc".to_owned(), 3), "abc");
    assert_eq!(shorten("äöü".to_owned(), 5), "ä…");
}
