//! Our own services as child processes.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::{
    exit::Exit,
    group::Group,
    launch::{Launch, Parting},
};

/// Which service to start, and how.
///
/// The service inherits the caller's environment without `DATABASE_URL`, `AMQP_URL` and `HOLDFAST_*`: of
/// these it sees what is given here and nothing that a developer's shell happens to export.
#[derive(Clone, Debug)]
pub struct ServiceCommand {
    /// The name of one of the workspace's binaries: `producer`, `worker`, `reporter`.
    pub binary: String,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables beside or instead of the inherited ones.
    pub environment: Vec<(OsString, OsString)>,
    /// The file its standard output and standard error are appended to.
    pub log: PathBuf,
}

impl ServiceCommand {
    /// A service without arguments.
    pub fn new(binary: impl Into<String>, log: impl Into<PathBuf>) -> Self {
        Self { binary: binary.into(), arguments: Vec::new(), environment: Vec::new(), log: log.into() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// A running service.
///
/// Dropping it kills the service and the children in its process group; so does, by the kernel, the death
/// of the process that started it (the service itself, not its children). An ended service's number stays
/// taken until the drop.
#[derive(Debug)]
pub struct Service {
    group: Group,
}

impl Service {
    /// Starts a service and does not wait for anything it does. Errors: its binary was not built.
    pub fn start(command: ServiceCommand) -> anyhow::Result<Self> {
        let program = binary(&command.binary)?;
        Self::start_program(&program, command)
    }

    /// As [`Service::start`], for a program that is not one of ours, given by its path.
    pub fn start_program(program: &Path, command: ServiceCommand) -> anyhow::Result<Self> {
        let mut process = Command::new(program);
        process.args(&command.arguments);
        let ours = |name: &OsString| {
            matches!(name.to_str(), Some("DATABASE_URL" | "AMQP_URL"))
                || name.to_string_lossy().starts_with("HOLDFAST_")
        };
        for name in env::vars_os().map(|(name, _)| name).filter(ours) {
            process.env_remove(name);
        }
        process.envs(command.environment);
        let group = Group::start(Launch {
            name: command.binary,
            command: process,
            bare: false,
            account: None,
            input: None,
            log: command.log,
            record: None,
            parting: Parting::Kill,
        })?;
        Ok(Self { group })
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// How it ended; `None` while it runs.
    pub fn exit(&self) -> anyhow::Result<Option<Exit>> {
        self.group.exit()
    }

    /// Asks it to stop (SIGTERM) and, when `grace` is over, kills it and the children in its group.
    pub async fn stop(&mut self, grace: Duration) -> anyhow::Result<Exit> {
        self.group.signal(Signal::TERM)?;
        if let Some(exit) = self.group.wait(grace).await? {
            return Ok(exit);
        }
        self.group.signal_all(Signal::KILL)?;
        self.wait(KILLED_WITHIN).await
    }

    /// Kills it with SIGKILL and waits until it is gone. Its children are left to their fate, as they would
    /// be by the kernel's out-of-memory killer; those in its group end at the drop.
    pub async fn kill(&mut self) -> anyhow::Result<Exit> {
        self.group.signal(Signal::KILL)?;
        self.wait(KILLED_WITHIN).await
    }

    /// Freezes it and the children in its group (SIGSTOP), as a suspended virtual machine would be.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.group.signal_all(Signal::STOP)
    }

    /// Lets a paused service go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.group.signal_all(Signal::CONT)
    }

    /// Sends another signal to the service alone; a number as in `kill -NUMBER`.
    pub fn signal(&self, number: i32) -> anyhow::Result<()> {
        let signal =
            Signal::from_named_raw(number).with_context(|| format!("there is no signal {number}"))?;
        self.group.signal(signal)
    }

    /// Waits for its end. Errors: it still runs after `limit`.
    pub async fn wait(&self, limit: Duration) -> anyhow::Result<Exit> {
        let exit = self.group.wait(limit).await?;
        exit.with_context(|| format!("process {} still runs after {} s", self.pid(), limit.as_secs_f64()))
    }

    /// What it has written so far, both streams together.
    #[must_use]
    pub fn log(&self) -> String {
        self.group.output()
    }

    /// The file it writes to.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        self.group.log()
    }
}

/// SIGKILL works at once unless the process is inside a call to a device.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// The path of a binary of the workspace, as built in the profile of the running program.
///
/// Cargo puts programs into one directory per profile, and tests into `deps` below it. Errors: it was not
/// built; `cargo build --workspace --bins` does.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let mut directory = own.parent().context("this program is in no directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("`deps` is in no directory")?;
    }
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} is missing: `cargo build --workspace --bins` makes it", path.display());
    }
    Ok(path)
}
