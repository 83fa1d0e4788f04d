//! Users can leave with the tool that they trust: restic lists, checks and restores what Holdfast wrote.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use harness::{World, noise};
use serde_json::json;

#[tokio::test]
async fn restic_lists_checks_and_restores_every_repository() {
    ensure_restic();
    let world = World::new().await;
    let source = world.path("source");
    plant(&source);
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({})), world.target("nas-b", &json!({ "media": "nas" }))],
            "jobs": [world.files_job("docs", &["disk-a", "nas-b"])],
        }))
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await.code, 0);
    world.wait_until_idle().await;
    assert_eq!(world.number("select count(*) from execution where outcome <> 'success'").await, 0);

    for target in ["disk-a", "nas-b"] {
        let repository = world.path("repositories").join(target);
        let password = world.path("password");
        let restic = |arguments: &[&str]| run(restic(&repository, &password).args(arguments));
        let listed = restic(&["snapshots", "--json"]);
        let snapshots: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(snapshots.as_array().unwrap().len(), 1, "{target}");
        restic(&["check", "--read-data"]);
        let into = world.path(format!("restic-{target}"));
        restic(&["restore", "latest", "--target", into.to_str().unwrap()]);
        // restic restores full paths below its target.
        let restored = into.join(source.strip_prefix("/").unwrap());
        run(Command::new("diff").args(["-r", "--no-dereference"]).arg(&source).arg(&restored));
    }

    // Our own restore of the same tree.
    let restore = ["enqueue", "restore", "--job", "docs", "--param", "into=again", "--wait"];
    assert_eq!(world.producer(&restore).await.code, 0);
    run(Command::new("diff").args(["-r", "--no-dereference"]).arg(&source).arg(world.path("restored/again")));
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_password_that_restic_took_away_is_refused_at_once_and_the_new_one_works() {
    ensure_restic();
    let world = World::new().await;
    world.write("source/a.txt", "alpha");
    let targets = json!([world.target("disk-a", &json!({}))]);
    world.apply(&json!({ "targets": targets, "jobs": [world.files_job("docs", &["disk-a"])] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_LOG", "trace")]);
    let backup = ["enqueue", "backup", "--job", "docs", "--wait", "--json"];
    assert_eq!(world.producer(&backup).await.json()["outcome"], "success");
    world.wait_until_idle().await;

    let repository = world.path("repositories/disk-a");
    let keys = || fs::read_dir(repository.join("keys")).unwrap().map(|key| key.unwrap().file_name());
    let first = keys().next().unwrap();
    let (old, new) = (world.path("password"), world.write("new", "battery staple\n"));
    run(restic(&repository, &old).args(["key", "add", "--new-password-file"]).arg(&new));
    run(restic(&repository, &new).args(["key", "remove"]).arg(&first));
    assert!(keys().all(|key| key != first));
    let refused = world.producer(&backup).await;
    assert!(refused.stdout.contains("wrong password for the repository"), "{refused:?}");

    fs::copy(&new, &old).unwrap();
    for _ in 0..2 {
        assert_eq!(world.producer(&backup).await.json()["outcome"], "success");
        world.wait_until_idle().await;
    }
    // The first key at the creation, and restic's once.
    assert_eq!(worker.log().matches("derived the repository's key").count(), 2);
    let master = run(restic(&repository, &new).args(["cat", "masterkey"])).stdout;
    let master: serde_json::Value = serde_json::from_slice(&master).unwrap();
    for part in ["/encrypt", "/mac/k", "/mac/r"].map(|part| master.pointer(part).unwrap().as_str().unwrap()) {
        assert!(!worker.log().contains(part), "the master key is in the log");
        let recorded = format!("select count(*) from execution e where strpos(e::text, '{part}') > 0");
        assert_eq!(world.number(&recorded).await, 0, "the master key is in the database");
    }
    world.stop(worker).await;
    world.stop(producer).await;
}

/// A tree with what trips backup tools.
fn plant(source: &Path) {
    let odd = source.join("with space").join("line\nbreak");
    fs::create_dir_all(&odd).unwrap();
    fs::write(odd.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes").unwrap();
    fs::write(source.join("\u{e4}\u{f6} \"quoted\" 'too' \\ $HOME *"), "text").unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::create_dir(source.join("empty folder")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(50_000_000).unwrap();
    sparse.write_all_at(b"island", 25_000_000).unwrap();
    fs::write(source.join("first"), "linked").unwrap();
    fs::hard_link(source.join("first"), source.join("second")).unwrap();
    symlink("first", source.join("link")).unwrap();
    symlink("nowhere/at all", source.join("dangling")).unwrap();
    fs::write(source.join("large"), noise(300_000_000)).unwrap();
}

/// restic for a repository, without a cache.
pub(crate) fn restic(repository: &Path, password: &Path) -> Command {
    let mut restic = Command::new("restic");
    restic.arg("--repo").arg(repository).arg("--password-file").arg(password).arg("--no-cache");
    restic
}

/// Runs a program that has to succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said.join("\n"));
    output
}

/// restic is only needed by tests, so that these are what installs it.
pub(crate) fn ensure_restic() {
    if Command::new("restic").arg("version").output().is_ok_and(|output| output.status.success()) {
        return;
    }
    let root = devstack::install::Machine::here().root;
    devstack::install::install(&["restic"], !root).expect("installing restic");
}
