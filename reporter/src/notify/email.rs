//! E-mail: a message in plain text and HTML, over SMTP.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, Mailbox, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Protection, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;
use shared::channel::{Address, Channel, Email, Tls};
use shared::settings;
use shared::tls::{self, Trust};
use tokio::time::timeout;
use uuid::Uuid;

use super::attempt::Attempted;
use super::message::{Message, one_line, shortened};
use super::report::{Attached, Mailed};

/// How long the server may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long all of it may take.
const LONGEST: Duration = Duration::from_secs(20);

/// The longest subject, in characters.
const SUBJECT: usize = 150;

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends a message to all recipients.
pub(super) async fn send(email: &Email, message: &Message, trust: &Trust) -> Attempted {
    post(email, trust, || compose(email, message)).await
}

/// Sends a report to all recipients.
pub(super) async fn send_report(
    email: &Email,
    channel: &Channel,
    notification: Uuid,
    mailed: Mailed,
    trust: &Trust,
) -> Attempted {
    post(email, trust, || compose_report(email, channel.name.as_str(), notification, mailed)).await
}

async fn post(
    email: &Email,
    trust: &Trust,
    compose: impl FnOnce() -> anyhow::Result<lettre::Message>,
) -> Attempted {
    if !email.is_protected() && !email.insecure {
        return Attempted::refused(
            "without TLS mail goes to this machine only, unless the channel is insecure",
        );
    }
    let mail = match compose() {
        Ok(mail) => mail,
        Err(error) => return Attempted::refused(format!("{error:#}")),
    };
    let transport = match transport(email, trust) {
        Ok(transport) => transport,
        // A person can mend that.
        Err(error) => return Attempted::failed(format!("{error:#}")),
    };
    match timeout(LONGEST, transport.send(mail)).await {
        Ok(Ok(answer)) => Attempted::delivered(answer.code().into()),
        Ok(Err(error)) => judge(&error),
        Err(_) => Attempted::failed(format!("not taken within {} s", LONGEST.as_secs())),
    }
}

fn judge(error: &lettre::transport::smtp::Error) -> Attempted {
    let mut why = error.to_string();
    if let Some(refused) = tls::explain(error) {
        why = refused;
    } else if let Some(cause) = std::error::Error::source(error) {
        why = format!("{why}: {cause}");
    }
    // A password that is being changed is put right by a person, and then the mail goes.
    let is_about_login = error.status().is_some_and(|code| matches!(u16::from(code), 530 | 534 | 535 | 538));
    let is_final = error.is_permanent() && !is_about_login;
    let attempted = if is_final { Attempted::refused(why) } else { Attempted::failed(why) };
    error.status().map_or(attempted.clone(), |code| attempted.with_status(code.into()))
}

