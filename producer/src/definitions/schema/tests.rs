use std::collections::BTreeSet;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::apply::{self, Removals, Stored};
use crate::definitions::{Definitions, any, node, written};

/// Parts of what the parser says about a definition that a schema cannot find fault with: it depends on other definitions, on
/// the calendar, or on the size of a length.
const BEYOND_A_SCHEMA: &[&str] = &[
    "no target is named",
    "no job is named",
    "is set already at",
    "is defined already at",
    "is the same as that of",
    "is limited already at",
    "no job has this owner",
    "no job's source has this failure_domain",
    "a window may only be tightened",
    "is no time zone",
    "is no cron expression",
    "leave no time",
    "is longer than",
    "is shorter than a second",
    "limits nothing",
    "use 64KiB to 1TiB",
    "needs starts_per_minute",
    "a strict limit of this rate needs",
    "are more than",
    "is the other system's business",
    "is of no use: what another system backs up",
    "needs at least one of last, hourly",
    "no channel is named",
    "is a heartbeat, which tells no alerts",
    "is no URL",
    "use 10s to 24h",
    "use 1h at most",
    "use 1m at least",
    "reports go by email",
    "has two exceptions",
    "is no date such as",
];

fn validator() -> Validator {
    jsonschema::validator_for(schema().as_value()).unwrap()
}

/// Holds the schema against what the parser says about texts.
pub(in crate::definitions) fn agrees(texts: &[(&str, &str)], problems: &[String]) {
    // What is no YAML is not for a schema to judge.
    let files: Result<Vec<Value>, _> =
        texts.iter().map(|(_, text)| node::parse(text).map(|node| value(&node))).collect();
    if let Ok(files) = files {
        check(&validator(), &files, problems, &format!("{texts:?}"));
    }
}

fn check(validator: &Validator, files: &[Value], problems: &[String], what: &str) {
    let errors: Vec<String> =
        files.iter().flat_map(|file| validator.iter_errors(file)).map(|error| error.to_string()).collect();
    if problems.is_empty() {
        assert_eq!(errors, [""; 0], "the schema refuses what the parser takes: {what}");
    }
    let expressible = |problem: &&String| !BEYOND_A_SCHEMA.iter().any(|beyond| problem.contains(beyond));
    if let Some(problem) = problems.iter().find(expressible) {
        assert!(!errors.is_empty(), "the schema takes what the parser refuses: {what}: {problem}");
    }
}

/// What the parser has read, as a schema sees it.
fn value(node: &node::Node) -> Value {
    match &node.value {
        node::Value::Null => Value::Null,
        node::Value::Bool(truth) => json!(truth),
        node::Value::Whole(number) => json!(number),
        node::Value::Number(number) => json!(number),
        node::Value::Text(text) => json!(text),
        node::Value::List(items) => items.iter().map(value).collect(),
        node::Value::Map(entries) => {
            entries.iter().map(|(key, below)| (key.value.clone(), value(below))).collect()
        }
    }
}

fn problems(file: &Value) -> Vec<String> {
    let mut definitions = Definitions::default();
    definitions.add("demo.yaml", &written::json(file).unwrap());
    let problems = apply::problems(&definitions, &Removals::default(), &Stored::default());
    problems.iter().map(ToString::to_string).collect()
}

