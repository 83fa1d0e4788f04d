//! How an operation ends when it must.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker::engine::{
    clock::BootInstant,
    parent::{Engine, EngineError},
    protocol::{Event, Operation, Repository, Told},
};

use crate::{
    exec::{Exec, in_a_while},
    fixture::{PROGRAM, Place, files_below, ignore, soon, until},
};

/// Much more than the engine reads in the time of a test.
const BUSY: u64 = 1 << 40;

/// Long enough to be extended in time on a busy machine.
const LEASE: Duration = Duration::from_millis(1600);

/// A backup that does not end by itself.
async fn endless() -> (Place, Repository, Operation) {
    let (place, repository) = Place::ready().await;
    place.write_sparse("source/endless", BUSY);
    let operation = Operation::Backup(place.backup_request(&repository));
    (place, repository, operation)
}

#[tokio::test]
async fn a_busy_child_ends_at_its_deadline() {
    let (place, repository, operation) = endless().await;
    let mut exec = Exec::start(operation, in_a_while());
    assert!(exec.is_busy());
    let deadline = BootInstant::from_now(Duration::from_millis(300));
    exec.say(&Told::Extend(deadline));
    assert_eq!(exec.ended().await.signal(), Some(9));
    assert!(deadline.is_past(), "it ended before its deadline");
    assert_eq!(place.list(&repository).await.unwrap().snapshots.len(), 0);
}

#[tokio::test]
async fn a_busy_child_ends_when_its_parent_is_gone() {
    let (place, repository, operation) = endless().await;
    let mut exec = Exec::start(operation, in_a_while());
    assert!(exec.is_busy());
    exec.stdin = None;
    assert_eq!(exec.ended().await.signal(), Some(9));
    assert_eq!(place.list(&repository).await.unwrap().snapshots.len(), 0);
}

#[tokio::test]
async fn a_child_that_was_stopped_past_its_deadline_writes_nothing_when_it_continues() {
    let (place, repository) = Place::ready().await;
    let mut stopped_in_time = 0;
    for _ in 0..20 {
        let before = place.snapshots("repository");
        // The source is small: it is stopped a few milliseconds before it would save the snapshot.
        let deadline = BootInstant::from_now(Duration::from_millis(1500));
        let mut exec = Exec::start(Operation::Backup(place.backup_request(&repository)), deadline);
        if !exec.is_busy() {
            // This machine is busy itself, and the deadline came too early.
            continue;
        }
        exec.signal(Signal::STOP);
        let saved_already = place.snapshots("repository") > before;
        until("the deadline has come", || deadline.is_past()).await;
        exec.signal(Signal::CONT);
        assert_eq!(exec.ended().await.signal(), Some(9));
        if !saved_already {
            assert_eq!(place.snapshots("repository"), before, "it wrote after its deadline");
            stopped_in_time += 1;
            if stopped_in_time == 3 {
                return;
            }
        }
    }
    panic!("it was never stopped in time");
}

#[tokio::test]
async fn a_killed_backup_leaves_no_snapshot_and_the_next_one_works() {
    let (place, repository, operation) = endless().await;
    let mut exec = Exec::start(operation, in_a_while());
    assert!(exec.is_busy());
    exec.signal(Signal::KILL);
    exec.ended().await;
    assert_eq!(place.list(&repository).await.unwrap().snapshots.len(), 0);

    fs::remove_file(place.path("source/endless")).unwrap();
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    let verified = place.verify(&repository, &saved.snapshot, place.rehearsal()).await.unwrap();
    assert!(verified.passed, "{verified:?}");
}

#[tokio::test]
async fn a_request_of_another_version_or_none_at_all_is_refused() {
    let place = Place::new();
    let operation = || Operation::Init { repository: place.repository("repository") };
    let mut exec = Exec::start(operation(), in_a_while());
    assert_eq!(exec.next(), Some(Event::Phase { name: "create".to_owned() }));
    assert!(matches!(exec.next(), Some(Event::Derived { .. })));
    assert!(matches!(exec.next(), Some(Event::Finished { .. })));
    assert_eq!(exec.ended().await.code(), Some(0));

    for line in [
        r#"{"version":1,"deadline":1,"operation":{"kind":"init"}}"#,
        r#"{"version":2,"deadline":1,"operation":{"kind":"dance","password":"hunter2"}}"#,
        "hunter2",
    ] {
        let mut child =
            Command::new(PROGRAM).arg("exec").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(r#""class":"permanent""#) && !said.contains("hunter2"), "{said}");
    }
}

/// The engine with a wrapper that notes the child's process id and environment.
fn spied(place: &Place) -> Engine {
    let script = format!(
        "env > {0}/environment && cat /proc/$$/cmdline > {0}/arguments && echo $$ > {0}/pid.new \
         && mv {0}/pid.new {0}/pid && exec {PROGRAM} exec",
        place.path("").display()
    );
    Engine::with_args("/bin/sh", ["-c", &script])
}

#[tokio::test]
async fn a_cancelled_operation_has_ended_when_run_returns() {
    let (place, repository, operation) = endless().await;
    let engine = spied(&place);
    let (_lease, lease) = watch::channel(in_a_while());
    let cancel = CancellationToken::new();
    let outcome = soon(
        "the cancelled operation",
        engine.run(operation, lease, cancel.clone(), |progress| {
            if progress.bytes_done > 0 {
                cancel.cancel();
            }
        }),
    )
    .await;
    assert!(matches!(outcome, Err(EngineError::Cancelled)), "{outcome:?}");
    let pid = fs::read_to_string(place.path("pid")).unwrap();
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "the child still runs");
    assert_eq!(place.list(&repository).await.unwrap().snapshots.len(), 0);
}

