//! Which process is meant, beyond its number: numbers are given out again, after a reboot even densely.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// A process, told apart from any later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    pid: i32,
    /// Clock ticks from boot to the start of the process.
    started: u64,
    /// The kernel's random id of this boot.
    boot: String,
}

impl Identity {
    /// The process that has this number now; `None` when there is none or it only waits to be reaped.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let status = Status::read(pid)?;
        (status.state != "Z").then(|| Self { pid, started: status.started, boot: boot_id().to_owned() })
    }

    /// A child that was not reaped yet, even if it has ended.
    pub(crate) fn of_child(pid: i32) -> anyhow::Result<Self> {
        let status = Status::read(pid).with_context(|| format!("cannot read /proc/{pid}/stat"))?;
        Ok(Self { pid, started: status.started, boot: boot_id().to_owned() })
    }

    /// Every process of the machine that this user can see.
    pub(crate) fn everyone() -> Vec<Self> {
        every_pid().into_iter().filter_map(Self::of).collect()
    }

    pub(crate) fn is_running(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends `signal` if the process still is the one meant; a process that has ended meanwhile is no
    /// error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_running()) {
            kill_process(pid, signal).ok();
        }
    }

    /// The process's children, their children, and so on.
    ///
    /// The process group does not hold them all: a PostgreSQL backend and Erlang's helper programs each
    /// open a session of their own.
    pub(crate) fn descendants(&self) -> Vec<Self> {
        let parents: Vec<(i32, i32)> =
            every_pid().into_iter().filter_map(|pid| Some((pid, Status::read(pid)?.parent))).collect();
        let mut family = vec![self.pid];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        family.into_iter().skip(1).filter_map(Self::of).collect()
    }

    /// Whether the process was started with exactly this `NAME=value` in its environment.
    pub(crate) fn has_environment(&self, variable: &str) -> bool {
        fs::read(self.file("environ")).is_ok_and(|environment| {
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        })
    }

    /// Whether the process runs a program of this file name.
    pub(crate) fn runs(&self, program: &str) -> bool {
        fs::read_link(self.file("exe")).is_ok_and(|exe| exe.ends_with(program))
    }

    /// Whether this is the process's working directory.
    pub(crate) fn works_in(&self, directory: &Path) -> bool {
        fs::read_link(self.file("cwd")).is_ok_and(|cwd| cwd == directory)
    }

    /// Another process that had the same number before.
    #[cfg(test)]
    pub(crate) fn earlier(&self) -> Self {
        Self { started: self.started - 1, ..self.clone() }
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid.to_string()).join(name)
    }
}

struct Status {
    state: String,
    parent: i32,
    started: u64,
}

impl Status {
    fn read(pid: i32) -> Option<Self> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name stands in parentheses and may itself hold spaces and parentheses.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: (*fields.first()?).to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

fn every_pid() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_number_that_was_given_to_another_process_is_not_taken_for_the_first() {
        let me = Identity::of(own_pid()).unwrap();
        assert!(me.is_running());
        assert!(!Identity { started: me.started - 1, ..me.clone() }.is_running());
        assert!(!Identity { boot: "another boot".to_owned(), ..me }.is_running());
    }

    #[test]
    fn a_process_that_only_waits_to_be_reaped_does_not_run() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while Identity::of(pid).is_some() {
            assert!(std::time::Instant::now() < limit, "`true` did not end");
            std::thread::yield_now();
        }
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        child.wait().unwrap();
    }

    #[test]
    fn descendants_include_grandchildren() {
        let mut shell = Command::new("sh").args(["-c", "sh -c 'sleep 600; :'; :"]).spawn().unwrap();
        let first = Identity::of_child(i32::try_from(shell.id()).unwrap()).unwrap();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let family = loop {
            let family = first.descendants();
            if family.len() == 2 && family.iter().any(|one| one.runs("sleep")) {
                break family;
            }
            assert!(std::time::Instant::now() < limit, "the shells did not start their children");
            std::thread::yield_now();
        };
        for one in family {
            one.signal(Signal::KILL);
        }
        shell.wait().unwrap();
    }
}
