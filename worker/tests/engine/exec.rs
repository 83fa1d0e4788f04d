//! A child process without the parent side.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use worker::engine::{
    clock::BootInstant,
    protocol::{Event, Operation, Request, Speeds, VERSION},
};

use crate::fixture::{PATIENCE, PROGRAM, until};

/// A child process without the parent side.
pub(crate) struct Exec {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Exec {
    pub(crate) fn start(operation: Operation, deadline: BootInstant) -> Self {
        Self::start_at(operation, deadline, Speeds::new())
    }

    pub(crate) fn start_at(operation: Operation, deadline: BootInstant, speeds: Speeds) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("exec")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut exec = Self { child, stdin, stdout };
        exec.say(&Request { version: VERSION, deadline, speeds, operation });
        exec
    }

    pub(crate) fn say(&mut self, line: &impl serde::Serialize) {
        let mut line = serde_json::to_vec(line).unwrap();
        line.push(b'\n');
        self.stdin.as_mut().unwrap().write_all(&line).unwrap();
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Returns `true` once the engine reads the source, `false` if it ends without saying so.
    pub(crate) fn is_busy(&mut self) -> bool {
        while let Some(event) = self.next() {
            match event {
                Event::Progress(progress) if progress.phase.contains("backing up") => return true,
                Event::Progress(_) | Event::Phase { .. } | Event::Warning(_) | Event::Derived { .. } => {}
                other => panic!("it is no longer busy: {other:?}"),
            }
        }
        false
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the child has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A deadline that nothing here comes to.
pub(crate) fn in_a_while() -> BootInstant {
    BootInstant::from_now(PATIENCE)
}
