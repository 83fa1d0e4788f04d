//! A child process with all that it starts, from its first moment to its last.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::{
    exit::Exit,
    identity::Identity,
    launch::{Launch, Parting},
    spawner,
    waiting::{self, INTERVAL},
};

/// How long a process may take to vanish after SIGKILL: it may first have to come back from the disk.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// How long dropping a running process waits for its parting signal to work.
const PARTING_GRACE: Duration = Duration::from_secs(3);

/// A running child process that leads a process group of its own, so that Ctrl-C on the terminal spares it.
///
/// The ended process is reaped only when this value is dropped: until then its number, which is also the
/// group's, cannot be given to anything else, so no signal can hit a stranger.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    child: Child,
    pid: Pid,
    identity: Identity,
    log: PathBuf,
    /// Where in the log this process's output begins, in bytes.
    log_start: u64,
    record: Option<PathBuf>,
    parting: Parting,
}

impl Group {
    pub(crate) fn start(launch: Launch) -> anyhow::Result<Self> {
        let Launch { name, log, record, parting, .. } = &launch;
        let (name, log, record, parting) = (name.clone(), log.clone(), record.clone(), *parting);
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let log_start = output.metadata()?.len();
        let child = spawner::spawn(launch.into_command(output)?)?;
        let pid = Pid::from_child(&child);
        let identity = Identity::of_child(pid.as_raw_nonzero().get())?;
        let group = Self { name, child, pid, identity, log, log_start, record, parting };
        if let Some(record) = &group.record {
            fs::write(record, serde_json::to_vec(&group.identity)?)
                .with_context(|| format!("cannot write {}", record.display()))?;
        }
        Ok(group)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the process ended; `None` while it runs.
    pub(crate) fn exit(&self) -> anyhow::Result<Option<Exit>> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid), options)
            .with_context(|| format!("cannot ask how {} is", self.name))?;
        Ok(status.map(|status| match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        }))
    }

    /// Sends `signal` to the process alone; nothing happens when it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("cannot send a signal to {}", self.name))
    }

    /// Sends `signal` to the process and those of its children that stayed in its group.
    pub(crate) fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process_group(self.pid, signal).with_context(|| format!("cannot send a signal to {}", self.name))
    }

    /// Waits for the end of the process; `None` when it still runs after `limit`.
    pub(crate) async fn wait(&self, limit: Duration) -> anyhow::Result<Option<Exit>> {
        waiting::until(limit, async || self.exit()).await
    }

    /// Waits for the process to end well. Errors: it ended otherwise or not within `limit`.
    pub(crate) async fn wait_for_success(&self, limit: Duration) -> anyhow::Result<()> {
        match self.wait(limit).await? {
            Some(Exit::Code(0)) => Ok(()),
            Some(exit) => bail!("{} ended with {exit}; {}", self.name, self.log_tail()),
            None => bail!("{} did not end within {} s; {}", self.name, limit.as_secs(), self.log_tail()),
        }
    }

    /// Waits until `answers` holds. Errors: the process ended, or `limit` passed; both show the end of its
    /// log.
    pub(crate) async fn wait_until(
        &self,
        limit: Duration,
        mut answers: impl AsyncFnMut() -> bool,
    ) -> anyhow::Result<()> {
        let ready = waiting::until(limit, async || {
            if let Some(exit) = self.exit()? {
                bail!("{} ended with {exit} before it answered; {}", self.name, self.log_tail());
            }
            Ok(answers().await.then_some(()))
        });
        if ready.await?.is_none() {
            bail!("{} did not answer within {} s; {}", self.name, limit.as_secs(), self.log_tail());
        }
        Ok(())
    }

    /// Asks with `polite`, waits for at most `grace`, then kills; on return nothing of the process is left.
    pub(crate) async fn end(self, polite: Signal, grace: Duration) -> anyhow::Result<Exit> {
        let family = self.identity.descendants();
        self.signal(polite)?;
        self.wait(grace).await?;
        self.clear(family).await
    }

    /// Kills the process and everything it started.
    pub(crate) async fn kill(self) -> anyhow::Result<Exit> {
        let family = self.identity.descendants();
        self.clear(family).await
    }

    async fn clear(self, family: Vec<Identity>) -> anyhow::Result<Exit> {
        self.kill_with(&family);
        let exit = waiting::until(KILLED_WITHIN, async || {
            Ok(self.exit()?.filter(|_| !family.iter().any(Identity::is_running)))
        });
        exit.await?.with_context(|| format!("{} does not go away, even after SIGKILL", self.name))
    }

    fn kill_with(&self, family: &[Identity]) {
        kill_process_group(self.pid, Signal::KILL).ok();
        for member in family {
            member.signal(Signal::KILL);
        }
    }

    /// What this process has written so far.
    pub(crate) fn output(&self) -> String {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(self.log_start))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Where the output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    fn log_tail(&self) -> String {
        const LINES: usize = 20;
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LINES)..];
        format!("its log {} ends with:\n    {}", self.log.display(), tail.join("\n    "))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let family = self.identity.descendants();
        if matches!((self.exit(), self.parting), (Ok(None), Parting::Quit)) {
            self.signal(Signal::QUIT).ok();
            let started = Instant::now();
            while matches!(self.exit(), Ok(None)) && started.elapsed() < PARTING_GRACE {
                thread::sleep(INTERVAL);
            }
        }
        self.kill_with(&family);
        self.child.wait().ok();
        if let Some(record) = &self.record {
            fs::remove_file(record).ok();
        }
    }
}
