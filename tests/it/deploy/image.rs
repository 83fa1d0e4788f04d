//! The image, as far as it goes without an engine: its file is linted, what it copies is there, and its commands are run.

use std::path::Path;

use harness::World;

use super::{pip, repository, run, text};

/// The instructions of the file, each on one line.
fn instructions() -> Vec<(String, String)> {
    let file = text("deploy/Dockerfile");
    let lines: Vec<&str> = file.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let whole = lines.join("\n").replace("\\\n", " ");
    let instructions = whole.lines().filter_map(|line| line.split_once(' '));
    instructions.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

/// The sources of what is copied out of the repository, with the place where they are put.
fn copies() -> Vec<(Vec<String>, String)> {
    let copies =
        instructions().into_iter().filter(|(word, rest)| word == "COPY" && !rest.contains("--from="));
    copies
        .map(|(_, rest)| {
            let mut paths: Vec<String> =
                rest.split_whitespace().filter(|part| !part.starts_with("--")).map(str::to_owned).collect();
            let place = paths.pop().unwrap();
            (paths, place)
        })
        .collect()
}

#[tokio::test]
async fn the_linter_finds_nothing_in_the_dockerfile() {
    let lint = async |file: &Path| {
        run(pip("hadolint"), &["--no-color", file.to_str().unwrap()], &repository("."), &[], "").await
    };
    let linted = lint(&repository("deploy/Dockerfile")).await;
    assert_eq!((linted.code, linted.stdout.as_str()), (0, ""), "{linted:?}");
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("Dockerfile");
    std::fs::write(&wrong, "FROM debian\nRUN cd /x && sudo ls\n").unwrap();
    assert_ne!(lint(&wrong).await.code, 0, "it finds nothing in anything");
}

#[test]
fn what_is_copied_is_there_and_not_ignored_and_nobody_is_root() {
    let ignored = text(".dockerignore");
    let context: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let in_context = |path: &str| {
        context.iter().any(|&pattern| {
            let prefix = pattern.trim_end_matches('*');
            path == pattern
                || path.starts_with(&format!("{pattern}/"))
                || (prefix != pattern && path.starts_with(prefix))
        })
    };
    for (sources, _) in copies() {
        for source in sources.iter().filter(|source| *source != ".") {
            assert!(repository(source).exists() && in_context(source), "{source}");
        }
    }
    for pattern in &context {
        assert!(pattern.ends_with('*') || repository(pattern).exists(), "{pattern} is not there");
    }
    let users: Vec<String> =
        instructions().into_iter().filter(|(word, _)| word == "USER").map(|(_, user)| user).collect();
    assert_eq!(users, ["10001:10001"], "a number, so that Kubernetes can tell that it is not root");
}

#[tokio::test]
async fn the_commands_of_the_build_do_what_they_are_there_for() {
    let stage = tempfile::tempdir().unwrap();
    // Up to the code itself: manifests, and targets that stand in for it.
    for (sources, place) in copies().into_iter().take_while(|(sources, _)| sources != &["."]) {
        let place = stage.path().join(place);
        std::fs::create_dir_all(&place).unwrap();
        for source in sources {
            let name = Path::new(&source).file_name().unwrap();
            std::fs::copy(repository(&source), place.join(name)).unwrap();
        }
    }
    let commands = instructions().into_iter().filter(|(word, _)| word == "RUN").map(|(_, command)| command);
    let fetch = commands.clone().find(|command| command.contains("cargo fetch")).unwrap();
    // What the tests are built of is here already.
    let offline = [("CARGO_NET_OFFLINE", "true")];
    let fetched = run("/bin/sh", &["-c", &fetch], stage.path(), &offline, "").await;
    assert_eq!(fetched.code, 0, "{fetched:?}");

    // The packages that are built have programs of these names, by the lock file as it is.
    let build = commands.clone().find(|command| command.contains("cargo build")).unwrap();
    for argument in ["--locked", "--offline", "--release", "--bins"] {
        assert!(build.contains(argument), "{build}");
    }
    let arguments = ["metadata", "--locked", "--offline", "--format-version", "1", "--no-deps"];
    let metadata = run("cargo", &arguments, &repository("."), &[], "").await.json();
    let packages_built =
        build.split("--package ").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
    let programs: Vec<&str> = build
        .split("for program in ")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let packages_built: Vec<&str> = packages_built.collect();
    assert_eq!(packages_built, programs);
    for program in programs {
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == program).unwrap();
        let targets = package["targets"].as_array().unwrap();
        assert!(
            targets.iter().any(|target| target["name"] == program && target["kind"][0] == "bin"),
            "{program}"
        );
    }
}

#[tokio::test]
async fn code_that_is_older_than_the_cache_is_built_all_the_same() {
    let build = instructions().into_iter().find(|(word, rest)| word == "RUN" && rest.contains("cargo build"));
    let (_, build) = build.unwrap();
    assert!(build.contains("--mount=type=cache,id=holdfast-target,target=/src/target,"), "{build}");
    // What comes before cargo, with sources and results of long ago.
    let (before, _) = build.split_once("&& cargo build").unwrap();
    let before = before.split_once("find ").unwrap().1;
    let stage = tempfile::tempdir().unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    let files =
        ["worker/src/lib.rs", "Cargo.lock", "target/release/worker"].map(|name| stage.path().join(name));
    for file in &files {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::File::create(file).unwrap().set_modified(old).unwrap();
    }
    let touched = run("/bin/sh", &["-c", &format!("find {before}")], stage.path(), &[], "").await;
    assert_eq!(touched.code, 0, "{touched:?}");
    let is_old = files.map(|file| std::fs::metadata(file).unwrap().modified().unwrap() == old);
    assert_eq!(is_old, [false, false, true], "sources are new, and what was made of them is not");
}

#[tokio::test]
async fn the_check_of_health_needs_no_client_and_tells_ready_from_not() {
    let world = World::new().await;
    let (reporter, url) = world.start_reporter().await;
    let port = url.rsplit_once(':').unwrap().1;
    let healthy = async |port: &str, path: &str| {
        run(repository("deploy/healthy"), &[port, path], Path::new("/"), &[], "").await.code
    };
    harness::eventually("the reporter is ready", async || {
        (healthy(port, "/readyz").await == 0).then_some(())
    })
    .await;
    assert_eq!(healthy(port, "/healthz").await, 0);
    assert_ne!(healthy(port, "/nothing").await, 0);
    world.stop(reporter).await;
    assert_ne!(healthy(port, "/healthz").await, 0);
}
