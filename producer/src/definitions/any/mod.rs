//! Arbitrary definitions as users write them, for property tests here and of the whole program.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use shared::alert::Rule;

mod alert;
mod notification;

/// A file with targets, jobs that use them, limits that fit, reports, upkeep, settings of alerts, maintenance windows, channels, and routes
/// that lead there.
pub(crate) fn file() -> BoxedStrategy<Value> {
    let targets = btree_set(name(), 1..4).prop_flat_map(|names| {
        names.into_iter().enumerate().map(|(number, name)| target(number, name)).collect::<Vec<_>>()
    });
    targets
        .prop_flat_map(|targets| {
            let names: Vec<Value> = targets.iter().map(|target| target["name"].clone()).collect();
            let jobs = btree_set(name(), 0..4).prop_flat_map(move |jobs| {
                jobs.into_iter().map(|name| job(name, names.clone())).collect::<Vec<_>>()
            });
            let reports = btree_set(name(), 0..3)
                .prop_flat_map(|names| names.into_iter().map(report).collect::<Vec<_>>());
            let upkeep = btree_set(name(), 0..3)
                .prop_flat_map(|names| names.into_iter().map(upkeep).collect::<Vec<_>>());
            let alerts = alert::settings(Rule::ALL.iter().copied());
            let others = (alerts, notification::all(), upkeep);
            (Just(targets), jobs, reports, others).prop_flat_map(
                |(targets, jobs, reports, (alerts, notifications, upkeep))| {
                    (limits(&jobs), alert::windows(&jobs, &targets)).prop_map(move |(limits, windows)| {
                        let own =
                            json!({ "targets": targets, "jobs": jobs, "limits": limits, "reports": reports });
                        let alerts = json!({ "alerts": alerts, "maintenance": windows, "upkeep": upkeep });
                        merged([own, alerts, notifications.clone()])
                    })
                },
            )
        })
        .boxed()
}

fn target(number: usize, name: String) -> BoxedStrategy<Value> {
    let repository = prop_oneof![
        path().prop_map(move |path| format!("/{number}{path}")),
        Just(format!("rest:https://backup.example/{number}"))
    ];
    let password =
        prop_oneof![path().prop_map(|path| json!({ "file": path })), Just(json!({ "env": "KEY_1" }))];
    let isolation = option::of(select(vec!["none", "detached"]));
    (repository, password, place(), isolation, option::of(target_limits()))
        .prop_map(move |(repository, password, place, isolation, limits)| {
            let own = json!({ "name": name, "repository": repository, "password": password });
            merged([own, place, present([("isolation", json!(isolation)), ("limits", json!(limits))])])
        })
        .boxed()
}

fn job(name: String, targets: Vec<Value>) -> BoxedStrategy<Value> {
    let most = targets.len();
    let what = (text(), source(), subsequence(targets, 1..=most).prop_shuffle());
    let when = (option::of(prop_oneof![schedule(), Just(json!("manual"))]), option::of(retention()));
    let demands = (option::of(period()), option::of(period()), option::of(select(vec!["high", "normal"])));
    let rest = (option::of(verify()), option::of(tries()), any::<Option<bool>>(), any::<Option<bool>>());
    let of_jobs = Rule::ALL.iter().copied().filter(|rule| rule.is_of_jobs());
    let told = (option::of(tags()), option::of(alert::settings(of_jobs)), option::of(exceptions()));
    (what, when, demands, rest, told)
        .prop_map(move |(what, (schedule, retention), demands, rest, told)| {
            let own = json!({ "name": name, "owner": what.0, "source": what.1, "targets": what.2 });
            let optional = [
                ("schedule", json!(schedule)),
                ("retention", json!(retention)),
                ("rpo", json!(demands.0)),
                ("rto", json!(demands.1)),
                ("priority", json!(demands.2)),
                ("verify", json!(rest.0)),
                ("tries", json!(rest.1)),
                ("strict", json!(rest.2)),
                ("active", json!(rest.3)),
                ("tags", json!(told.0)),
                ("alerts", json!(told.1)),
                ("exceptions", json!(told.2)),
            ];
            merged([own, present(optional)])
        })
        .boxed()
}

