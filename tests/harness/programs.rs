//! Our own programs, started as users start them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use devstack::{Service, ServiceCommand};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{DEADLINE, World, eventually};

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The standard output of a command that had to succeed, as JSON.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl World {
    /// Runs one of our commands to its end.
    pub async fn run<A: AsRef<str>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Run {
        self.run_with(program, arguments, &[]).await
    }

    /// As [`World::run`], with more in its environment.
    pub async fn run_with<A: AsRef<str>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = A>,
        settings: &[(&str, &str)],
    ) -> Run {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().into()).collect();
        let mut command = Command::new(devstack::process::binary(program).unwrap());
        command.args(&arguments).env_clear().envs(self.environment()).envs(settings.iter().copied());
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(DEADLINE, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{program} {arguments:?} did not end")).unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a `producer` command to its end.
    pub async fn producer(&self, arguments: &[&str]) -> Run {
        self.run("producer", arguments).await
    }

    /// Applies definitions that have to be right.
    pub async fn apply(&self, definitions: &Value) {
        // JSON is YAML.
        let file = self.write("definitions.yaml", definitions.to_string());
        let run = self.producer(&["apply", file.to_str().unwrap()]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }

    /// Starts a program that goes on running.
    pub fn start(&self, program: &str, name: &str, settings: &[(&str, &str)]) -> Service {
        let mut command = ServiceCommand::new(program, self.path(format!("{name}.log"))).arg("run");
        for (variable, value) in self.environment() {
            command = command.env(variable, value);
        }
        for (variable, value) in settings {
            command = command.env(*variable, *value);
        }
        Service::start(command).unwrap()
    }

    /// Starts a producer with a quick reaper.
    pub fn start_producer(&self) -> Service {
        self.start("producer", "producer", &[("HOLDFAST_REAPER_INTERVAL", "500ms")])
    }

    /// Starts a worker with short leases.
    pub fn start_worker(&self, name: &str, settings: &[(&str, &str)]) -> Service {
        let defaults = [
            ("HOLDFAST_NAME", name),
            ("HOLDFAST_LEASE", "3s"),
            ("HOLDFAST_HEARTBEAT", "500ms"),
            ("HOLDFAST_GRACE", "5s"),
        ];
        self.start("worker", name, &[&defaults, settings].concat())
    }

    /// Starts a reporter; returns it with its address.
    pub async fn start_reporter(&self) -> (Service, String) {
        self.start_reporter_with("reporter", &[]).await
    }

    /// Starts a reporter of a name with more settings; returns it with its address.
    pub async fn start_reporter_with(&self, name: &str, settings: &[(&str, &str)]) -> (Service, String) {
        let usual = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REFRESH", "200ms")];
        let service = self.start("reporter", name, &[&usual, settings].concat());
        let address = address(&service).await;
        (service, address)
    }

    /// Starts a producer that takes commands over HTTP; returns it with its address.
    pub async fn start_api(&self, name: &str) -> (Service, String) {
        let service = self.start("producer", name, &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
        let address = address(&service).await;
        (service, address)
    }

    /// Stops a service that has to end well.
    pub async fn stop(&self, mut service: Service) {
        let exit = service.stop(Duration::from_secs(30)).await.unwrap();
        assert!(exit.success(), "{exit:?}\n{}", service.log());
    }

    /// What our programs see of this world.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = |name: &str| self.path(name).into_os_string();
        vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), path("")),
            ("DATABASE_URL".into(), self.database_url.clone().into()),
            ("AMQP_URL".into(), self.broker.url.clone().into()),
            ("HOLDFAST_SCRATCH".into(), path("scratch")),
            ("HOLDFAST_RESTORE_ROOT".into(), path("restored")),
            ("HOLDFAST_LOG".into(), "info,worker=debug".into()),
        ]
    }

    /// A target whose repository is in the test's directory.
    pub fn target(&self, name: &str, changes: &Value) -> Value {
        let mut target = json!({
            "name": name,
            "repository": self.path("repositories").join(name),
            "password": { "file": self.path("password") },
            "media": "disk",
            "site": "hq",
            "failure_domain": name,
        });
        merge(&mut target, changes);
        target
    }

    /// A job that backs the test's `source` directory up to some targets.
    pub fn files_job(&self, name: &str, targets: &[&str]) -> Value {
        json!({
            "name": name,
            "owner": "ops",
            "source": {
                "kind": "files", "paths": [self.path("source")],
                "site": "hq", "failure_domain": "host-1", "media": "disk",
            },
            "targets": targets,
        })
    }

    /// A job that only pretends.
    pub fn simulated_job(&self, name: &str, targets: &[&str], source: &Value) -> Value {
        let mut job = self.files_job(name, targets);
        job["source"] =
            json!({ "kind": "simulated", "site": "hq", "failure_domain": "host-1", "media": "disk" });
        merge(&mut job["source"], source);
        job
    }
}

/// Where a service that has just started listens.
pub async fn address(service: &Service) -> String {
    eventually("the service listens", async || {
        let log = service.log();
        let address = log.split("address=").nth(1)?.split_whitespace().next()?;
        Some(format!("http://{}", address.trim_matches('"')))
    })
    .await
}

fn merge(into: &mut Value, changes: &Value) {
    for (key, value) in changes.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}

/// What a reporter measures, by name and labels.
pub async fn metrics(url: &str) -> BTreeMap<String, f64> {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}
