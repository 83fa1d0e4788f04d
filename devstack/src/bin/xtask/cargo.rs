//! Cargo, run by this program.

use std::{
    env,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{report::step, stopped::Stop};

/// Runs cargo in a workspace, until it is done or the person asks to stop.
pub(crate) struct Cargo<'a> {
    pub(crate) root: PathBuf,
    pub(crate) stop: &'a mut Stop,
}

impl Cargo<'_> {
    /// Runs cargo; answers with the exit code unless it succeeded.
    pub(crate) async fn run(
        &mut self,
        verb: &str,
        subject: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
    ) -> anyhow::Result<Option<ExitCode>> {
        step(verb, subject);
        let mut command = command(&self.root);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().context("cannot start cargo")?;
        tokio::select! {
            status = child.wait() => Ok(failure(status?)),
            code = self.stop.asked() => {
                end(&mut child).await?;
                Ok(Some(code))
            }
        }
    }

    /// Whether cargo has this subcommand.
    pub(crate) async fn has(&self, subcommand: &str) -> bool {
        let mut command = command(&self.root);
        command.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }
}

/// A cargo that does not see what the cargo above this program told it about its own package: build scripts
/// that watch these variables would run again at every change between `cargo xtask test` and `cargo test`.
fn command(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    let told = |name: &str| {
        name.starts_with("CARGO_PKG_")
            || name.starts_with("CARGO_MANIFEST_")
            || matches!(name, "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(told)) {
        command.env_remove(name);
    }
    command
}

fn failure(status: ExitStatus) -> Option<ExitCode> {
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    (!status.success()).then(|| ExitCode::from(code))
}

/// How long cargo may take to end by itself: after Ctrl-C the terminal has told it already, and a second signal
/// would keep the test runner from ending its tests in order.
const TOLD_ALREADY: Duration = Duration::from_secs(2);

/// Lets cargo and the test runner end what they started.
async fn end(child: &mut Child) -> anyhow::Result<()> {
    if timeout(TOLD_ALREADY, child.wait()).await.is_ok() {
        return Ok(());
    }
    let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    child.wait().await?;
    Ok(())
}
