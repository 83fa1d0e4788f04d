//! Files, environment and process of a node.

use std::{fs, path::PathBuf};

use crate::{
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
    pub(super) management: u16,
    pub(super) prometheus: u16,
    /// Between Erlang nodes; there is only one, but it listens.
    distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    pub(super) fn pick() -> anyhow::Result<Self> {
        let [amqp, management, prometheus, distribution, epmd] = ports::pick()?;
        Ok(Self { amqp, management, prometheus, distribution, epmd })
    }
}

/// How a node is started.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) installed: Installed,
    pub(super) home: Home,
    pub(super) directory: PathBuf,
    pub(super) ports: Ports,
}

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
             log.console.level = info\n"
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
