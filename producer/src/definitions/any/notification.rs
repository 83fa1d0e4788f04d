//! Arbitrary channels and routes.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::{merged, name, path, present, text};

/// Channels, and routes that lead to some of them.
pub(super) fn all() -> BoxedStrategy<Value> {
    let channels =
        btree_set(name(), 1..4).prop_flat_map(|names| names.into_iter().map(channel).collect::<Vec<_>>());
    (channels, btree_set(name(), 0..3))
        .prop_flat_map(|(channels, names)| {
            let tells = |channel: &&Value| channel["kind"] != "heartbeat";
            let told: Vec<Value> =
                channels.iter().filter(tells).map(|channel| channel["name"].clone()).collect();
            let names = if told.is_empty() { Vec::new() } else { names.into_iter().collect() };
            let routes = names.into_iter().map(|name| route(name, told.clone())).collect::<Vec<_>>();
            (Just(channels), routes)
        })
        .prop_map(|(channels, routes)| json!({ "channels": channels, "routes": routes }))
        .boxed()
}

fn channel(name: String) -> BoxedStrategy<Value> {
    let secret =
        || prop_oneof![path().prop_map(|path| json!({ "file": path })), Just(json!({ "env": "SECRET_1" }))];
    let address = || "[a-z]{1,8}(\\+[a-z]{1,3})?@[a-z0-9]{1,8}\\.example";
    let login = (text(), secret()).prop_map(|(user, password)| json!({ "user": user, "password": password }));
    let protection = option::of(select(vec!["starttls", "tls"]));
    let email = (address(), vec(address(), 1..3), protection, option::of(1..=u16::MAX), option::of(login))
        .prop_map(|(from, to, tls, port, login)| {
            let own = json!({ "kind": "email", "from": from, "to": to, "server": "mail.example" });
            merged([own, present([("tls", json!(tls)), ("port", json!(port)), ("login", json!(login))])])
        });
    let url = || "https?://[a-z]{1,8}\\.example(:[1-9][0-9]{0,3})?(/[a-z?=&%20]{0,8})?";
    let webhook = (url(), secret())
        .prop_map(|(url, secret)| json!({ "kind": "webhook", "url": url, "secret": secret }));
    let alertmanager = url().prop_map(|url| json!({ "kind": "alertmanager", "url": url }));
    let chat = (select(vec!["slack", "teams"]), secret())
        .prop_map(|(kind, url)| json!({ "kind": kind, "url": url }));
    let heartbeat = (secret(), 10..80_000_u32)
        .prop_map(|(url, every)| json!({ "kind": "heartbeat", "url": url, "every": format!("{every}s") }));
    let web = (prop_oneof![webhook, alertmanager, chat, heartbeat], option::of(any::<bool>()))
        .prop_map(|(own, allowed)| merged([own, present([("allow_private", json!(allowed))])]));
    prop_oneof![email, web].prop_map(move |own| merged([json!({ "name": name }), own])).boxed()
}

fn route(name: String, channels: Vec<Value>) -> BoxedStrategy<Value> {
    let most = channels.len();
    let severity = option::of(select(vec!["info", "warning", "critical"]));
    let rules = subsequence(vec!["backup_failed", "worker_lost", "backlog"], 0..=3);
    let which = (severity, btree_set("[a-z ]{0,8}[a-z]", 0..3), btree_set(super::name(), 0..3), rules);
    let wait = option::of((0..=60).prop_map(|minutes| format!("{minutes}m")));
    let repeat = option::of((1..=1000).prop_map(|minutes| format!("{minutes}m")));
    let how = (subsequence(channels, 1..=most), wait, repeat, option::of(any::<bool>()));
    (which, how)
        .prop_map(move |((severity, owners, tags, rules), (channels, wait, repeat, resolved))| {
            let own =
                json!({ "name": name, "owners": owners, "tags": tags, "rules": rules, "channels": channels });
            let optional = [
                ("severity", json!(severity)),
                ("group_wait", json!(wait)),
                ("repeat", json!(repeat)),
                ("resolved", json!(resolved)),
            ];
            merged([own, present(optional)])
        })
        .boxed()
}
