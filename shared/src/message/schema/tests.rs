//! The schema and the reader agree.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::message::{MAX_TEXT, Refusal, pack, read};

/// The schema in both of its forms.
static SCHEMAS: LazyLock<[Validator; 2]> = LazyLock::new(|| {
    let (body, schemas) = components();
    let mut draft_7 = body;
    draft_7["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    draft_7["components"] = json!({ "schemas": schemas });
    [message(), draft_7].map(|schema| {
        jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap_or_else(|error| panic!("{error}"))
    })
});

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// Whether reader and schema take a message as a whole; they must agree.
fn taken(message: &Value) -> bool {
    let read = read(message.to_string().as_bytes(), None, noon());
    let refused: Vec<Refusal> = read.into_iter().filter_map(|task| Some(task.err()?.refusal)).collect();
    for schema in &*SCHEMAS {
        let errors: Vec<String> = schema.iter_errors(message).map(|error| error.to_string()).collect();
        assert_eq!(errors.is_empty(), refused.is_empty(), "{message:#}\n{errors:#?}\n{refused:?}");
    }
    refused.is_empty()
}

fn name() -> impl Strategy<Value = Value> {
    "[A-Za-z0-9][A-Za-z0-9._-]{0,62}".prop_map(Value::from)
}

fn id() -> impl Strategy<Value = Value> {
    any::<u128>().prop_map(|bits| json!(Uuid::from_u128(bits)))
}

fn time() -> impl Strategy<Value = Value> {
    let seconds = 0_i64..4_000_000_000;
    let written = select(vec!["%FT%TZ", "%FT%T%.3fZ", "%FT%T+00:00", "%Ft%T-11:30", "%FT%T.123456789z"]);
    (seconds, written).prop_map(|(seconds, written)| {
        json!(DateTime::from_timestamp(seconds, 250_000_000).unwrap().format(written).to_string())
    })
}

fn text() -> impl Strategy<Value = Value> {
    "[^\u{0}]{0,50}".prop_map(Value::from)
}

/// A field that is there, is null, or is not there.
fn maybe(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    prop_oneof![value.prop_map(Some), Just(Some(Value::Null)), Just(None)].boxed()
}

fn always(value: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Option<Value>> {
    value.prop_map(Some).boxed()
}

fn object(fields: Vec<(&'static str, BoxedStrategy<Option<Value>>)>) -> BoxedStrategy<Value> {
    let (names, values): (Vec<&str>, Vec<_>) = fields.into_iter().unzip();
    let fields = values.prop_map(move |values| {
        let fields = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        Value::Object(fields.collect())
    });
    fields.boxed()
}

fn params(kind: TaskKind) -> BoxedStrategy<Option<Value>> {
    match kind {
        TaskKind::Copy => always(object(vec![("restore_point", always(id())), ("target", always(name()))])),
        TaskKind::Verify => {
            let level = select(vec!["structure", "read", "restore"]).prop_map(Value::from);
            always(object(vec![("target", always(name())), ("level", always(level))]))
        }
        TaskKind::Restore => always(object(vec![
            ("into", always(name())),
            ("target", maybe(name())),
            ("restore_point", maybe(id())),
            ("later", maybe(text())),
        ])),
        TaskKind::Probe | TaskKind::Forget => always(object(vec![("target", always(name()))])),
        TaskKind::Record => always(record()),
        TaskKind::Report => {
            let day = |from: i64, until: i64| {
                (from..until).prop_map(|days| {
                    DateTime::from_timestamp(days * 86_400, 0).unwrap().format("%F").to_string()
                })
            };
            let named = |name: &str| always(Just(json!(name)));
            let weeks = (1..=52).prop_map(|week| json!(format!("2020-W{week:02}")));
            let months = (1..=12).prop_map(|month| json!(format!("2020-{month:02}")));
            let audited = vec![
                ("report", named("audit")),
                ("from", always(day(18_000, 18_100).prop_map(Value::from))),
                ("to", always(day(18_100, 18_200).prop_map(Value::from))),
                ("mail_to", maybe(prop::collection::vec("[a-z]{1,8}", 0..2).prop_map(Value::from))),
            ];
            prop_oneof![
                maybe(object(vec![
                    ("report", maybe(Just(json!("daily")))),
                    ("day", maybe(day(0, 20_000).prop_map(Value::from)))
                ])),
                maybe(object(vec![
                    ("report", named("weekly")),
                    ("week", maybe(weeks)),
                    ("job", maybe(name()))
                ])),
                maybe(object(vec![
                    ("report", named("monthly")),
                    ("month", maybe(months)),
                    ("owner", maybe(Just(json!("ops & co"))))
                ])),
                maybe(object(audited)),
                maybe(object(vec![
                    ("report", named("compliance")),
                    ("period", named("previous")),
                    ("mail_to", named("a, b"))
                ])),
            ]
            .boxed()
        }
        _ => maybe(object(vec![("anything", maybe(text()))])),
    }
}

/// A report whose fields fit each other, which no schema asks for.
fn record() -> BoxedStrategy<Value> {
    let time = |from: i64, until: i64| {
        (from..until).prop_map(|seconds| json!(DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339()))
    };
    let number = || (0..=i64::MAX).prop_map(Value::from);
    let outcome = prop_oneof![
        Just((json!("success"), Just(None).boxed())),
        Just((json!("warning"), maybe(text()))),
        Just((json!("failed"), maybe(text()))),
    ];
    let report = outcome.prop_flat_map(move |(outcome, error)| {
        object(vec![
            ("target", always(name())),
            ("outcome", always(Just(outcome))),
            ("started_at", always(time(0, 1_700_000_000))),
            ("finished_at", always(time(1_700_000_000, 1_790_000_000))),
            ("bytes", maybe(number())),
            ("files", maybe(number())),
            ("snapshot", maybe("[a-z #0-9]{1,50}".prop_map(Value::from))),
            ("error", error),
        ])
    });
    report.boxed()
}

fn task(version: BoxedStrategy<Option<Value>>) -> BoxedStrategy<Value> {
    let kinds: Vec<TaskKind> = TaskKind::ALL.iter().copied().filter(|kind| kind.is_for_others()).collect();
    let task = select(kinds).prop_flat_map(move |kind| {
        let job = if kind.needs_job() {
            always(name())
        } else {
            prop_oneof![Just(Some(Value::Null)), Just(None)].boxed()
        };
        object(vec![
            ("version", version.clone()),
            ("id", always(id())),
            ("kind", always(Just(json!(kind)))),
            ("job", job),
            ("enqueued_at", maybe(time())),
            ("requested_by", maybe(text())),
            ("priority", maybe(select(vec!["high", "normal"]).prop_map(Value::from))),
            ("not_before", maybe(time())),
            ("params", params(kind)),
            ("traceparent", maybe(text())),
            ("tracestate", maybe(text())),
            ("a_field_of_later", maybe(text())),
        ])
    });
    task.boxed()
}

fn one() -> BoxedStrategy<Value> {
    task(always(Just(json!(1))))
}

fn many() -> BoxedStrategy<Value> {
    let version = prop_oneof![Just(Some(json!(1))), Just(None)].boxed();
    let tasks = proptest::collection::vec(task(version), 1..5);
    tasks.prop_map(|tasks| json!({ "version": 1, "tasks": tasks })).boxed()
}

/// What makes any task a bad one.
fn faults() -> Vec<(&'static str, Option<Value>)> {
    let mut faults = vec![("id", None), ("kind", None)];
    let wrong: [(&'static str, Vec<Value>); 10] = [
        ("id", vec![json!(7), json!(null), json!("7"), json!("0193a8f2-5c1e-7cc3-98c4-dc0c0c07398g")]),
        ("kind", vec![json!("explode"), json!(null), json!("BACKUP"), json!(1)]),
        ("job", vec![json!("../x"), json!(""), json!(7), json!("x".repeat(64)), json!(["docs"])]),
        (
            "enqueued_at",
            vec![json!("soon"), json!(1_700_000_000), json!("2026-11-23"), json!("2026-11-23T02:00:00")],
        ),
        ("not_before", vec![json!("2026-13-23T02:00:00Z"), json!(false), json!("02:00")]),
        ("requested_by", vec![json!({}), json!("a\u{0}b"), json!("x".repeat(MAX_TEXT + 1))]),
        ("priority", vec![json!("urgent"), json!(1), json!("HIGH")]),
        ("params", vec![json!(7), json!([]), json!("{}")]),
        ("traceparent", vec![json!(7), json!([])]),
        ("version", vec![json!(2), json!(0), json!("1"), json!(null), json!(true)]),
    ];
    for (field, values) in wrong {
        faults.extend(values.into_iter().map(|value| (field, Some(value))));
    }
    faults
}

fn break_task(task: &mut Value, (field, value): (&'static str, Option<Value>)) {
    let fields = task.as_object_mut().unwrap();
    match value {
        Some(value) => _ = fields.insert(field.to_owned(), value),
        None => _ = fields.remove(field),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_well_formed_is_taken_by_both(message in prop_oneof![one(), many()]) {
        prop_assert!(taken(&message), "{message:#}");
    }

    #[test]
    fn a_fault_is_refused_by_both(mut message in one(), fault in select(faults())) {
        break_task(&mut message, fault);
        prop_assert!(!taken(&message), "{message:#}");
    }

    #[test]
    fn a_fault_of_one_among_many_is_refused_by_both(mut message in many(), which: Index, fault in select(faults())) {
        let tasks = message["tasks"].as_array_mut().unwrap();
        let which = which.index(tasks.len());
        break_task(&mut tasks[which], fault);
        prop_assert!(!taken(&message), "{message:#}");
    }

    #[test]
    fn a_parameter_that_is_missing_or_wrong_is_refused_by_both(
        mut message in one(), which: Index, wrong in select(vec![None, Some(json!(7)), Some(json!("a/b"))])
    ) {
        let needed = match message["kind"].as_str().unwrap() {
            "copy" => vec!["restore_point", "target"],
            "verify" => vec!["target", "level"],
            "restore" => vec!["into"],
            "probe" | "forget" => vec!["target"],
            "record" => vec!["target", "outcome", "started_at", "finished_at"],
            _ => return Ok(()),
        };
        let params = message["params"].as_object_mut().unwrap();
        let name = needed[which.index(needed.len())];
        match wrong {
            Some(value) => _ = params.insert(name.to_owned(), value),
            None => _ = params.remove(name),
        }
        prop_assert!(!taken(&message), "{message:#}");
    }

    #[test]
    fn what_is_written_is_what_the_schema_says(messages in proptest::collection::vec(one(), 1..20), most in 1_usize..10) {
        let read = |message: &Value| read(message.to_string().as_bytes(), None, noon()).remove(0).unwrap();
        let tasks: Vec<TaskMessage> = messages.iter().map(read).collect();
        for (body, _) in pack(&tasks.iter().collect::<Vec<_>>(), most) {
            prop_assert!(taken(&serde_json::from_slice(&body).unwrap()));
        }
    }
}

#[test]
fn the_frame_around_tasks_is_judged_alike() {
    let task = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "docs" });
    let without = |field: &str| {
        let mut task = task.clone();
        task.as_object_mut().unwrap().remove(field);
        task
    };
    for good in [
        task.clone(),
        json!({ "version": 1, "tasks": [task] }),
        json!({ "version": 1, "tasks": vec![without("version"); MAX_TASKS] }),
        json!({ "version": 1, "tasks": [task], "id": 7, "kind": "explode" }),
    ] {
        assert!(taken(&good));
    }
    for bad in [
        json!([]),
        json!(null),
        json!({}),
        without("version"),
        without("job"),
        json!({ "version": 1 }),
        json!({ "version": 1, "tasks": [] }),
        json!({ "version": 1, "tasks": null }),
        json!({ "version": 1, "tasks": {} }),
        json!({ "version": 1, "tasks": [7] }),
        json!({ "tasks": [task] }),
        json!({ "version": 2, "tasks": [task] }),
        json!({ "version": 1, "tasks": vec![task.clone(); MAX_TASKS + 1] }),
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "report", "job": "docs" }),
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": "docs", "tasks": 7 }),
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "verify", "job": "docs" }),
        json!({ "version": 1, "id": Uuid::now_v7(), "kind": "report", "params": { "day": "yesterday" } }),
    ] {
        assert!(!taken(&bad), "{bad:#}");
    }
}

#[test]
fn the_kinds_are_those_that_are_for_others() {
    let schema = message();
    let kinds = schema.pointer("/$defs/Task/oneOf").unwrap().as_array().unwrap();
    let kinds: Vec<&Value> = kinds.iter().map(|kind| &kind["properties"]["kind"]["const"]).collect();
    let for_others = TaskKind::ALL.iter().filter(|kind| kind.is_for_others()).map(|kind| kind.as_str());
    assert_eq!(kinds, for_others.collect::<Vec<_>>());
}
