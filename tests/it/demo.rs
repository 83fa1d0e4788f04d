//! The demo, as a newcomer runs it, with a source that holds all that is odd about files.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::process::Command;

/// It starts servers of its own, beside all the other tests.
const WITHIN: Duration = Duration::from_mins(5);

#[tokio::test]
async fn a_demo_restores_what_it_backed_up_and_all_five_rules_hold() {
    let directory = tempfile::tempdir().unwrap();
    let (source, facts) = (directory.path().join("source"), directory.path().join("facts.json"));
    let (files, bytes) = write_oddities(&source);

    let mut demo = Command::new(devstack::process::binary("xtask").unwrap());
    demo.args(["demo", "--once", "--json"]).arg(&facts).arg("--source").arg(&source);
    demo.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, demo.output()).await.expect("the demo did not end").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));

    let facts: Value = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
    assert_eq!((&facts["source"]["files"], &facts["source"]["bytes"]), (&json!(files), &json!(bytes)));
    assert_eq!(facts["restore"]["differences"], 0, "{facts}");
    assert_eq!((&facts["restore"]["files"], &facts["restore"]["bytes"]), (&json!(files), &json!(bytes)));
    let points = facts["restore_points"].as_array().unwrap();
    let places: Vec<_> =
        points.iter().map(|point| (&point["target"], &point["media"], &point["site"])).collect();
    let expected = [("disk-a", "disk", "hq"), ("nas-b", "nas", "branch"), ("vault-c", "removable", "vault")];
    assert_eq!(places.len(), 3, "{facts}");
    for (found, (target, media, site)) in places.into_iter().zip(expected) {
        assert_eq!(found, (&json!(target), &json!(media), &json!(site)));
    }
    for point in points {
        assert!(point["snapshot"].as_str().is_some_and(|id| !id.is_empty()), "{point}");
        assert!(point["bytes"].as_u64() > Some(0) && point["seconds"].as_f64() > Some(0.0), "{point}");
    }
    let pass = json!({
        "3-copies": "pass", "2-media": "pass", "1-offsite": "pass", "1-isolated": "pass", "0-errors": "pass",
    });
    assert_eq!(facts["verdicts"], pass);
    for verdict in facts["verdict_details"].as_array().unwrap() {
        assert!(!verdict["evidence"].as_array().unwrap().is_empty(), "{verdict}");
    }
}

#[tokio::test]
async fn a_demo_refuses_a_source_that_does_not_exist_and_one_that_holds_the_demo() {
    for source in ["/does/not/exist", "/"] {
        let mut demo = Command::new(devstack::process::binary("xtask").unwrap());
        let output = demo.args(["demo", "--once", "--source", source]).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: --source: "), "{said}");
    }
}

/// Returns how many regular files there are, and the sum of their sizes.
fn write_oddities(source: &Path) -> (u64, u64) {
    let write = |name: &[u8], content: &[u8], mode: u32| {
        let path = source.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        File::open(&path).unwrap().set_modified(time).unwrap();
        content.len() as u64
    };
    let noise: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let sizes = [
        write(b"plain", b"plain", 0o644),
        write(b"with spaces and 'quotes\".txt", b"spaces", 0o600),
        write(b"line\nbreak", b"break", 0o640),
        write(b"not utf-8: \xff\xfe", b"bytes", 0o644),
        write(b"empty", b"", 0o644),
        write(b"program", b"#!/bin/sh\n", 0o755),
        write(b"read only", b"read", 0o444),
        write("tiefe/ordner/größe".as_bytes(), &noise, 0o644),
    ];
    fs::create_dir_all(source.join("empty directory")).unwrap();
    fs::create_dir_all(source.join("private")).unwrap();
    fs::set_permissions(source.join("private"), Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(source.join("plain"), source.join("tiefe/hard link")).unwrap();
    symlink("plain", source.join("link")).unwrap();
    symlink("tiefe/ordner", source.join("link to a directory")).unwrap();
    symlink("/does/not/exist", source.join("dangling")).unwrap();
    // The hard link counts by itself.
    (sizes.len() as u64 + 1, sizes.iter().sum::<u64>() + sizes[0])
}
