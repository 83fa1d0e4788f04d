//! The programs that only the tests need: the examples for publishers are run as their users run them, and notifications go to real
//! receivers.

use std::process::{Command, Stdio};

use crate::servers::find_in_path;

/// The interpreter that Debian's Python packages are made for; another one in `PATH` does not see them.
pub const PYTHON: &str = "/usr/bin/python3";

/// A program, or a library, of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Runs JavaScript.
    Node,
    /// Fetches JavaScript packages.
    Npm,
    /// Python's client of RabbitMQ.
    Pika,
    /// Makes environments for Python packages.
    Venv,
    /// The shell's.
    AmqpPublish,
    /// Python's mail server.
    Aiosmtpd,
    /// Makes certificates.
    OpenSsl,
    /// Scrapes, and evaluates rules.
    Prometheus,
    /// Takes alerts.
    Alertmanager,
    /// Keeps answers for several reporters.
    Redis,
    /// Reads PDF.
    Poppler,
    /// The gateway.
    Nginx,
    /// Reads compose files.
    DockerCompose,
    /// Reads units.
    SystemdAnalyze,
}

impl Tool {
    /// Every tool.
    pub const ALL: [Self; 14] = [
        Self::Node,
        Self::Npm,
        Self::Pika,
        Self::Venv,
        Self::AmqpPublish,
        Self::Aiosmtpd,
        Self::OpenSsl,
        Self::Prometheus,
        Self::Alertmanager,
        Self::Redis,
        Self::Poppler,
        Self::Nginx,
        Self::DockerCompose,
        Self::SystemdAnalyze,
    ];

    /// What people look for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "Node.js",
            Self::Npm => "npm",
            Self::Pika => "pika for /usr/bin/python3",
            Self::Venv => "venv for /usr/bin/python3",
            Self::AmqpPublish => "amqp-publish",
            Self::Aiosmtpd => "aiosmtpd for /usr/bin/python3",
            Self::OpenSsl => "openssl",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "prometheus-alertmanager",
            Self::Redis => "redis-server",
            Self::Poppler => "pdftotext",
            Self::Nginx => "nginx",
            Self::DockerCompose => "docker-compose",
            Self::SystemdAnalyze => "systemd-analyze",
        }
    }

    /// The Debian package that has it.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Node => "nodejs",
            Self::Npm => "npm",
            Self::Pika => "python3-pika",
            Self::Venv => "python3-venv",
            Self::AmqpPublish => "amqp-tools",
            Self::Aiosmtpd => "python3-aiosmtpd",
            Self::OpenSsl => "openssl",
            Self::Prometheus => "prometheus",
            Self::Alertmanager => "prometheus-alertmanager",
            Self::Redis => "redis-server",
            Self::Poppler => "poppler-utils",
            Self::Nginx => "nginx-light",
            Self::DockerCompose => "docker-compose",
            Self::SystemdAnalyze => "systemd",
        }
    }

    fn is_there(self) -> bool {
        match self {
            Self::Node => find_in_path("node").is_some(),
            Self::Npm => find_in_path("npm").is_some(),
            Self::AmqpPublish => find_in_path("amqp-publish").is_some(),
            Self::Pika => imports("pika"),
            Self::Venv => imports("venv, ensurepip"),
            Self::Aiosmtpd => imports("aiosmtpd"),
            Self::OpenSsl => find_in_path("openssl").is_some(),
            // The checks of rules come with it.
            Self::Prometheus => find_in_path("prometheus").is_some() && find_in_path("promtool").is_some(),
            Self::Alertmanager => find_in_path("prometheus-alertmanager").is_some(),
            Self::Redis => find_in_path("redis-server").is_some(),
            Self::Poppler => find_in_path("pdftotext").is_some(),
            Self::Nginx => find_in_path("nginx").is_some(),
            Self::DockerCompose => find_in_path("docker-compose").is_some(),
            Self::SystemdAnalyze => find_in_path("systemd-analyze").is_some(),
        }
    }
}

fn imports(modules: &str) -> bool {
    let mut import = Command::new(PYTHON);
    import.args(["-c", &format!("import {modules}")]).stdin(Stdio::null()).stdout(Stdio::null());
    import.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Those that are not there.
#[must_use]
pub fn missing() -> Vec<Tool> {
    Tool::ALL.into_iter().filter(|tool| !tool.is_there()).collect()
}
