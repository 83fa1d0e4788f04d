use shared::alert::{Rule, Severity};
use shared::channel::{Email, Login, Means, Tls};
use shared::route::GROUP_WAIT;

use super::*;

const CHANNELS: &str = "channels:
- { name: mail, kind: email, from: holdfast@example.org, to: [ops@example.org], server: mail.example.org }
- { name: hook, kind: webhook, url: https://hooks.example.org/x, secret: { env: HOOK } }
- { name: alive, kind: heartbeat, url: { file: /etc/ping }, every: 1m }
";

#[test]
fn channels_and_routes_have_the_defaults_that_are_safe() {
    let (definitions, problems) =
        read(&[("demo.yaml", &format!("{CHANNELS}routes:\n- {{ name: all, channels: [mail, hook] }}\n"))]);
    assert_eq!(problems, Vec::<String>::new());
    let Means::Email(email) = &definitions.channels[0].means else { panic!("no e-mail") };
    assert_eq!((email.tls, email.port, email.insecure), (Tls::StartTls, 587, false));
    let Means::Webhook(webhook) = &definitions.channels[1].means else { panic!("no webhook") };
    assert!(!webhook.allow_private);
    let route = &definitions.routes[0];
    assert_eq!((route.severity, route.group_wait, route.repeat), (Severity::Info, GROUP_WAIT, None));
    assert!(route.resolved && route.owners.is_empty() && route.tags.is_empty() && route.rules.is_empty());
}

#[test]
fn all_that_a_channel_and_a_route_can_say_is_read() {
    let email = "channels:
- { name: mail, kind: email, from: a@b.example, to: [c@d.example, e@f.example], server: '10.0.0.1', tls: none, port: 2525,
    login: { user: u, password: { file: /etc/p } }, insecure: true }
routes:
- { name: some, severity: warning, owners: [ops], tags: [prod], rules: [backup_failed, worker_lost], channels: [mail],
    group_wait: 0s, repeat: 4h, resolved: false }
";
    let (definitions, problems) = read(&[("demo.yaml", email)]);
    assert_eq!(problems, Vec::<String>::new());
    let login = Login { user: "u".to_owned(), password: SecretRef::File("/etc/p".into()) };
    let expected = Email {
        from: "a@b.example".parse().unwrap(),
        to: vec!["c@d.example".parse().unwrap(), "e@f.example".parse().unwrap()],
        server: "10.0.0.1".to_owned(),
        port: 2525,
        tls: Tls::None,
        login: Some(login),
        insecure: true,
    };
    assert_eq!(definitions.channels[0].means, Means::Email(expected));
    let route = &definitions.routes[0];
    assert_eq!(route.rules, [Rule::BackupFailed, Rule::WorkerLost]);
    assert_eq!((route.repeat, route.group_wait), (Some(Duration::from_hours(4)), Duration::ZERO));
    assert!(!route.resolved);
}

#[test]
fn each_bad_channel_is_reported_with_file_line_and_field() {
    for (channel, message) in [
        ("{ name: a }", "kind: is missing"),
        ("{ name: a, kind: pigeon }", "kind: \"pigeon\" is unknown, use one of: email, webhook"),
        ("{ name: a, kind: webhook, url: ftp://x, secret: { env: S } }", "url: a URL that begins with http"),
        (
            "{ name: a, kind: webhook, url: 'https://u:p@x/', secret: { env: S } }",
            "url: the URL holds a user",
        ),
        (
            "{ name: a, kind: webhook, url: 'https://x:99999/', secret: { env: S } }",
            "url: is no URL: invalid port",
        ),
        ("{ name: a, kind: webhook, url: https://x, secret: inline }", "secret: is never inline"),
        ("{ name: a, kind: slack, url: https://hooks.slack.com/x }", "url: is never inline"),
        ("{ name: a, kind: slack, url: { env: S }, colour: blue }", "colour: is unknown"),
        ("{ name: a, kind: heartbeat, url: { env: S }, every: 5s }", "every: use 10s to 24h"),
        ("{ name: a, kind: email, from: ops, to: [a@b], server: s }", "from: \"ops\" is no address"),
        ("{ name: a, kind: email, from: a@b, to: [], server: s }", "to: is empty"),
        ("{ name: a, kind: email, from: a@b, to: [\"a@b\\nBcc: c@d\"], server: s }", "to: "),
        ("{ name: a, kind: email, from: a@b, to: [a@b], server: s, port: 0 }", "port: is not from 1"),
        ("{ name: a, kind: email, from: a@b, to: [a@b], server: a/b }", "server: \"a/b\" is no host"),
        (
            "{ name: a, kind: email, from: a@b, to: [a@b], server: s, login: { user: u } }",
            "login.password: is missing",
        ),
    ] {
        let problems = problems(&format!("channels:\n- {channel}\n"));
        let expected = format!("demo.yaml:2: channels.a.{message}");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{channel}: {problems:?}");
    }
}

#[test]
fn mail_without_protection_is_refused_unless_that_is_said() {
    let email = |server: &str, rest: &str| {
        let text = format!(
            "channels:\n- {{ name: a, kind: email, from: a@b, to: [a@b], server: '{server}', tls: none{rest} }}\n"
        );
        let mut definitions = Definitions::default();
        definitions.add("demo.yaml", &text);
        definitions.problems.len()
    };
    assert_eq!(email("mail.example", ""), 1);
    assert_eq!(email("mail.example", ", insecure: true"), 0);
    assert_eq!(email("localhost", "") + email("127.0.0.1", ""), 0);
}

#[test]
fn each_bad_route_is_reported_with_file_line_and_field() {
    for (route, message) in [
        ("{ name: r }", "channels: is missing"),
        ("{ name: r, channels: [] }", "channels: is empty"),
        ("{ name: r, channels: [nobody] }", "channels: no channel is named \"nobody\""),
        ("{ name: r, channels: [alive] }", "channels: alive is a heartbeat, which tells no alerts"),
        ("{ name: r, channels: [mail, mail] }", "channels: mail stands there twice"),
        ("{ name: r, channels: [mail], severity: bad }", "severity: \"bad\" is unknown"),
        ("{ name: r, channels: [mail], rules: [nothing] }", "rules: \"nothing\" is unknown"),
        ("{ name: r, channels: [mail], tags: [a b] }", "tags: "),
        ("{ name: r, channels: [mail], group_wait: 2h }", "group_wait: use 1h at most"),
        ("{ name: r, channels: [mail], repeat: 10s }", "repeat: use 1m at least"),
        ("{ name: r, channels: [mail], jobs: [docs] }", "jobs: is unknown"),
    ] {
        let problems = problems(&format!("{CHANNELS}routes:\n- {route}\n"));
        let expected = format!("demo.yaml:6: routes.r.{message}");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{route}: {problems:?}");
    }
    let twice =
        format!("{CHANNELS}routes:\n- {{ name: r, channels: [mail] }}\n- {{ name: r, channels: [mail] }}\n");
    assert_eq!(problems(&twice), ["demo.yaml:7: routes.r: is defined already at demo.yaml:6"]);
}
