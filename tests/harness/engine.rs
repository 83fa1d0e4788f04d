//! The engine of a running worker, caught in the act.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::DEADLINE;

/// Waits until a worker's engine has written its first pack into a repository, and stops it (SIGSTOP) there: data is in
/// the repository, its snapshot is not. It blocks its thread; whoever looks too late finds the backup done.
pub fn hold_inside_backup(repository: &Path, worker: u32) -> Pid {
    let deadline = Instant::now() + DEADLINE;
    while count_files(repository, "data") == 0 {
        assert!(Instant::now() < deadline, "no pack was ever written");
        std::thread::sleep(Duration::from_millis(1));
    }
    let engine = children(worker).into_iter().next().expect("the worker has an engine");
    kill_process(engine, Signal::STOP).expect("stopping the engine");
    assert_eq!(count_files(repository, "snapshots"), 0, "the backup was over before it could be held");
    engine
}

/// Counts the files of one kind (`data`, `snapshots`) in a repository.
pub fn count_files(repository: &Path, kind: &str) -> usize {
    fn files(directory: &Path) -> usize {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
    }
    files(&repository.join(kind))
}

/// The processes that a process has started and that still run.
pub fn children(parent: u32) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let listed = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> = listed
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}
