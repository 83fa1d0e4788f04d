//! Installing the servers, and what tests need beside them, from the distribution's packages.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, bail};
use rustix::process::geteuid;

use crate::servers::{Found, Server, find_in_path};
use crate::tools::Tool;

/// What has to happen before a stack can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// All is there.
    Nothing,
    /// These Debian packages are to be installed.
    Install {
        /// Names as apt knows them.
        packages: Vec<&'static str>,
        /// Whether that needs `sudo`.
        sudo: bool,
    },
    /// Only a person can do it: the text says what.
    Tell(String),
}

/// What matters of the machine for installing packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether the caller is root.
    pub root: bool,
    /// Whether there is `sudo`.
    pub sudo: bool,
    /// The first package manager found.
    pub packages: Option<PackageManager>,
}

/// A distribution's package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// Debian, Ubuntu.
    Apt,
    /// Fedora, RHEL.
    Dnf,
    /// openSUSE.
    Zypper,
    /// Arch.
    Pacman,
    /// Alpine.
    Apk,
}

impl PackageManager {
    const ALL: [Self; 5] = [Self::Apt, Self::Dnf, Self::Zypper, Self::Pacman, Self::Apk];

    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
            Self::Pacman => "pacman",
            Self::Apk => "apk",
        }
    }

    fn install(self) -> &'static str {
        match self {
            Self::Apt => "apt-get install --no-install-recommends",
            Self::Dnf => "dnf install",
            Self::Zypper => "zypper install",
            Self::Pacman => "pacman -S",
            Self::Apk => "apk add",
        }
    }

    fn package(self, server: Server) -> &'static str {
        match (self, server) {
            (Self::Dnf | Self::Zypper, Server::Postgres) => "postgresql-server",
            (_, Server::Postgres) => "postgresql",
            (Self::Pacman, Server::RabbitMq) => "rabbitmq",
            (_, Server::RabbitMq) => "rabbitmq-server",
        }
    }
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let packages =
            PackageManager::ALL.into_iter().find(|manager| find_in_path(manager.program()).is_some());
        Self { root: geteuid().is_root(), sudo: find_in_path("sudo").is_some(), packages }
    }
}

/// Decides what has to happen, given what was found of the servers and which tools are missing. Pure.
#[must_use]
pub fn plan(found: &[(Server, Found)], missing: &[Tool], machine: Machine) -> Plan {
    let wanting: Vec<&(Server, Found)> =
        found.iter().filter(|(_, found)| !matches!(found, Found::Ready(_))).collect();
    if wanting.is_empty() && missing.is_empty() {
        return Plan::Nothing;
    }
    let too_old = wanting.iter().any(|(_, found)| matches!(found, Found::TooOld(_)));
    match machine.packages {
        // A release that is there and too old is the distribution's newest: installing it again changes
        // nothing.
        Some(manager @ PackageManager::Apt) if !too_old && (machine.root || machine.sudo) => {
            Plan::Install { packages: packages(&wanting, missing, manager), sudo: !machine.root }
        }
        manager => Plan::Tell(instructions(&wanting, missing, manager)),
    }
}

/// The servers' packages, and the tools' where their names are known.
fn packages(wanting: &[&(Server, Found)], missing: &[Tool], manager: PackageManager) -> Vec<&'static str> {
    let absent = wanting.iter().filter(|(_, found)| *found == Found::Nothing);
    let servers = absent.map(|(server, _)| manager.package(*server));
    let tools = missing.iter().map(|tool| tool.package()).filter(|_| manager == PackageManager::Apt);
    servers.chain(tools).collect()
}

fn instructions(wanting: &[&(Server, Found)], missing: &[Tool], manager: Option<PackageManager>) -> String {
    let mut text = String::from("Please install:\n");
    for (server, found) in wanting {
        let name = server.name();
        let state = match found {
            Found::TooOld(old) => format!("found only {} in {}", old.version, old.programs.display()),
            _ => "not found".to_owned(),
        };
        // Writing to a String cannot fail.
        writeln!(text, "  {name} {} or newer, the server ({state})", server.oldest()).ok();
    }
    for tool in missing {
        writeln!(text, "  {}, for the tests (not found)", tool.name()).ok();
    }
    if let Some(manager) = manager {
        let packages = packages(wanting, missing, manager);
        if !packages.is_empty() {
            writeln!(text, "As root: {} {}", manager.install(), packages.join(" ")).ok();
        }
    }
    if wanting.is_empty() {
        return text;
    }
    if wanting.iter().any(|(_, found)| matches!(found, Found::TooOld(_))) || manager.is_none() {
        text.push_str("Newer releases: https://www.postgresql.org/download/ ");
        text.push_str("and https://www.rabbitmq.com/docs/download\n");
    }
    text.push_str("They need not be running or enabled: Holdfast starts private ones.");
    text
}

