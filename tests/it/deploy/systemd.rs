//! The units are right by systemd's own words, and leave little open.

use std::path::Path;

use super::{repository, run, seconds, text};

pub(super) const UNITS: [&str; 5] = [
    "holdfast-maintenance.service",
    "holdfast-migrate.service",
    "holdfast-producer.service",
    "holdfast-reporter.service",
    "holdfast-worker@.service",
];

/// The most that systemd may find open in a unit, in tenths; of an ordinary service it is 96.
const EXPOSED: &str = "15";
/// A worker reads everybody's files.
const WORKER_EXPOSED: &str = "19";

pub(super) fn setting<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[tokio::test]
async fn the_units_are_valid_and_leave_little_open() {
    let place = tempfile::tempdir().unwrap();
    let programs = place.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    for program in ["producer", "worker", "reporter"] {
        std::os::unix::fs::symlink(devstack::process::binary(program).unwrap(), programs.join(program))
            .unwrap();
    }
    for unit in UNITS {
        let installed =
            text(&format!("deploy/systemd/{unit}")).replace("/usr/local/bin", programs.to_str().unwrap());
        // A template is looked at as an instance of it.
        let file = place.path().join(unit.replace('@', "@one"));
        std::fs::write(&file, installed).unwrap();
        let verified = run(
            "/usr/bin/systemd-analyze",
            &["verify", "--man=no", file.to_str().unwrap()],
            place.path(),
            &[],
            "",
        )
        .await;
        let own: Vec<&str> = verified.stderr.lines().filter(|line| line.contains("holdfast")).collect();
        assert!(verified.code == 0 && own.is_empty(), "{unit}: {verified:?}");
        let most = if unit.contains("worker") { WORKER_EXPOSED } else { EXPOSED };
        let threshold = format!("--threshold={most}");
        let arguments = ["security", "--offline=true", "--no-pager", &threshold, file.to_str().unwrap()];
        let exposure = run("/usr/bin/systemd-analyze", &arguments, place.path(), &[], "").await;
        assert_eq!(exposure.code, 0, "{unit}: {exposure:?}");
    }
    let wrong = place.path().join("wrong.service");
    std::fs::write(&wrong, "[Service]\nExecStart=/nonexistent\nProtectSistem=strict\n").unwrap();
    let verified = run(
        "/usr/bin/systemd-analyze",
        &["verify", "--man=no", wrong.to_str().unwrap()],
        place.path(),
        &[],
        "",
    )
    .await;
    assert!(verified.stderr.contains("ProtectSistem"), "systemd finds nothing in anything: {verified:?}");
}

#[test]
fn services_are_given_more_time_than_their_grace_and_their_secrets_as_files() {
    for unit in UNITS {
        let unit_text = text(&format!("deploy/systemd/{unit}"));
        let environment = setting(&unit_text, "Environment").join(" ");
        assert!(environment.contains("DATABASE_URL_FILE=%d/database_url"), "{unit}");
        assert!(!environment.contains("DATABASE_URL="), "{unit}");
        for credential in setting(&unit_text, "LoadCredential") {
            let file = credential.split_once(':').unwrap().1;
            let name = Path::new(file).strip_prefix("/etc/holdfast/credentials").unwrap().to_str().unwrap();
            let script = text("deploy/secrets/generate");
            // The last part of a URL's name is put together in the script.
            let known = script.contains(name)
                || name.strip_suffix("_amqp_url").is_some_and(|user| script.contains(user));
            assert!(known, "{unit}: {name} is not what the script makes");
        }
        for bound in setting(&unit_text, "BindReadOnlyPaths") {
            let name = bound.rsplit('/').next().unwrap();
            let expected = format!("/etc/holdfast/credentials/{name}:/run/holdfast/{name}");
            assert_eq!(bound, expected, "{unit}: one path for every instance, and as with containers");
            assert_eq!(setting(&unit_text, "TemporaryFileSystem"), ["/run/holdfast:ro"], "{unit}");
            assert!(text("docker-compose.yml").contains(&format!(":/run/holdfast/{name}:ro")), "{name}");
        }
        assert!(setting(&unit_text, "ProcSubset").is_empty(), "{unit}: no process could tell when it began");
        if let Some(socket) = environment.split("HOLDFAST_ADMIN_SOCKET=").nth(1) {
            let directory = format!("%t/{}/admin.sock", setting(&unit_text, "RuntimeDirectory")[0]);
            assert!(socket.starts_with(&directory), "{unit}: {socket}");
        } else {
            assert_eq!(unit, "holdfast-migrate.service", "nobody can look into it");
        }
        if let Some(cache) = environment.split("XDG_CACHE_HOME=").nth(1) {
            let directory = format!("%C/{} ", setting(&unit_text, "CacheDirectory")[0]);
            assert!(cache.starts_with(&directory), "{unit}: {cache}");
        } else {
            assert!(
                !unit.contains("worker"),
                "{unit}: its home is read-only, and repositories elsewhere are read through a cache"
            );
        }
        if let Some(grace) = environment.split("HOLDFAST_GRACE=").nth(1) {
            let grace = seconds(grace.split_whitespace().next().unwrap());
            assert!(seconds(setting(&unit_text, "TimeoutStopSec")[0]) > grace, "{unit}");
        }
    }
}

#[tokio::test]
async fn user_and_directories_are_made_as_the_units_want_them() {
    let root = tempfile::tempdir().unwrap();
    let arguments = |file: &'static str| {
        [format!("--root={}", root.path().display()), repository(file).display().to_string()]
    };
    for directory in ["etc", "var/lib"] {
        std::fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    let users = arguments("deploy/systemd/holdfast.sysusers");
    let made = run("/usr/bin/systemd-sysusers", &[&users[0], &users[1]], root.path(), &[], "").await;
    assert_eq!(made.code, 0, "{made:?}");
    let accounts = std::fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(accounts.contains("holdfast:x:") && accounts.contains("/usr/sbin/nologin"), "{accounts}");
    let directories = arguments("deploy/systemd/holdfast.tmpfiles");
    let made = run(
        "/usr/bin/systemd-tmpfiles",
        &["--create", &directories[0], &directories[1]],
        root.path(),
        &[],
        "",
    )
    .await;
    assert_eq!(made.code, 0, "{made:?}");
    for directory in [
        "etc/holdfast/credentials/targets",
        "etc/holdfast/credentials/channels",
        "var/lib/holdfast/repositories",
    ] {
        assert!(root.path().join(directory).is_dir(), "{directory}");
    }
    for name in ["targets", "channels"] {
        let link = std::fs::read_link(root.path().join("run/holdfast").join(name)).unwrap();
        assert_eq!(link, Path::new("/etc/holdfast/credentials").join(name));
    }
}