fn source() -> BoxedStrategy<Value> {
    let exclude = text().prop_filter("leaves out", |pattern| !pattern.starts_with('!'));
    let files = (vec(path(), 1..3), vec(exclude, 0..3), option::of(select(vec!["sample", "all"]))).prop_map(
        |(paths, exclude, hashes)| {
            merged([
                json!({ "kind": "files", "paths": paths, "exclude": exclude }),
                present([("hashes", json!(hashes))]),
            ])
        },
    );
    let simulated = (option::of(period()), 0.0..=1.0, size(), any::<bool>()).prop_map(
        |(duration, rate, bytes, aborts)| {
            let own = json!({ "kind": "simulated", "failure_rate": rate, "bytes": bytes, "aborts": aborts });
            merged([own, present([("duration", json!(duration))])])
        },
    );
    (prop_oneof![files, simulated], place()).prop_map(|(data, place)| merged([data, place])).boxed()
}

fn place() -> BoxedStrategy<Value> {
    let media = select(vec!["disk", "nas", "object", "tape", "removable"]);
    (text(), text(), media, option::of(text()), option::of(text()))
        .prop_map(|(site, domain, media, region, account)| {
            let own = json!({ "site": site, "failure_domain": domain, "media": media });
            merged([own, present([("region", json!(region)), ("account", json!(account))])])
        })
        .boxed()
}

fn schedule() -> BoxedStrategy<Value> {
    let crons = vec!["0 2 * * *", "*/5 * * * *", "0 5 * * 0", "30 0 2 1 * *", "@daily", "0 0 L * *"];
    let when = prop_oneof![
        select(crons).prop_map(|cron| json!({ "cron": cron })),
        (1_u64..100_000).prop_map(|seconds| json!({ "every": format!("{seconds}s") }))
    ];
    let zone = option::of(select(vec!["Europe/Berlin", "UTC", "America/New_York"]));
    let catch_up = option::of(prop_oneof![
        select(vec!["none".to_owned(), "latest".to_owned()]),
        (1..=1000).prop_map(|most| format!("all({most})"))
    ]);
    let jitter = option::of((0..24 * 60).prop_map(|minutes| format!("{minutes}m")));
    let overlap = option::of(select(vec!["skip", "queue", "allow"]));
    let blackout = (0..24, 0..60, vec(select(vec!["mon", "wed", "sun"]), 0..3)).prop_map(|(hour, minute, days)| {
        json!({ "from": format!("{hour:02}:{minute:02}"), "until": format!("{:02}:30", (hour + 5) % 24), "days": days })
    });
    (when, zone, catch_up, jitter, overlap, vec(blackout, 0..3))
        .prop_map(|(when, zone, catch_up, jitter, overlap, blackouts)| {
            let optional = [
                ("timezone", json!(zone)),
                ("catch_up", json!(catch_up)),
                ("jitter", json!(jitter)),
                ("overlap", json!(overlap)),
            ];
            merged([when, present(optional), json!({ "blackouts": blackouts })])
        })
        .boxed()
}

fn retention() -> BoxedStrategy<Value> {
    let counts = (1..=10_000_u16, option::of(0..=10_000_u16), option::of(0..=10_000_u16));
    let zone = option::of(select(vec!["Europe/Berlin", "UTC"]));
    (counts, zone, option::of(schedule()))
        .prop_map(|((last, daily, yearly), zone, schedule)| {
            let optional = [
                ("daily", json!(daily)),
                ("yearly", json!(yearly)),
                ("timezone", json!(zone)),
                ("schedule", json!(schedule)),
            ];
            merged([json!({ "last": last }), present(optional)])
        })
        .boxed()
}

