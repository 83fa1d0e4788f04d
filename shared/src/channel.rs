//! A channel: a way by which notifications reach people and other systems.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::{name_type, text_enum};
use crate::target::SecretRef;

/// The longest address of a mailbox, in bytes: RFC 5321, 4.5.3.1.3, without the angle brackets.
const LONGEST_ADDRESS: usize = 254;

name_type! {
    /// A channel's name, as definitions say it.
    ChannelName
}

/// A channel as it is defined and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The name that routes and commands use.
    pub name: ChannelName,
    /// How it reaches whom.
    #[serde(flatten)]
    pub means: Means,
}

/// How a channel reaches whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Means {
    /// E-mail over SMTP.
    Email(Email),
    /// A signed request with a documented body.
    Webhook(Webhook),
    /// An incoming webhook of Slack.
    Slack(Chat),
    /// A webhook of a workflow in Microsoft Teams.
    Teams(Chat),
    /// An Alertmanager of Prometheus.
    Alertmanager(Alertmanager),
    /// A dead man's switch: told again and again that the pipeline works, and of nothing else.
    Heartbeat(Heartbeat),
}

impl Means {
    /// The kinds that notifications go by: all but dead man's switches.
    pub const NOTIFYING: [&str; 5] = ["email", "webhook", "slack", "teams", "alertmanager"];

    /// The kind's one spelling.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Email(_) => "email",
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::Teams(_) => "teams",
            Self::Alertmanager(_) => "alertmanager",
            Self::Heartbeat(_) => "heartbeat",
        }
    }

    /// Whether alerts can be told by it.
    #[must_use]
    pub const fn tells_alerts(&self) -> bool {
        !matches!(self, Self::Heartbeat(_))
    }
}

/// E-mail over SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The sender.
    pub from: Address,
    /// The recipients, one at least.
    pub to: Vec<Address>,
    /// The host name or the IP address of the server that takes the mail.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is protected.
    pub tls: Tls,
    /// As whom the reporter logs in.
    pub login: Option<Login>,
    /// Mail may travel unprotected to another machine.
    pub insecure: bool,
}

impl Email {
    /// Whether the mail stays protected, or on this machine.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        let local =
            || self.server.parse::<IpAddr>().map_or(self.server == "localhost", |ip| ip.is_loopback());
        self.tls != Tls::None || local()
    }
}

text_enum! {
    /// How the way to a mail server is protected.
    Tls {
        /// A plain connection that turns to TLS, or nothing is sent.
        StartTls = "starttls",
        /// TLS from the first byte on.
        Tls = "tls",
        /// Not at all.
        None = "none",
    }
}

impl Tls {
    /// The port on which servers expect it.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// As whom the reporter logs in to a mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Where the reporter finds the password.
    pub password: SecretRef,
}

/// A signed request with a documented body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `http://..` or `https://..`, without user and password.
    pub url: String,
    /// Where the reporter finds the key of the signature.
    pub secret: SecretRef,
    /// The address may be in a private network.
    pub allow_private: bool,
}

/// A webhook of a chat, whose URL is the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// Where the reporter finds the URL.
    pub url: SecretRef,
    /// The address may be in a private network.
    pub allow_private: bool,
}

/// An Alertmanager of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alertmanager {
    /// Its root, to which `/api/v2/alerts` is added.
    pub url: String,
    /// The address may be in a private network.
    pub allow_private: bool,
}

/// A dead man's switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Where the reporter finds the URL: whoever knows it can say that all is well.
    pub url: SecretRef,
    /// How often it is told, 10 s to a day.
    pub every: Duration,
    /// The address may be in a private network.
    pub allow_private: bool,
}

/// The bounds of [`Heartbeat::every`].
pub const HEARTBEATS: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(24);

/// The address of a mailbox: letters, digits and some signs before the `@`, a host name behind it; 254 bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// What [`Address`] takes, as a pattern for JSON Schemas.
pub const ADDRESS_PATTERN: &str =
    "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$";

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

/// Why a text is no address of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address such as ops@example.org")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        let host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        let ends_well = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        let fits = text.len() <= LONGEST_ADDRESS
            && text.split_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && local.chars().all(sign)
                    && domain.chars().all(host)
                    && ends_well(domain)
            });
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidAddress(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;
    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_could_become_a_header_or_another_recipient_is_refused_as_the_pattern_says() {
        let pattern = jsonschema::validator_for(&serde_json::json!({ "pattern": ADDRESS_PATTERN })).unwrap();
        for (text, good) in [
            ("ops@example.org", true),
            ("backup+holdfast@a-b.example", true),
            ("root@localhost", true),
            ("", false),
            ("ops", false),
            ("@example.org", false),
            ("ops@", false),
            ("ops@-a.example", false),
            ("a b@example.org", false),
            ("ops@example.org\r\nBcc: all@example.org", false),
            ("ops@example.org\n", false),
            ("Ops <ops@example.org>", false),
            ("a@b@c", false),
            ("a@b, c@d", false),
            ("ö@example.org", false),
        ] {
            assert_eq!(text.parse::<Address>().is_ok(), good, "{text:?}");
            assert_eq!(pattern.is_valid(&text.into()), good, "{text:?} by the pattern");
        }
    }

    #[test]
    fn mail_without_protection_stays_on_the_machine() {
        let email = |server: &str, tls| Email {
            from: "a@b".parse().unwrap(),
            to: vec!["a@b".parse().unwrap()],
            server: server.to_owned(),
            port: 25,
            tls,
            login: None,
            insecure: false,
        };
        for server in ["localhost", "127.0.0.1", "::1"] {
            assert!(email(server, Tls::None).is_protected(), "{server}");
        }
        assert!(!email("mail.example", Tls::None).is_protected());
        assert!(!email("localhost.example", Tls::None).is_protected());
        assert!(email("mail.example", Tls::StartTls).is_protected());
    }
}
