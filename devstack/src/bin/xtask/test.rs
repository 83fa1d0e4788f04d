//! `cargo xtask test`: all that CI runs.

use std::process::ExitCode;

use devstack::{Claim, Options, Progress, Stack};

use crate::{cargo::Cargo, checkout, npm, pip, report::step, setup, stopped::Stop};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the test runner, after `--`: for example a part of the tests' names
    #[arg(last = true)]
    runner: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    if let Some(code) = setup::ensure_for_tests()? {
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
    let options = Options { fresh: true, progress: Progress::Shown, ..Options::default() };
    let stack = tokio::select! {
        stack = Stack::start_in(claim, options) => stack?,
        code = cargo.stop.asked() => return Ok(code),
    };
    let servers = [
        ("HOLDFAST_TEST_DATABASE_URL", stack.postgres.url()),
        ("HOLDFAST_TEST_AMQP_URL", stack.rabbitmq.url()),
        ("HOLDFAST_TEST_MANAGEMENT_URL", stack.rabbitmq.management_url()),
        ("HOLDFAST_TEST_BROKER_METRICS_URL", stack.rabbitmq.metrics_url()),
        ("HOLDFAST_TEST_NPM", npm::directory(&cargo.root).display().to_string()),
        ("HOLDFAST_TEST_PIP", pip::directory(&cargo.root).display().to_string()),
    ];
    let failed = cargo.run("Testing", "against private servers", &arguments, &servers).await;
    match &failed {
        Ok(None) => stack.discard().await?,
        // What the servers stored may tell why.
        Ok(Some(_)) | Err(_) => stack.stop().await?,
    }
    Ok(failed?.unwrap_or(ExitCode::SUCCESS))
}
