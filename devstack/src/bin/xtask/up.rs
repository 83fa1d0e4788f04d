//! `cargo xtask up`: private servers until Ctrl-C.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use devstack::{Claim, Options, Progress, Stack};

use crate::{checkout, report::step, setup, stopped::Stop};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to write both addresses once both servers answer; removed at the end [default:
    /// target/devstack/env, or env-2, env-3 .. beside others that run]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    if let Some(code) = setup::ensure()? {
        return Ok(code);
    }
    let servers = checkout::servers(&checkout::root()?);
    let (claim, number) = Claim::first_free(&servers, "up")?;
    let env_file = match arguments.env_file {
        Some(file) => absolute(file)?,
        None if number == 1 => servers.join("env"),
        None => servers.join(format!("env-{number}")),
    };
    // From a run that was killed: whoever waits for the file must not find that one.
    fs::remove_file(&env_file).ok();
    let options = Options { fresh: false, progress: Progress::Shown, ..Options::default() };
    let stack = tokio::select! {
        stack = Stack::start_in(claim, options) => stack?,
        code = stop.asked() => return Ok(code),
    };
    let text = environment(&stack);
    write(&env_file, &text)?;
    announce(&env_file, &text);
    let ended = tokio::select! {
        _ = stop.asked() => None,
        reason = unexpected_end(&stack) => Some(reason),
    };
    step("Stopping", "both servers");
    // Another run may have been told to use the same file since.
    if fs::read_to_string(&env_file).is_ok_and(|now| now == text) {
        fs::remove_file(&env_file).ok();
    }
    stack.stop().await?;
    match ended {
        None => Ok(ExitCode::SUCCESS),
        Some(reason) => Err(reason?),
    }
}

fn environment(stack: &Stack) -> String {
    format!("DATABASE_URL={}\nAMQP_URL={}\n", stack.postgres.url(), stack.rabbitmq.url())
}

/// Writes the file at once and whole, for the user only: it holds passwords.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let directory = path.parent().context("this is no file")?;
        fs::create_dir_all(directory)?;
        let temporary = path.with_added_extension("new");
        fs::remove_file(&temporary).ok();
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&temporary, path)?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn announce(env_file: &Path, text: &str) {
    println!();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=') {
            println!("{name:<12} {value}");
        }
    }
    println!("{:<12} {}", "env file", env_file.display());
    println!("\nPress Ctrl-C to stop");
}

/// Waits until a server has ended by itself, and says which.
async fn unexpected_end(stack: &Stack) -> anyhow::Result<anyhow::Error> {
    let log = |server: &str| stack.directory().join(format!("{server}.log"));
    loop {
        for (name, exit, log) in [
            ("PostgreSQL", stack.postgres.exit()?, log("postgres")),
            ("RabbitMQ", stack.rabbitmq.exit()?, log("rabbitmq")),
        ] {
            if let Some(exit) = exit {
                return Ok(anyhow::anyhow!("{name} ended by itself with {exit}; see {}", log.display()));
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
