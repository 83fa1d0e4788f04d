//! `cargo xtask faults`: brings faults about, and says whether anything was lost, doubled or stale.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use devstack::progress::emphasised;
use devstack::{Options, Stack};
use harness::Servers;
use harness::faults::{ALL, Fault, Form, Report, Screen, find, table};
use tokio::signal::unix::{SignalKind, signal};

/// Brings faults about on private servers, and says whether anything was lost, doubled or stale
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults")]
struct Arguments {
    /// Which faults, such as T1; all without any
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Minutes for each fault instead of half a minute, with the loads that the guarantees are stated for
    #[arg(long)]
    full: bool,
    /// Writes what came of each fault to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Shows what there is
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&error.into()),
    };
    let code = runtime.block_on(run_or_stop(&arguments));
    // A thread that still waits for something in vain is not waited for.
    runtime.shutdown_background();
    code
}

async fn run_or_stop(arguments: &Arguments) -> ExitCode {
    let stopped = async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::io::Result::Ok(())
    };
    // What is dropped when a signal comes ends servers and programs, and takes file systems away.
    let finished = tokio::select! {
        finished = run(arguments) => finished,
        stopped = stopped => stopped.context("listening for signals").map(|()| ExitCode::from(130)),
    };
    finished.unwrap_or_else(|error| failure(&error))
}

fn failure(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        for fault in ALL {
            println!("{:<4} {}", fault.name, fault.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = chosen(&arguments.names)?;
    let form = if arguments.full { Form::Full } else { Form::Short };
    let directory = tempfile::Builder::new().prefix("holdfast-faults-").tempdir()?;
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let claim = devstack::Claim::try_new(&directory.path().join("stack"))?.context("the directory is new")?;
    let stack = Stack::start_in(claim, Options::default()).await?;
    let servers = Servers::of(&stack);
    let mut reports = Vec::new();
    for fault in chosen {
        let report = show(fault, &servers, form).await;
        reports.push(report);
        // After each, so that a run that is cut short has told something.
        if let Some(file) = &arguments.json {
            std::fs::write(file, serde_json::to_vec_pretty(&reports)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    stack.discard().await?;
    println!("{}", table(&reports));
    Ok(if reports.iter().all(|report| report.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Brings one about and shows how far it is; in the end, one line.
async fn show(fault: &Fault, servers: &Servers, form: Form) -> Report {
    let screen = Screen::default();
    let report = tokio::select! {
        report = fault.run(servers, form, &screen) => report,
        () = screen.show(fault.name) => unreachable!("it shows for ever"),
    };
    let word = if report.passed { "passed" } else { "FAILED" };
    let what = emphasised(&format!("{:>12}", fault.name));
    eprintln!("{what} {word}: {}, in {:.0} s", fault.what, report.seconds);
    for violation in &report.violations {
        eprintln!("{:>12} {violation}", "");
    }
    for bar in report.bar.iter().filter(|bar| !bar.met) {
        eprintln!("{:>12} not met: {}", "", bar.what);
    }
    report
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Fault>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let known = || ALL.iter().map(|fault| fault.name).collect::<Vec<_>>().join(", ");
            find(name).with_context(|| format!("{name} is none of {}", known()))
        })
        .collect()
}
