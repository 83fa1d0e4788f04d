//! A `cargo xtask up` of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::outside::{pids, until};

/// A running `cargo xtask up`, without cargo.
pub(crate) struct Owner {
    child: Child,
    env_file: PathBuf,
    output: PathBuf,
}

impl Owner {
    pub(crate) fn start(env_file: &Path) -> Self {
        let output = env_file.with_extension("output");
        let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["up", "--env-file"])
            .arg(env_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&output).unwrap())
            .spawn()
            .unwrap();
        Self { child, env_file: env_file.to_owned(), output }
    }

    /// Waits for the env file; answers with the stack's directory and the file's lines.
    pub(crate) async fn ready(&mut self) -> (PathBuf, Vec<String>) {
        let limit = Duration::from_mins(2);
        let lines = until(limit, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "up ended: {}", fs::read_to_string(&self.output).unwrap());
            fs::read_to_string(&self.env_file).ok()
        })
        .await;
        let directory = Self::marks().find(|(owner, _)| *owner == self.child.id()).unwrap().1;
        (directory, lines.lines().map(str::to_owned).collect())
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) fn kill(&self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
    }

    pub(crate) async fn end(&mut self) -> ExitStatus {
        until(Duration::from_mins(1), || self.child.try_wait().unwrap()).await
    }

    /// The directories that processes carry as their mark, each with the number of the process's parent.
    fn marks() -> impl Iterator<Item = (u32, PathBuf)> {
        pids().filter_map(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mark = environment.split(|byte| *byte == 0).find_map(|entry| {
                Some(str::from_utf8(entry).ok()?.strip_prefix("HOLDFAST_DEVSTACK=")?.to_owned())
            });
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
            Some((parent, PathBuf::from(mark?)))
        })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
