//! Channels as users write them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::channel::{self, ChannelName, Means, Tls};

use super::secret::Secret;
use super::values::{Length, address, addresses, host, is_false, name, text, web, words};

/// A way by which notifications go.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[schemars(deny_unknown_fields)]
pub enum Channel {
    /// E-mail over SMTP.
    Email {
        /// The name that routes and commands use.
        #[schemars(schema_with = "name")]
        name: ChannelName,
        /// The sender.
        #[schemars(schema_with = "address")]
        from: String,
        /// The recipients.
        #[schemars(schema_with = "addresses")]
        to: Vec<String>,
        /// The host name or the IP address of the server that takes the mail.
        #[schemars(schema_with = "host")]
        server: String,
        /// How the way to the server is protected; `none` only to this machine, or with `insecure`.
        #[schemars(default = "starttls", schema_with = "protections")]
        tls: Tls,
        /// The server's port: 587 with starttls, 465 with tls and 25 without, where it is absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(default, with = "u16", range(min = 1, max = 65_535))]
        port: Option<u16>,
        /// As whom the reporter logs in.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(default, with = "Login")]
        login: Option<Login>,
        /// Whether mail may travel unprotected to another machine.
        #[serde(skip_serializing_if = "is_false")]
        #[schemars(default)]
        insecure: bool,
    },
    /// A signed request with a documented body.
    Webhook {
        /// The name that routes and commands use.
        #[schemars(schema_with = "name")]
        name: ChannelName,
        /// Where it goes.
        #[schemars(schema_with = "web")]
        url: String,
        /// The key of the signature.
        secret: Secret,
        /// How far requests may go.
        #[serde(flatten)]
        reach: Reach,
    },
    /// An incoming webhook of Slack.
    Slack {
        /// Its name and where it is.
        #[serde(flatten)]
        chat: Chat,
    },
    /// A webhook of a workflow in Microsoft Teams.
    Teams {
        /// Its name and where it is.
        #[serde(flatten)]
        chat: Chat,
    },
    /// An Alertmanager of Prometheus.
    Alertmanager {
        /// The name that routes and commands use.
        #[schemars(schema_with = "name")]
        name: ChannelName,
        /// Its root.
        #[schemars(schema_with = "web")]
        url: String,
        /// How far requests may go.
        #[serde(flatten)]
        reach: Reach,
    },
    /// A dead man's switch: asked for again and again as long as the pipeline works. No route leads there.
    Heartbeat {
        /// Its name and where it is.
        #[serde(flatten)]
        chat: Chat,
        /// How often, 10s to 24h.
        every: Length,
    },
}

/// As whom the reporter logs in to a mail server.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Login {
    /// The user.
    #[schemars(schema_with = "text")]
    user: String,
    /// The password.
    password: Secret,
}

/// What is reached by a secret URL.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Chat {
    /// The name that routes and commands use.
    #[schemars(schema_with = "name")]
    name: ChannelName,
    /// Where the URL is found: whoever knows it may use it.
    url: Secret,
    #[serde(flatten)]
    reach: Reach,
}

/// How far a request may go.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reach {
    /// Whether the address may be in a private network.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    allow_private: bool,
}

impl From<&channel::Channel> for Channel {
    fn from(channel: &channel::Channel) -> Self {
        let name = channel.name.clone();
        let chat = |url, allow_private| Chat {
            name: channel.name.clone(),
            url: Secret::from(url),
            reach: Reach { allow_private },
        };
        match &channel.means {
            Means::Email(email) => Self::Email {
                name,
                from: email.from.as_str().to_owned(),
                to: email.to.iter().map(|to| to.as_str().to_owned()).collect(),
                server: email.server.clone(),
                tls: email.tls,
                port: Some(email.port),
                login: email
                    .login
                    .as_ref()
                    .map(|login| Login { user: login.user.clone(), password: Secret::from(&login.password) }),
                insecure: email.insecure,
            },
            Means::Webhook(webhook) => Self::Webhook {
                name,
                url: webhook.url.clone(),
                secret: Secret::from(&webhook.secret),
                reach: Reach { allow_private: webhook.allow_private },
            },
            Means::Slack(means) => Self::Slack { chat: chat(&means.url, means.allow_private) },
            Means::Teams(means) => Self::Teams { chat: chat(&means.url, means.allow_private) },
            Means::Alertmanager(means) => Self::Alertmanager {
                name,
                url: means.url.clone(),
                reach: Reach { allow_private: means.allow_private },
            },
            Means::Heartbeat(means) => {
                Self::Heartbeat { chat: chat(&means.url, means.allow_private), every: Length(means.every) }
            }
        }
    }
}

fn starttls() -> Tls {
    Tls::StartTls
}

fn protections(_: &mut SchemaGenerator) -> Schema {
    words(Tls::ALL)
}
