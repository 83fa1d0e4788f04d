//! A channel as users write it.

use std::time::Duration;

use shared::channel::{
    Alertmanager, Channel, ChannelName, Chat, Email, HEARTBEATS, Heartbeat, Login, Means, Tls, Webhook,
};
use url::Url;

use super::fields::Fields;
use super::node::Value;
use super::secret;
use super::values::{parsed, period, text, truth};

enum Kind {
    Email,
    Webhook,
    Slack,
    Teams,
    Alertmanager,
    Heartbeat,
}

/// Reads an entry of the list `channels`; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Channel> {
    let name = fields.required("name", parsed::<ChannelName>);
    // The other fields depend on it: without it, nothing can be said about them.
    let means = match fields.required("kind", kind)?.value {
        Kind::Email => email(&mut fields).map(Means::Email),
        Kind::Webhook => webhook(&mut fields).map(Means::Webhook),
        Kind::Slack => chat(&mut fields).map(Means::Slack),
        Kind::Teams => chat(&mut fields).map(Means::Teams),
        Kind::Alertmanager => alertmanager(&mut fields).map(Means::Alertmanager),
        Kind::Heartbeat => heartbeat(&mut fields).map(Means::Heartbeat),
    };
    fields.finish();
    Some(Channel { name: name?.value, means: means? })
}

fn kind(value: &Value) -> Result<Kind, String> {
    match text(value)?.as_str() {
        "email" => Ok(Kind::Email),
        "webhook" => Ok(Kind::Webhook),
        "slack" => Ok(Kind::Slack),
        "teams" => Ok(Kind::Teams),
        "alertmanager" => Ok(Kind::Alertmanager),
        "heartbeat" => Ok(Kind::Heartbeat),
        other => Err(format!(
            "{other:?} is unknown, use one of: email, webhook, slack, teams, alertmanager, heartbeat"
        )),
    }
}

fn email(fields: &mut Fields<'_, '_>) -> Option<Email> {
    let before = fields.problems();
    let from = fields.required("from", parsed);
    let to = fields.required_list("to", parsed);
    let server = fields.required("server", host);
    let tls = fields.optional("tls", parsed).unwrap_or(Tls::StartTls);
    let port = fields.optional("port", port).unwrap_or(tls.port());
    let login = fields.optional_below("login").map(login);
    let insecure = fields.optional("insecure", truth).unwrap_or(false);
    if fields.problems() > before {
        return None;
    }
    let to = to.into_iter().map(|to| to.value).collect();
    let login = login.flatten();
    let email = Email { from: from?.value, to, server: server?.value, port, tls, login, insecure };
    if !email.is_protected() && !email.insecure {
        fields.problem(0, "tls", "none sends mail unprotected to another machine: that needs insecure: true");
        return None;
    }
    Some(email)
}

fn login(mut fields: Fields<'_, '_>) -> Option<Login> {
    let user = fields.required("user", text);
    let password = secret::read(&mut fields, "password");
    fields.finish();
    Some(Login { user: user?.value, password: password? })
}

fn webhook(fields: &mut Fields<'_, '_>) -> Option<Webhook> {
    let url = fields.required("url", web);
    let secret = secret::read(fields, "secret");
    let allow_private = allow_private(fields);
    Some(Webhook { url: url?.value, secret: secret?, allow_private })
}

fn chat(fields: &mut Fields<'_, '_>) -> Option<Chat> {
    let url = secret::read(fields, "url");
    let allow_private = allow_private(fields);
    Some(Chat { url: url?, allow_private })
}

fn alertmanager(fields: &mut Fields<'_, '_>) -> Option<Alertmanager> {
    let url = fields.required("url", web);
    let allow_private = allow_private(fields);
    Some(Alertmanager { url: url?.value, allow_private })
}

fn heartbeat(fields: &mut Fields<'_, '_>) -> Option<Heartbeat> {
    let url = secret::read(fields, "url");
    let every = fields.required("every", every);
    let allow_private = allow_private(fields);
    Some(Heartbeat { url: url?, every: every?.value, allow_private })
}

fn allow_private(fields: &mut Fields<'_, '_>) -> bool {
    fields.optional("allow_private", truth).unwrap_or(false)
}

fn every(value: &Value) -> Result<Duration, String> {
    let every = period(value)?;
    if HEARTBEATS.contains(&every) { Ok(every) } else { Err("use 10s to 24h".to_owned()) }
}

fn port(value: &Value) -> Result<u16, String> {
    match value {
        Value::Whole(port @ 1..=65_535) => Ok(u16::try_from(*port).unwrap_or(u16::MAX)),
        Value::Whole(_) => Err("is not from 1 to 65535".to_owned()),
        other => Err(format!("is {}, a port from 1 to 65535 is needed", other.what())),
    }
}

/// The name or the address of a machine.
fn host(value: &Value) -> Result<String, String> {
    let host = text(value)?;
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-');
    if host.len() <= 255 && host.chars().all(sign) { Ok(host) } else { Err(format!("{host:?} is no host")) }
}

/// The URL of a server, without a secret.
fn web(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err("a URL that begins with http:// or https:// is needed".to_owned());
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || text.contains(char::is_whitespace) {
        return Err("the URL names no server".to_owned());
    }
    if host.contains('@') {
        return Err("the URL holds a user or a password, these are never inline".to_owned());
    }
    Url::parse(&text).map_err(|error| format!("is no URL: {error}"))?;
    Ok(text)
}