/// A file in which every field of the format is there at least once.
fn whole() -> Value {
    let source = |data: Value| {
        let place =
            json!({ "media": "disk", "site": "hq", "failure_domain": "a", "region": "eu", "account": "a1" });
        [data, place].into_iter().flat_map(|part| part.as_object().cloned().unwrap()).collect::<Value>()
    };
    let files = json!({ "kind": "files", "paths": ["/srv"], "exclude": ["*.tmp"], "hashes": "all" });
    let simulated = json!({ "kind": "simulated", "duration": "2s", "failure_rate": 0.25, "bytes": "1GiB", "aborts": false });
    json!({
        "targets": [
            { "name": "disk-a", "repository": "/backups/a", "password": { "file": "/etc/key" }, "media": "disk",
                "site": "hq", "failure_domain": "a", "region": "eu", "account": "a1", "isolation": "detached",
                "limits": { "starts_per_minute": 600, "burst": 20, "concurrency": 30, "strict": true,
                    "bytes_per_second": "50MiB" } },
            { "name": "disk-b", "repository": "rest:https://host/b", "password": { "env": "KEY" }, "media": "disk",
                "site": "hq", "failure_domain": "b" },
        ],
        "jobs": [
            { "name": "docs", "owner": "ops", "source": source(files), "targets": ["disk-a", "disk-b"],
                "schedule": { "cron": "0 2 * * *", "timezone": "Europe/Berlin", "catch_up": "all(3)", "jitter": "5m",
                    "overlap": "queue", "blackouts": [{ "from": "22:00", "until": "01:00", "days": ["fri"] }] },
                "rpo": "26h", "rto": "1h", "priority": "high", "strict": true, "active": false,
                "verify": { "structure": "7d", "read": "30d", "restore": "90d",
                    "schedule": { "structure": { "every": "1h" } } },
                "tries": { "backup": { "attempts": 3, "timeout": "6h" } }, "tags": ["web"],
                "alerts": { "backups_failing": { "failures": 2, "for": "0s", "severity": "warning", "enabled": true } },
                "exceptions": [{ "rule": "1-isolated", "reason": "the tape is on its way", "owner": "ops", "until": "2026-12-31" }] },
            { "name": "sim", "owner": "ops", "source": source(simulated), "targets": ["disk-a"], "schedule": "manual",
                "retention": { "last": 7, "hourly": 24, "daily": 14, "weekly": 8, "monthly": 12, "yearly": 3,
                    "timezone": "Europe/Berlin", "schedule": { "every": "1d" } } },
            { "name": "erp", "owner": "dba", "source": source(json!({ "kind": "reported" })), "targets": ["disk-a"] },
        ],
        "limits": [
            { "pool": "backup", "starts_per_minute": 600, "burst": 20, "concurrency": 30, "strict": true },
            { "source": "a", "concurrency": 1 },
            { "owner": "ops", "weight": 3 },
        ],
        "reports": [{ "name": "daily", "report": "daily", "period": "previous", "job": "docs", "owner": "ops", "mail_to": ["mail"],
            "schedule": { "cron": "@daily" } }],
        "upkeep": [{ "name": "weekly", "action": "reindex", "tables": ["execution", "task"], "schedule": { "cron": "@weekly" } }],
        "alerts": {
            "backup_failed": { "severity": "critical" },
            "worker_lost": { "after": "3m" },
            "success_rate": { "below": 0.9, "tasks": 20, "cooldown": "1h" },
            "duration_unusual": { "spreads": 4, "by": "10m" },
            "size_unusual": { "spreads": 6.5, "shrunk_to": 0.3 },
            "task_stuck": { "after": "3h", "waiting": "1h" },
        },
        "maintenance": [
            { "name": "night", "cron": "0 1 * * 0", "for": "4h", "timezone": "Europe/Berlin", "matches": [
                { "target": "disk-a" }, { "job": "docs", "rule": "backup_failed", "owner": "ops", "tag": "web",
                    "severity": "warning" }] },
        ],
        "channels": channels(),
        "routes": [
            { "name": "bad", "severity": "critical", "owners": ["ops"], "tags": ["prod"], "rules": ["backup_failed"],
                "channels": ["mail", "hook"], "group_wait": "1m", "repeat": "4h", "resolved": false },
        ],
    })
}