fn transport(email: &Email, trust: &Trust) -> anyhow::Result<Transport> {
    let parameters = || parameters(email, trust).context("tls");
    let protection = match email.tls {
        Tls::StartTls => Protection::Required(parameters()?),
        Tls::Tls => Protection::Wrapper(parameters()?),
        Tls::None => Protection::None,
    };
    let mut builder = Transport::builder_dangerous(email.server.clone())
        .port(email.port)
        .tls(protection)
        .timeout(Some(ANSWER));
    if let Some(login) = &email.login {
        let password =
            settings::secret(&login.password).map_err(anyhow::Error::msg).context("login.password")?;
        builder =
            builder.credentials(Credentials::new(login.user.clone(), password.expose_secret().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(email: &Email, trust: &Trust) -> anyhow::Result<TlsParameters> {
    let mut parameters = TlsParameters::builder(email.server.clone());
    if let Some(file) = trust.file() {
        let further = std::fs::read(file).with_context(|| file.display().to_string())?;
        parameters = parameters.add_root_certificate(Certificate::from_pem(&further)?);
    }
    Ok(parameters.build_rustls()?)
}

fn compose(email: &Email, message: &Message) -> anyhow::Result<lettre::Message> {
    let id = |notification: &Uuid| message_id(email, notification);
    let mut mail = addressed(email, &message.id, &message.headline())?;
    // Readers of mail show what is about the same alerts as one conversation.
    let mut followed: Vec<&Uuid> = message.events.iter().filter_map(|event| event.follows.as_ref()).collect();
    followed.sort_unstable();
    followed.dedup();
    if let Some(first) = followed.first() {
        mail = mail.in_reply_to(id(first));
        mail = mail
            .references(followed.iter().map(|notification| id(notification)).collect::<Vec<_>>().join(" "));
    }
    mail.multipart(MultiPart::alternative_plain_html(plain(message), html(message))).context("the mail")
}

/// The text for readers, and the files as they were made: whoever has them can check their hashes.
fn compose_report(
    email: &Email,
    channel: &str,
    notification: Uuid,
    mailed: Mailed,
) -> anyhow::Result<lettre::Message> {
    let text = SinglePart::plain(mailed.text(channel, notification));
    let subject = shortened(&one_line(&mailed.report.title), SUBJECT);
    let mail = addressed(email, &notification, &subject)?;
    let mut parts = MultiPart::mixed().singlepart(text);
    for Attached { name, format, content } in mailed.files {
        let kind = ContentType::parse(format.media_type()).context("the kind of a file")?;
        // Lines of their own length would be changed on the way.
        let content = Body::new_with_encoding(content, ContentTransferEncoding::Base64);
        let content = content.map_err(|_| anyhow::anyhow!("{name} cannot be encoded"))?;
        parts = parts.singlepart(Attachment::new(name).body(content, kind));
    }
    mail.multipart(parts).context("the mail")
}

/// A mail to all recipients that has no content yet.
fn addressed(email: &Email, notification: &Uuid, subject: &str) -> anyhow::Result<MessageBuilder> {
    let mut mail = lettre::Message::builder()
        .from(mailbox(&email.from)?)
        .subject(format!("[Holdfast] {subject}"))
        .message_id(Some(message_id(email, notification)));
    for to in &email.to {
        mail = mail.to(mailbox(to)?);
    }
    Ok(mail)
}

fn message_id(email: &Email, notification: &Uuid) -> String {
    format!("<{notification}@{}>", email.from.domain())
}

fn mailbox(address: &Address) -> anyhow::Result<Mailbox> {
    let parsed = address.as_str().parse().with_context(|| address.as_str().to_owned())?;
    Ok(Mailbox::new(None, parsed))
}

fn plain(message: &Message) -> String {
    let (told, more) = message.told();
    let mut text = String::new();
    for event in told {
        text.push_str(&event.line());
        text.push('\n');
        for (name, value) in event.facts() {
            _ = writeln!(text, "  {name}: {value}");
        }
        text.push('\n');
    }
    if more > 0 {
        _ = write!(text, "and {more} more\n\n");
    }
    _ = write!(text, "-- \nHoldfast, channel {}, notification {}\n", message.channel, message.id);
    text
}

fn html(message: &Message) -> String {
    let (told, more) = message.told();
    let mut html = String::from("<!DOCTYPE html><html><body>");
    for event in told {
        _ = write!(html, "<h3>{}</h3><table>", escaped(&event.line()));
        for (name, value) in event.facts() {
            _ = write!(html, "<tr><td>{name}</td><td>{}</td></tr>", escaped(&value));
        }
        html.push_str("</table>");
    }
    if more > 0 {
        _ = write!(html, "<p>and {more} more</p>");
    }
    let channel = escaped(&message.channel);
    _ = write!(html, "<hr><p>Holdfast, channel {channel}, notification {}</p></body></html>", message.id);
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use shared::db::notification::Telling;

    use super::super::message::tests::{event, message};
    use super::*;

    fn channel() -> Email {
        Email {
            from: "holdfast@example.org".parse().unwrap(),
            to: vec!["ops@example.org".parse().unwrap(), "dba@example.org".parse().unwrap()],
            server: "localhost".to_owned(),
            port: 25,
            tls: Tls::None,
            login: None,
            insecure: false,
        }
    }

    fn headers(mail: &lettre::Message) -> Vec<String> {
        let formatted = String::from_utf8(mail.formatted()).unwrap();
        let (headers, _) = formatted.split_once("\r\n\r\n").unwrap();
        // A long header goes on in the next line, which begins with a blank.
        headers.replace("\r\n ", " ").split("\r\n").map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_mail_has_the_notification_as_its_id_and_follows_what_was_told_first() {
        let mail = compose(&channel(), &message(Telling::Resolved)).unwrap();
        let headers = headers(&mail);
        for header in [
            "From: holdfast@example.org",
            "To: ops@example.org, dba@example.org",
            "Subject: [Holdfast] resolved: docs: the last 3 backups failed",
            "Message-ID: <0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f@example.org>",
            "In-Reply-To: <0193a8f2-5c1e-7cc3-98c4-dc0c0c073980@example.org>",
            "References: <0193a8f2-5c1e-7cc3-98c4-dc0c0c073980@example.org>",
        ] {
            assert!(headers.iter().any(|line| line == header), "{header} is missing in {headers:#?}");
        }
    }

    #[test]
    fn nothing_that_an_alert_says_becomes_a_header_or_markup() {
        let mut evil = message(Telling::Opened);
        let says = "x\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>";
        evil.events[0].alert.subject = says.to_owned();
        evil.events[0].alert.summary = says.repeat(50);
        evil.events[0].alert.owner = Some(says.to_owned());
        let mail = compose(&channel(), &evil).unwrap();
        let names: Vec<String> =
            headers(&mail).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        let expected = ["From", "Subject", "Message-ID", "To", "MIME-Version", "Date", "Content-Type"];
        assert!(names.iter().all(|name| expected.contains(&name.as_str())), "{names:?}");
        let envelope: Vec<String> = mail.envelope().to().iter().map(ToString::to_string).collect();
        assert_eq!(envelope, ["ops@example.org", "dba@example.org"]);
        assert!(!html(&evil).contains("<script>"));
    }

    #[test]
    fn both_parts_tell_all_that_is_known() {
        let text = plain(&message(Telling::Opened));
        assert_eq!(
            text,
            "critical: docs: the last 3 backups failed\n  rule: backups_failing\n  owner: ops & co\n  tags: prod\n  \
             since: 2026-11-26T02:00:00Z\n  detail: disk-a: <no space>\n\n\
             -- \nHoldfast, channel ops, notification 0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f\n"
        );
        assert!(html(&message(Telling::Opened)).contains("<td>owner</td><td>ops &amp; co</td>"));
        let many = Message {
            events: (0..30).map(|number| event(number, Telling::Opened)).collect(),
            ..message(Telling::Opened)
        };
        assert!(plain(&many).contains("\nand 10 more\n") && html(&many).contains("and 10 more"));
    }
}
