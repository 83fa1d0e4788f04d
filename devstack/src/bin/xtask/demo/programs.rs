//! Our programs, used as a person at a shell would.

use std::{ffi::OsString, path::Path, process::Stdio};

use anyhow::{Context as _, bail};
use devstack::{ServiceCommand, Stack, process::binary};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::place::Place;

/// Starts our programs against the demo's servers.
pub(super) struct Programs {
    environment: Vec<(&'static str, OsString)>,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Programs {
    pub(super) fn new(place: &Place, stack: &Stack) -> Self {
        let environment = vec![
            ("DATABASE_URL", stack.postgres.url().into()),
            ("AMQP_URL", stack.rabbitmq.url().into()),
            ("HOLDFAST_NAME", "demo".into()),
            ("HOLDFAST_SCRATCH", place.path("scratch").into()),
            ("HOLDFAST_RESTORE_ROOT", place.path("restored").into()),
            // Progress travels with the heartbeat.
            ("HOLDFAST_HEARTBEAT", "1s".into()),
            ("HOLDFAST_LEASE", "15s".into()),
            ("HOLDFAST_GRACE", "5s".into()),
            ("HOLDFAST_LISTEN", "127.0.0.1:0".into()),
            ("HOLDFAST_REFRESH", "2s".into()),
        ];
        Self { environment }
    }

    /// A service that goes on running.
    pub(super) fn service(&self, program: &str, log: &Path) -> ServiceCommand {
        let command = ServiceCommand::new(program, log).arg("run");
        self.environment.iter().fold(command, |command, (name, value)| command.env(*name, value))
    }

    /// Runs a command that has to succeed.
    pub(super) async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let ended = self.output(program, arguments).await?;
        match ended.code {
            Some(0) => Ok(()),
            _ => bail!("`{program} {}` failed: {}", arguments.join(" "), ended.words()),
        }
    }

    /// Runs a command that answers with JSON. Its exit code is no matter: it only sums up what the answer says.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        program: &str,
        arguments: &[&str],
    ) -> anyhow::Result<T> {
        let ended = self.output(program, arguments).await?;
        serde_json::from_slice(&ended.stdout)
            .with_context(|| format!("`{program} {}` failed: {}", arguments.join(" "), ended.words()))
    }

    async fn output(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
        let mut command = Command::new(binary(program)?);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("HOLDFAST_")) {
                command.env_remove(name);
            }
        }
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("HOLDFAST_LOG", "warn");
        // Ctrl-C is for this program, which then stops everything in order.
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("cannot start {program}"))?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Ended { code: output.status.code(), stdout: output.stdout, stderr })
    }
}

impl Ended {
    /// What it said, or at least its exit code.
    fn words(&self) -> String {
        match (self.stderr.trim(), String::from_utf8_lossy(&self.stdout).trim()) {
            ("", "") => format!("it said nothing, exit code {:?}", self.code),
            ("", said) | (said, _) => said.to_owned(),
        }
    }
}
