//! Child processes: started, frozen, killed, and never left behind.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod outside;

use std::{fs, path::Path, time::Duration};

use devstack::{Exit, Service, ServiceCommand};
use outside::{processes_of, scratch, until};

const LIMIT: Duration = Duration::from_secs(10);

/// A shell script in place of a service; it works in `directory`.
fn script(directory: &Path, text: &str) -> Service {
    let command = ServiceCommand::new("script", directory.join("script.log"))
        .args(["-c", &format!("cd {} && {text}", directory.display())])
        .env("HOLDFAST_GIVEN", "yes");
    Service::start_program(Path::new("/bin/sh"), command).unwrap()
}

fn state(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("State:")).unwrap().trim()[..1].to_owned()
}

#[tokio::test]
async fn a_service_is_asked_to_stop_before_it_is_killed() {
    let directory = scratch();
    let mut polite =
        script(directory.path(), "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done");
    until(LIMIT, || polite.log().contains("up").then_some(())).await;
    assert_eq!(polite.stop(LIMIT).await.unwrap(), Exit::Code(3));
    assert_eq!(polite.log(), "up\nbye\n");

    let mut deaf = script(directory.path(), "trap '' TERM; echo up; while :; do sleep 0.01; done");
    until(LIMIT, || deaf.log().contains("up").then_some(())).await;
    assert_eq!(deaf.stop(Duration::from_millis(50)).await.unwrap(), Exit::Signal(9));
    assert_eq!(deaf.log(), "up\n", "the log of the one before does not count");
}

#[tokio::test]
async fn a_paused_service_stands_still_until_it_is_resumed() {
    let directory = scratch();
    let service = script(directory.path(), "while :; do :; done");
    service.pause().unwrap();
    until(LIMIT, || (state(service.pid()) == "T").then_some(())).await;
    service.resume().unwrap();
    until(LIMIT, || (state(service.pid()) == "R").then_some(())).await;
    drop(service);
    assert_eq!(processes_of(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_killed_service_leaves_its_children_until_it_is_dropped() {
    let directory = scratch();
    let mut service = script(directory.path(), "sleep 600 & echo up; wait");
    until(LIMIT, || service.log().contains("up").then_some(())).await;
    assert_eq!(service.kill().await.unwrap(), Exit::Signal(9));
    assert_eq!(service.exit().unwrap(), Some(Exit::Signal(9)));
    assert_eq!(processes_of(directory.path()).len(), 1);
    drop(service);
    until(LIMIT, || processes_of(directory.path()).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_service_outlives_the_thread_that_started_it() {
    let directory = scratch();
    let place = directory.path().to_owned();
    let service = std::thread::spawn(move || script(&place, "sleep 0.2; exit 5")).join().unwrap();
    assert_eq!(service.wait(LIMIT).await.unwrap(), Exit::Code(5));
}

#[tokio::test]
async fn a_service_sees_only_the_settings_it_was_given() {
    let directory = scratch();
    let service = script(directory.path(), "env");
    assert!(service.wait(LIMIT).await.unwrap().success());
    let ours: Vec<String> =
        service.log().lines().filter(|line| line.starts_with("HOLDFAST_")).map(str::to_owned).collect();
    assert_eq!(ours, ["HOLDFAST_GIVEN=yes"]);
}

#[tokio::test]
async fn a_service_that_was_not_built_is_named() {
    let directory = scratch();
    let command = ServiceCommand::new("no-such-service", directory.path().join("log"));
    let error = Service::start(command).unwrap_err().to_string();
    assert!(
        error.contains("no-such-service is missing: `cargo build --workspace --bins` makes it"),
        "{error}"
    );
}
