//! `cargo xtask setup`: the servers' programs, and what the tests need beside them.

use std::process::ExitCode;

use devstack::{
    install::{Machine, Plan, install, plan},
    servers::{Found, Server, find},
    tools::{self, Tool},
};

use crate::{checkout, npm, pip, report::step};

const SERVERS: [Server; 2] = [Server::Postgres, Server::RabbitMq];

/// Exit code when something is missing that only a person can install.
const MISSING: u8 = 2;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    if let Some(code) = ensure_for_tests()? {
        return Ok(code);
    }
    for (server, found) in look() {
        if let Found::Ready(installed) = found {
            println!(
                "{:<11} {:<8} {}",
                server.name(),
                installed.version.to_string(),
                installed.programs.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs the servers if they are missing, saying nothing when they are not. Answers with an exit code if that cannot be
/// done.
pub(crate) fn ensure() -> anyhow::Result<Option<ExitCode>> {
    ensure_with(Vec::new)
}

/// As [`ensure`], with what the tests need beside the servers.
pub(crate) fn ensure_for_tests() -> anyhow::Result<Option<ExitCode>> {
    let failed = ensure_with(tools::missing)?;
    if failed.is_none() {
        npm::ensure(&checkout::root()?)?;
        pip::ensure(&checkout::root()?)?;
    }
    Ok(failed)
}

fn ensure_with(missing: fn() -> Vec<Tool>) -> anyhow::Result<Option<ExitCode>> {
    let instructions = match plan(&look(), &missing(), Machine::here()) {
        Plan::Nothing => return Ok(None),
        Plan::Tell(text) => text,
        Plan::Install { packages, sudo } => {
            step("Installing", &packages.join(" and "));
            install(&packages, sudo)?;
            // The distribution may be older than what we need.
            match plan(&look(), &missing(), Machine { packages: None, ..Machine::here() }) {
                Plan::Tell(text) => text,
                _ => return Ok(None),
            }
        }
    };
    eprintln!("{instructions}");
    Ok(Some(ExitCode::from(MISSING)))
}

fn look() -> [(Server, Found); 2] {
    SERVERS.map(|server| (server, find(server)))
}
