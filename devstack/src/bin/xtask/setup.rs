//! `cargo xtask setup`: the servers' programs.

use std::process::ExitCode;

use devstack::{
    install::{Machine, Plan, install, plan},
    servers::{Found, Server, find},
};

use crate::report::step;

const SERVERS: [Server; 2] = [Server::Postgres, Server::RabbitMq];

/// Exit code when something is missing that only a person can install.
const MISSING: u8 = 2;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    if let Some(code) = ensure()? {
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

/// Installs what is missing, saying nothing when nothing is. Answers with an exit code if that cannot be
/// done.
pub(crate) fn ensure() -> anyhow::Result<Option<ExitCode>> {
    let instructions = match plan(&look(), Machine::here()) {
        Plan::Nothing => return Ok(None),
        Plan::Tell(text) => text,
        Plan::Install { packages, sudo } => {
            step("Installing", &packages.join(" and "));
            install(&packages, sudo)?;
            // The distribution may be older than what we need.
            match plan(&look(), Machine { packages: None, ..Machine::here() }) {
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
