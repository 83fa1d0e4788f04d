//! How a child process is started.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{account::Account, servers::find_in_path};

/// The signal a process gets when its owner is gone or drops it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parting {
    Kill,
    /// To PostgreSQL: "immediate shutdown"; it gives back its shared memory first.
    Quit,
}

/// What is to be started. The command must carry program, arguments, environment and directory only.
pub(crate) struct Launch {
    pub(crate) name: String,
    pub(crate) command: Command,
    /// Start from an empty environment instead of the caller's.
    pub(crate) bare: bool,
    pub(crate) account: Option<Account>,
    pub(crate) input: Option<PathBuf>,
    /// Gets both output streams, behind what it already holds.
    pub(crate) log: PathBuf,
    /// Holds the process's identity as long as it may run, for whoever cleans up after a killed owner.
    pub(crate) record: Option<PathBuf>,
    pub(crate) parting: Parting,
}

impl Launch {
    /// The command as it is really run: in a group of its own, and with a signal for the day its owner is
    /// killed.
    pub(crate) fn into_command(self, output: File) -> anyhow::Result<Command> {
        let inner = self.command;
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                let signal = match self.parting {
                    Parting::Kill => "KILL",
                    Parting::Quit => "QUIT",
                };
                command.args(["--pdeathsig", signal, "--"]).arg(inner.get_program());
                command
            }
            None => Command::new(inner.get_program()),
        };
        command.args(inner.get_args());
        if self.bare {
            command.env_clear();
        }
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = inner.get_current_dir() {
            command.current_dir(directory);
        }
        if let Some(account) = self.account {
            account.apply_to(&mut command);
        }
        match self.input {
            Some(input) => command.stdin(File::open(input)?),
            None => command.stdin(Stdio::null()),
        };
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        Ok(command)
    }
}

/// `setpriv` of util-linux, which sets the parent death signal and then becomes the program. Where it is
/// missing or cannot do that (`BusyBox`), a killed owner's servers live on until the next start in their
/// directory.
fn setpriv() -> Option<&'static Path> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    SETPRIV
        .get_or_init(|| {
            let path = find_in_path("setpriv")?;
            let mut trial = Command::new(&path);
            trial.args(["--pdeathsig", "keep", "--", "true"]);
            trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            trial.status().is_ok_and(|status| status.success()).then_some(path)
        })
        .as_deref()
}
