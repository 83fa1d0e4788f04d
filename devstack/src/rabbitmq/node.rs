//! Files, environment and process of a node.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{process::Command, time::timeout};

use crate::{
    certificate::Certificate,
    group::Group,
    home::Home,
    launch::{Launch, Parting},
    ports,
    servers::Installed,
};

/// The administrator.
pub(super) const USER: &str = "holdfast";

/// Unique enough, since every node has its own `epmd`; data is kept by this name.
const NAME: &str = "holdfast@localhost";

/// All on `127.0.0.1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    /// AMQP by TLS.
    pub(super) amqps: u16,
    pub(super) management: u16,
    pub(super) prometheus: u16,
    /// Between Erlang nodes; there is only one, but it listens.
    distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    pub(super) fn pick() -> anyhow::Result<Self> {
        let [amqp, amqps, management, prometheus, distribution, epmd] = ports::pick()?;
        Ok(Self { amqp, amqps, management, prometheus, distribution, epmd })
    }
}

/// How a node is started.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) installed: Installed,
    pub(super) home: Home,
    pub(super) directory: PathBuf,
    pub(super) ports: Ports,
    pub(super) settings: String,
    pub(super) advanced: String,
    pub(super) certificate: Option<Certificate>,
}

/// `rabbitmqctl` starts an Erlang machine of its own: two seconds where nothing else runs.
const CONTROLLED_WITHIN: Duration = Duration::from_mins(1);

impl Node {
    /// What the node stores.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Starts the Erlang machine; it does not answer yet.
    pub(super) fn launch(&self, password: &str) -> anyhow::Result<Group> {
        fs::create_dir_all(self.data())?;
        self.home.account().give(&self.data())?;
        self.home.write(&self.file("rabbitmq.conf"), &self.configuration(password))?;
        self.write_advanced()?;
        self.write_certificate()?;
        self.home.write(&self.file("enabled_plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n")?;
        self.home.write(&self.file("rabbitmq-env.conf"), "")?;
        let mut command = self.home.command(&self.installed.programs.join("rabbitmq-server"));
        command.current_dir(&self.directory).envs(self.environment());
        Group::start(Launch {
            name: "RabbitMQ".to_owned(),
            command,
            bare: true,
            account: Some(self.home.account()),
            input: None,
            log: self.home.log("rabbitmq"),
            record: Some(self.home.record("rabbitmq")),
            parting: Parting::Kill,
        })
    }

    /// Runs `rabbitmqctl` as the node's user, whose cookie lets it in.
    pub(super) async fn control(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let bare = self.home.command(&self.installed.programs.join("rabbitmqctl"));
        let mut command = std::process::Command::new(bare.get_program());
        // Of the caller's environment it sees as little as the node does.
        command.env_clear().envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(self.environment()).current_dir(&self.directory);
        command.args(arguments).stdin(Stdio::null());
        self.home.account().apply_to(&mut command);
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        let output = timeout(CONTROLLED_WITHIN, command.output()).await;
        let output = output.context("rabbitmqctl does not end")?.context("cannot start rabbitmqctl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "rabbitmqctl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The file of an earlier start must not outlive its text.
    fn write_advanced(&self) -> anyhow::Result<()> {
        let file = self.file("advanced.config");
        if self.advanced.is_empty() {
            fs::remove_file(&file).ok();
            return Ok(());
        }
        self.home.write(&file, &self.advanced)
    }

    pub(super) fn write_certificate(&self) -> anyhow::Result<()> {
        let Some(certificate) = &self.certificate else { return Ok(()) };
        self.home.write(&self.file("tls.crt"), &certificate.chain)?;
        self.home.write(&self.file("tls.key"), &certificate.key)
    }

    /// The lines for TLS, if there is a certificate to show.
    fn tls(&self) -> String {
        let (port, path) = (self.ports.amqps, |name| self.file(name).display().to_string());
        let lines = |_: &Certificate| {
            format!(
                "listeners.ssl.1 = 127.0.0.1:{port}\n\
                 ssl_options.certfile = {certificate}\n\
                 ssl_options.keyfile = {key}\n\
                 ssl_options.versions.1 = tlsv1.2\n\
                 ssl_options.verify = verify_none\n\
                 ssl_options.fail_if_no_peer_cert = false\n",
                certificate = path("tls.crt"),
                key = path("tls.key"),
            )
        };
        self.certificate.as_ref().map(lines).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn configuration(&self, password: &str) -> String {
        let Ports { amqp, management, prometheus, .. } = self.ports;
        format!(
            "listeners.tcp.1 = 127.0.0.1:{amqp}\n\
             management.tcp.ip = 127.0.0.1\n\
             management.tcp.port = {management}\n\
             prometheus.tcp.ip = 127.0.0.1\n\
             prometheus.tcp.port = {prometheus}\n\
             default_user = {USER}\n\
             default_pass = {password}\n\
             default_user_tags.administrator = true\n\
             log.console.level = info\n\
             {tls}{settings}\n",
            tls = self.tls(),
            settings = self.settings,
        )
    }

    /// Every place a node would otherwise look at or write to, as `/etc/rabbitmq` and `/var/lib/rabbitmq`.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.file(name).display().to_string();
        let data = self.data().display().to_string();
        vec![
            ("HOME", path("")),
            ("RABBITMQ_NODENAME", NAME.to_owned()),
            ("RABBITMQ_CONF_ENV_FILE", path("rabbitmq-env.conf")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_CONFIG_FILES", path("conf.d")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins")),
            ("RABBITMQ_MNESIA_BASE", data),
            ("RABBITMQ_LOG_BASE", path("")),
            // To standard output, so into the one log file.
            ("RABBITMQ_LOGS", "-".to_owned()),
            ("RABBITMQ_SCHEMA_DIR", path("schema")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("schema")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("ERL_CRASH_DUMP", path("erl_crash.dump")),
            ("RABBITMQ_DIST_PORT", self.ports.distribution.to_string()),
            ("ERL_EPMD_PORT", self.ports.epmd.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            // Makes the start script become the Erlang machine instead of waiting beside it, so that
            // signals reach it. Without NOTIFY_SOCKET nothing else follows from it.
            ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        ]
    }
}
