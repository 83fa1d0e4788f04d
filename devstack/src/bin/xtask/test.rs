//! `cargo xtask test`: all that CI runs.

use std::{
    env,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use devstack::{Claim, Options, Progress, Stack};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{checkout, report::step, setup, stopped::Stop};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the test runner, after `--`: for example a part of the tests' names
    #[arg(last = true)]
    runner: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    if let Some(code) = setup::ensure()? {
        return Ok(code);
    }
    let mut cargo = Cargo { root: checkout::root()?, stop: &mut stop };
    for check in checks(&cargo).await {
        if let Some(code) = cargo.run(check.verb, check.subject, &check.arguments, &[]).await? {
            return Ok(code);
        }
    }
    run_tests(&mut cargo, &arguments.runner).await
}

struct Check {
    verb: &'static str,
    subject: &'static str,
    arguments: Vec<&'static str>,
}

/// What needs no servers, the quick ones first.
async fn checks(cargo: &Cargo<'_>) -> Vec<Check> {
    let check =
        |verb, subject, arguments: &[&'static str]| Check { verb, subject, arguments: arguments.to_vec() };
    let mut checks = vec![check("Checking", "format", &["fmt", "--all", "--check"])];
    if cargo.has("deny").await {
        checks.push(check("Checking", "licences and bans", &["deny", "check", "licenses", "bans"]));
    } else {
        step("Skipping", "licences and bans: `cargo install cargo-deny --locked` adds the check");
    }
    let lint = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    checks.push(check("Checking", "lints", &lint));
    // Tests start the services by their binaries.
    checks.push(check("Building", "the services", &["build", "--workspace", "--bins"]));
    checks.push(check("Testing", "examples in the documentation", &["test", "--workspace", "--doc"]));
    checks
}

/// Runs the main test runner last, so that its summary closes the output.
async fn run_tests(cargo: &mut Cargo<'_>, filter: &[String]) -> anyhow::Result<ExitCode> {
    let mut arguments = if cargo.has("nextest").await {
        vec!["nextest", "run", "--workspace", "--profile", "ci"]
    } else {
        step("Note", "cargo-nextest is not installed; plain `cargo test` runs the tests");
        vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]
    };
    arguments.extend(filter.iter().map(String::as_str));
    let (claim, _) = Claim::first_free(&checkout::servers(&cargo.root), "test")?;
    let options = Options { fresh: true, progress: Progress::Shown };
    let stack = tokio::select! {
        stack = Stack::start_in(claim, options) => stack?,
        code = cargo.stop.asked() => return Ok(code),
    };
    let servers = [
        ("HOLDFAST_TEST_DATABASE_URL", stack.postgres.url()),
        ("HOLDFAST_TEST_AMQP_URL", stack.rabbitmq.url()),
        ("HOLDFAST_TEST_MANAGEMENT_URL", stack.rabbitmq.management_url()),
    ];
    let failed = cargo.run("Testing", "against private servers", &arguments, &servers).await;
    match &failed {
        Ok(None) => stack.discard().await?,
        // What the servers stored may tell why.
        Ok(Some(_)) | Err(_) => stack.stop().await?,
    }
    Ok(failed?.unwrap_or(ExitCode::SUCCESS))
}

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
    async fn has(&self, subcommand: &str) -> bool {
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