/// A channel of each kind.
fn channels() -> Value {
    json!([
        { "name": "mail", "kind": "email", "from": "holdfast@example.org", "to": ["ops@example.org"], "server": "localhost",
            "port": 2525, "tls": "starttls", "login": { "user": "holdfast", "password": { "env": "SMTP_PASSWORD" } },
            "insecure": true },
        { "name": "hook", "kind": "webhook", "url": "https://hooks.example.org/a?b=c", "secret": { "file": "/etc/hook" },
            "allow_private": true },
        { "name": "chat", "kind": "slack", "url": { "file": "/etc/slack" }, "allow_private": true },
        { "name": "team", "kind": "teams", "url": { "env": "TEAMS_URL" }, "allow_private": true },
        { "name": "am", "kind": "alertmanager", "url": "http://10.0.0.1:9093", "allow_private": true },
        { "name": "alive", "kind": "heartbeat", "url": { "env": "PING_URL" }, "every": "1m", "allow_private": true },
    ])
}

/// The places of all values of a file, as JSON pointers.
fn pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    pointers.push(at.to_owned());
    match value {
        Value::Object(entries) => {
            entries.iter().for_each(|(key, below)| self::pointers(below, &format!("{at}/{key}"), pointers));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, below)| self::pointers(below, &format!("{at}/{index}"), pointers));
        }
        _ => {}
    }
}

fn all_pointers(value: &Value) -> Vec<String> {
    let mut all = Vec::new();
    pointers(value, "", &mut all);
    all
}

fn without(file: &Value, pointer: &str) -> Value {
    let mut changed = file.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match changed.pointer_mut(parent).unwrap() {
        Value::Object(entries) => _ = entries.remove(key),
        Value::Array(items) => _ = items.remove(key.parse().unwrap()),
        _ => panic!("{pointer} is below no collection"),
    }
    changed
}

#[test]
fn what_the_schema_refuses_and_what_the_parser_refuses_is_the_same() {
    let (validator, whole) = (validator(), whole());
    assert_eq!(problems(&whole), [""; 0]);
    let check = |changed: Value, what: &str| {
        let problems = problems(&changed);
        check(&validator, &[changed], &problems, what);
    };
    check(whole.clone(), "the whole");
    let others = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(7),
        json!(0.5),
        json!(""),
        json!(" "),
        json!("x"),
        json!("0s"),
        json!("../x"),
        json!("/x/../y"),
        json!([]),
        json!([1]),
        json!(["x", "x"]),
        json!({}),
        json!({ "x": 1 }),
    ];
    for pointer in all_pointers(&whole) {
        for other in &others {
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            check(changed, &format!("{other} at {pointer}"));
        }
        if !pointer.is_empty() {
            check(without(&whole, &pointer), &format!("nothing at {pointer}"));
        }
    }
}

/// The fields that the parser names where it meets one that it does not know, at each mapping of a file.
fn fields_of_the_parser(file: &Value) -> BTreeSet<BTreeSet<String>> {
    let mappings = all_pointers(file).into_iter().filter(|at| file.pointer(at).unwrap().is_object());
    let fields = mappings.map(|pointer| {
        let mut changed = file.clone();
        changed.pointer_mut(&pointer).unwrap()["colour"] = json!("blue");
        let problems = problems(&changed);
        let known =
            problems.iter().find_map(|problem| problem.split_once("colour: is unknown, use one of: "));
        let (_, known) = known.unwrap_or_else(|| panic!("{pointer}: {problems:?}"));
        known.split(", ").map(ToOwned::to_owned).collect()
    });
    fields.collect()
}

fn fields_of_the_schema(schema: &Value, fields: &mut BTreeSet<BTreeSet<String>>) {
    match schema {
        Value::Object(entries) => {
            if let Some(Value::Object(properties)) = entries.get("properties") {
                fields.insert(properties.keys().cloned().collect());
            }
            entries.values().for_each(|below| fields_of_the_schema(below, fields));
        }
        Value::Array(items) => items.iter().for_each(|below| fields_of_the_schema(below, fields)),
        _ => {}
    }
}