fn verify() -> BoxedStrategy<Value> {
    let days = |most: u32| option::of((1..=most).prop_map(|days| format!("{days}d")));
    let levels = (option::of(schedule()), option::of(schedule()), option::of(schedule()));
    (days(400), days(30), days(90), levels)
        .prop_map(|(structure, read, restore, levels)| {
            let levels =
                [("structure", json!(levels.0)), ("read", json!(levels.1)), ("restore", json!(levels.2))];
            let windows =
                [("structure", json!(structure)), ("read", json!(read)), ("restore", json!(restore))];
            merged([present(windows), json!({ "schedule": present(levels) })])
        })
        .boxed()
}

fn exceptions() -> BoxedStrategy<Vec<Value>> {
    let rules = subsequence(vec!["3-copies", "2-media", "1-offsite", "1-isolated", "0-errors"], 0..=5);
    let each = (text(), text(), 2020..2060, 1..=28).prop_map(|(reason, owner, year, day)| {
        json!({ "reason": reason, "owner": owner, "until": format!("{year}-02-{day:02}") })
    });
    (rules, vec(each, 5))
        .prop_map(|(rules, exceptions)| {
            let with = |(rule, exception)| merged([json!({ "rule": rule }), exception]);
            rules.into_iter().zip(exceptions).map(with).collect()
        })
        .boxed()
}

fn tries() -> BoxedStrategy<Value> {
    let kinds = subsequence(vec!["backup", "copy", "verify", "restore", "probe"], 0..=5);
    let limits = (option::of(1..=100_u16), option::of(period())).prop_map(|(attempts, timeout)| {
        present([("attempts", json!(attempts)), ("timeout", json!(timeout))])
    });
    (kinds, vec(limits, 5))
        .prop_map(|(kinds, limits)| {
            kinds.into_iter().zip(limits).map(|(kind, limits)| (kind.to_owned(), limits)).collect()
        })
        .boxed()
}

fn report(name: String) -> BoxedStrategy<Value> {
    let kind = select(vec!["daily", "weekly", "monthly", "compliance", "audit"]);
    let about = (option::of(select(vec!["current", "previous"])), option::of("[a-z]{1,8}"));
    (kind, about, schedule())
        .prop_map(move |(kind, (period, owner), schedule)| {
            let own = json!({ "name": name, "report": kind, "schedule": schedule });
            merged([own, present([("period", json!(period)), ("owner", json!(owner))])])
        })
        .boxed()
}

fn upkeep(name: String) -> BoxedStrategy<Value> {
    let action = select(vec!["vacuum", "analyze", "reindex"]);
    let tables = option::of(subsequence(vec!["execution", "task", "lease"], 0..=3));
    (action, tables, schedule())
        .prop_map(move |(action, tables, schedule)| {
            let own = json!({ "name": name, "action": action, "schedule": schedule });
            merged([own, present([("tables", json!(tables))])])
        })
        .boxed()
}

/// A rate that may be strict, or a concurrency, or both.
fn starts() -> BoxedStrategy<Value> {
    let rate = prop_oneof![
        (1..60_000_u32).prop_map(|starts| json!({ "starts_per_minute": starts })),
        (0.001..1e6).prop_map(|starts| json!({ "starts_per_minute": starts, "strict": true })),
        (2.0..1e6, 1..5_u32)
            .prop_map(|(starts, burst)| json!({ "starts_per_minute": starts, "burst": burst }))
    ];
    let concurrency = (5..100_u32).prop_map(|most| json!({ "concurrency": most }));
    prop_oneof![
        rate.clone(),
        concurrency.clone(),
        (rate, concurrency).prop_map(|(rate, most)| {
            let burst = rate["burst"].is_null() && rate["strict"].is_null();
            if burst { merged([rate, most]) } else { most }
        })
    ]
    .boxed()
}

fn target_limits() -> BoxedStrategy<Value> {
    let speed = (65_536..=1_u64 << 40).prop_map(|bytes| json!({ "bytes_per_second": bytes }));
    prop_oneof![
        starts(),
        speed.clone(),
        (starts(), speed).prop_map(|(starts, speed)| merged([starts, speed]))
    ]
    .boxed()
}