/// Installs Debian packages; apt's own output goes to the terminal. Needs root, or `sudo`.
pub fn install(packages: &[&str], sudo: bool) -> anyhow::Result<()> {
    let mut command = if sudo { Command::new("sudo") } else { Command::new("sh") };
    if sudo {
        command.arg("sh");
    }
    command.args(["-c", include_str!("install.sh"), "holdfast-install"]).args(packages);
    let status = command.status().context("cannot start the installation")?;
    if !status.success() {
        bail!("installing {} failed: {status}", packages.join(" and "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::{Installed, Version};

    const DEBIAN: Machine = Machine { root: true, sudo: false, packages: Some(PackageManager::Apt) };

    fn release(major: u32, minor: u32) -> Installed {
        Installed { version: Version { major, minor, patch: None }, programs: "/opt/server/bin".into() }
    }

    fn found(postgres: Found, rabbitmq: Found) -> [(Server, Found); 2] {
        [(Server::Postgres, postgres), (Server::RabbitMq, rabbitmq)]
    }

    fn told(plan: Plan) -> String {
        match plan {
            Plan::Tell(text) => text,
            other => panic!("not told but: {other:?}"),
        }
    }

    #[test]
    fn nothing_happens_when_both_servers_are_there() {
        let found = found(Found::Ready(release(15, 4)), Found::Ready(release(3, 10)));
        let machine = Machine { root: false, sudo: false, packages: None };
        assert_eq!(plan(&found, &[], machine), Plan::Nothing);
    }

    #[test]
    fn apt_installs_only_what_is_missing() {
        let found = found(Found::Ready(release(15, 4)), Found::Nothing);
        let expected = |sudo| Plan::Install { packages: vec!["rabbitmq-server"], sudo };
        assert_eq!(plan(&found, &[], DEBIAN), expected(false));
        assert_eq!(plan(&found, &[], Machine { root: false, sudo: true, ..DEBIAN }), expected(true));
    }

    #[test]
    fn tools_for_tests_are_installed_by_apt_and_named_elsewhere() {
        let found = found(Found::Ready(release(15, 4)), Found::Nothing);
        let missing = [Tool::Pika, Tool::AmqpPublish];
        let packages = vec!["rabbitmq-server", "python3-pika", "amqp-tools"];
        assert_eq!(plan(&found, &missing, DEBIAN), Plan::Install { packages, sudo: false });
        let fedora = Machine { packages: Some(PackageManager::Dnf), ..DEBIAN };
        let text = told(plan(&found, &missing, fedora));
        assert!(text.contains("amqp-publish, for the tests (not found)"), "{text}");
        assert!(text.contains("As root: dnf install rabbitmq-server\n"), "{text}");
    }

    #[test]
    fn without_root_and_sudo_the_exact_command_is_told() {
        let found = found(Found::Nothing, Found::Nothing);
        let text = told(plan(&found, &[], Machine { root: false, ..DEBIAN }));
        assert!(text.contains("PostgreSQL 15.0 or newer, the server (not found)"), "{text}");
        assert!(
            text.contains("apt-get install --no-install-recommends postgresql rabbitmq-server\n"),
            "{text}"
        );
    }

    #[test]
    fn other_systems_are_told_what_to_install() {
        let found = found(Found::Ready(release(17, 0)), Found::Nothing);
        let fedora = Machine { packages: Some(PackageManager::Dnf), ..DEBIAN };
        let text = told(plan(&found, &[], fedora));
        assert!(text.contains("RabbitMQ 3.10 or newer"), "{text}");
        assert!(text.contains("As root: dnf install rabbitmq-server\n"), "{text}");
        assert!(!text.contains("PostgreSQL 15"), "{text}");
        let text = told(plan(&found, &[], Machine { packages: None, ..DEBIAN }));
        assert!(text.contains("https://www.rabbitmq.com/docs/download"), "{text}");
    }

    #[test]
    fn a_release_that_is_too_old_is_named_and_not_installed_again() {
        let found = found(Found::TooOld(release(13, 9)), Found::Ready(release(3, 12)));
        let text = told(plan(&found, &[], DEBIAN));
        assert!(text.contains("found only 13.9 in /opt/server/bin"), "{text}");
        assert!(!text.contains("apt-get"), "{text}");
    }
}