#[test]
fn the_schema_has_the_fields_that_the_parser_knows_and_no_others() {
    let set = |fields: &[&str]| fields.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let mut of_the_parser = fields_of_the_parser(&whole());
    // The parser says better why one of two is needed, and why a field does not fit here.
    let password = ["file", "env"];
    assert!(of_the_parser.remove(&set(&password)));
    of_the_parser.extend(password.map(|field| set(&[field])));
    let starts = ["starts_per_minute", "burst", "concurrency", "strict"];
    let (bytes, weight) = (["bytes_per_second"], ["weight"]);
    assert!(of_the_parser.remove(&set(&[&starts[..], &bytes, &weight].concat())));
    of_the_parser.insert(set(&[&starts[..], &bytes].concat()));
    let keys = ["pool", "source", "owner"];
    assert!(of_the_parser.remove(&set(&[&keys[..], &starts, &bytes, &weight].concat())));
    of_the_parser.insert(set(&[&keys[..], &starts, &weight].concat()));

    let mut of_the_schema = BTreeSet::new();
    fields_of_the_schema(schema().as_value(), &mut of_the_schema);
    assert_eq!(of_the_schema, of_the_parser);
}

#[test]
fn the_schemas_defaults_are_those_of_the_parser() {
    let least = json!({
        "targets": [{ "name": "disk-a", "repository": "/a", "password": { "env": "A" }, "media": "disk", "site": "hq",
            "failure_domain": "a" }],
        "jobs": [
            { "name": "docs", "owner": "ops", "targets": ["disk-a"], "source":
                { "kind": "files", "paths": ["/srv"], "media": "disk", "site": "hq", "failure_domain": "a" } },
            { "name": "sim", "owner": "ops", "targets": ["disk-a"], "source":
                { "kind": "simulated", "media": "disk", "site": "hq", "failure_domain": "a" } },
        ],
        "reports": [{ "name": "daily", "report": "daily", "schedule": { "every": "1h" } }],
        "channels": [{ "name": "mail", "kind": "email", "from": "a@b", "to": ["a@b"], "server": "localhost" }],
        "routes": [{ "name": "all", "channels": ["mail"] }],
    });
    let mut definitions = Definitions::default();
    definitions.add("demo.yaml", &least.to_string());
    let target = json!(written::Target::new(&definitions.targets[0], None));
    let jobs = definitions.jobs.iter().map(|defined| json!(written::Job::from(&defined.job)));
    let jobs: Vec<Value> = jobs.collect();
    let report = json!(written::Report::from(&definitions.reports[0]));
    let channel = json!(written::Channel::from(&definitions.channels[0]));
    let route = json!(written::Route::from(&definitions.routes[0]));
    let schema = schema();
    let of =
        |pointer: &str| schema.as_value().pointer(&format!("/definitions/{pointer}/properties")).unwrap();
    for (described, written) in [
        (of("Target"), &target),
        (of("Job"), &jobs[0]),
        (of("Verify"), &jobs[0]["verify"]),
        (of("Source/oneOf/0"), &jobs[0]["source"]),
        (of("Source/oneOf/2"), &jobs[1]["source"]),
        (of("Schedule"), &report["schedule"]),
        (of("Channel/oneOf/0"), &channel),
        (of("Route"), &route),
    ] {
        for (field, described) in described.as_object().unwrap() {
            if let Some(default) = described.get("default") {
                assert_eq!(&written[field], default, "{field}");
            }
        }
    }
}

#[test]
fn the_copy_in_the_documents_is_the_schema() {
    let copy: Value =
        serde_json::from_str(include_str!("../../../../docs/definitions.schema.json")).unwrap_or_default();
    let renew = "renew it with `cargo run -p producer -- schema definitions > docs/definitions.schema.json`";
    assert!(copy == *schema().as_value(), "docs/definitions.schema.json is not the schema any more: {renew}");
}

proptest! {
    #[test]
    fn what_is_valid_passes_the_schema(file in any::file()) {
        let validator = validator();
        let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
        prop_assert_eq!(errors, Vec::<String>::new(), "{}", file);
    }
}