/// Limits of pools, and of the owners and sources that jobs have.
fn limits(jobs: &[Value]) -> BoxedStrategy<Vec<Value>> {
    let fits = |label: &str| label.len() <= 200 && !label.contains(char::is_control);
    let distinct = |field: fn(&Value) -> &Value, key: &'static str| {
        let labels: std::collections::BTreeSet<&str> =
            jobs.iter().filter_map(|job| field(job).as_str()).filter(|label| fits(label)).collect();
        labels.into_iter().map(move |label| json!({ key: label })).collect::<Vec<_>>()
    };
    let owners = distinct(|job| &job["owner"], "owner");
    let sources = distinct(|job| &job["source"]["failure_domain"], "source");
    let pools = ["backup", "verify"].map(|kind| json!({ "pool": kind }));
    let keys: Vec<Value> = owners.into_iter().chain(sources).chain(pools).collect();
    let most = keys.len();
    (subsequence(keys, 0..=most), vec((starts(), option::of(1..=100_u32)), most))
        .prop_map(|(keys, limits)| {
            let limit = |(key, (starts, weight)): (Value, (Value, Option<u32>))| {
                let weight = weight.filter(|_| key.get("owner").is_some());
                merged([key, starts, present([("weight", json!(weight))])])
            };
            keys.into_iter().zip(limits).map(limit).collect()
        })
        .boxed()
}

fn tags() -> BoxedStrategy<std::collections::BTreeSet<String>> {
    btree_set(name(), 0..3).boxed()
}

fn name() -> BoxedStrategy<String> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,12}".boxed()
}

/// Texts that YAML could take for something else, and any others.
fn text() -> BoxedStrategy<String> {
    let tricky = [
        "yes",
        "no",
        "null",
        "~",
        "12",
        "1e3",
        "0x1F",
        "1_000",
        "22:00",
        "2026-11-23",
        "- a",
        "a: b",
        "# a",
        "a #b",
        " a ",
        "!a",
        "&a",
        "*a",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "'a",
        "\"a",
        "a\nb\n",
        "a\\b",
        "---",
        "...",
        "<<",
        "=",
        "\u{85}a",
        "\u{2028}a",
        "\u{feff}a",
        "a\u{7f}",
        "a\u{1b}b",
        "\u{10ffff}",
    ];
    let any = any::<String>().prop_map(|text| text.chars().filter(|c| *c != '\0').collect::<String>());
    let texts = prop_oneof![
        "[a-z]{1,10}".boxed(),
        select(tricky.to_vec()).prop_map(ToOwned::to_owned).boxed(),
        any.boxed()
    ];
    texts.prop_filter("says something", |text| !text.trim().is_empty()).boxed()
}

fn path() -> BoxedStrategy<String> {
    let part = text().prop_filter("goes down", |part| part != ".." && !part.contains('/'));
    vec(part, 1..3).prop_map(|parts| format!("/{}", parts.join("/"))).boxed()
}

fn period() -> BoxedStrategy<String> {
    let unit = select(vec!["ms", "s", "m", "h", "d"]);
    (1..3000_u32, unit).prop_map(|(number, unit)| format!("{number}{unit}")).boxed()
}

fn size() -> BoxedStrategy<Value> {
    prop_oneof![
        any::<u32>().prop_map(|bytes| json!(bytes)),
        (1..1000).prop_map(|size| json!(format!("{size}MiB")))
    ]
    .boxed()
}

fn merged<const N: usize>(parts: [Value; N]) -> Value {
    let parts = parts.into_iter().filter_map(|part| match part {
        Value::Object(entries) => Some(entries),
        _ => None,
    });
    parts.flatten().collect()
}

/// The fields that are there.
fn present<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let there = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(there.map(|(field, value)| (field.to_owned(), value)).collect::<Map<_, _>>())
}