#[tokio::test]
async fn a_cancelled_restore_test_leaves_nothing_behind() {
    let (place, repository) = Place::ready().await;
    place.write_sparse("source/large", 1 << 30);
    let saved = place.backup(place.backup_request(&repository)).await.unwrap();
    let operation = Operation::Verify(worker::engine::protocol::Verify {
        repository,
        snapshot: saved.snapshot,
        level: place.rehearsal(),
    });
    let (_lease, lease) = watch::channel(in_a_while());
    let cancel = CancellationToken::new();
    let cancel_when_restoring = async {
        until("a file is restored", || !files_below(&place.path("scratch")).is_empty()).await;
        cancel.cancel();
    };
    let run = place.engine.run(operation, lease, cancel.clone(), ignore);
    let (outcome, ()) = tokio::join!(run, cancel_when_restoring);
    assert!(matches!(outcome, Err(EngineError::Cancelled)), "{outcome:?}");
    assert_eq!(fs::read_dir(place.path("scratch")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_operation_lives_as_long_as_its_lease() {
    let (place, _, operation) = endless().await;
    let (extend, lease) = watch::channel(BootInstant::from_now(LEASE));
    let begun = BootInstant::now();
    let run = place.engine.run(operation, lease, CancellationToken::new(), ignore);
    let keep = async {
        for _ in 0..5 {
            tokio::time::sleep(LEASE / 4).await;
            extend.send(BootInstant::from_now(LEASE)).unwrap();
        }
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        outcome = soon("the end of the lease", run) => outcome,
        () = keep => unreachable!(),
    };
    assert!(matches!(outcome, Err(EngineError::LeaseLost)), "{outcome:?}");
    let lived = BootInstant::now().as_nanos() - begun.as_nanos();
    assert!(u128::from(lived) > (LEASE * 2).as_nanos(), "it ended after {lived} ns");
}

#[tokio::test]
async fn a_crash_is_told_with_the_end_of_what_it_said() {
    let place = Place::new();
    let run = |script: &str| {
        let engine = Engine::with_args("/bin/sh", ["-c", script]);
        let operation = Operation::Init { repository: place.repository("repository") };
        let (lease_keeper, lease) = watch::channel(in_a_while());
        async move {
            let outcome = engine.run(operation, lease, CancellationToken::new(), ignore).await;
            drop(lease_keeper);
            outcome
        }
    };
    match run("head -c 100000 /dev/zero >&2; echo thread main panicked >&2; exit 101").await {
        Err(EngineError::Crashed { status, stderr }) => {
            assert_eq!(status.code(), Some(101));
            assert!(stderr.ends_with("thread main panicked") && stderr.len() <= 8192, "{}", stderr.len());
        }
        other => panic!("{other:?}"),
    }
    let killed = run("printf '{\"event\":\"warn'; kill -9 $$").await;
    assert!(
        matches!(&killed, Err(EngineError::Crashed { status, .. }) if status.signal() == Some(9)),
        "{killed:?}"
    );
    let garbage = run("head -c 3000000 /dev/zero; exec sleep 600").await;
    assert!(garbage.unwrap_err().to_string().contains("longer than 1 MiB"));
    let nonsense = run("echo hello; exec sleep 600").await;
    assert!(matches!(nonsense, Err(EngineError::Permanent(_))), "{nonsense:?}");
    let missing = Engine::new("/no/such/program");
    let operation = Operation::Init { repository: place.repository("repository") };
    let (_lease, lease) = watch::channel(in_a_while());
    let outcome = missing.run(operation, lease, CancellationToken::new(), ignore).await;
    assert!(matches!(outcome, Err(EngineError::Process(_))), "{outcome:?}");
}

#[tokio::test]
async fn secrets_travel_neither_as_arguments_nor_in_the_environment() {
    let mut place = Place::new();
    place.engine = spied(&place);
    place.init("repository").await;
    let environment = fs::read_to_string(place.path("environment")).unwrap();
    // Cargo sets dozens of these for a test.
    assert!(!environment.contains("CARGO"), "{environment}");
    for seen in [environment, fs::read_to_string(place.path("arguments")).unwrap()] {
        assert!(!seen.contains("correct horse"), "{seen}");
    }
}
