use super::*;
use serde_json::json;

const GOLDEN_ONE: &str = r#"{"version":1,"id":"01930a5e-3d2c-7cc3-98c4-dc0c0c07398f","kind":"backup","job":"docs","enqueued_at":"2026-11-23T02:00:00Z","requested_by":"erp","priority":"normal","params":{}}"#;
const GOLDEN_MANY: &str = r#"{"version":1,"tasks":[
    {"id":"01930a5e-3d2c-7cc3-98c4-dc0c0c07398f","kind":"backup","job":"docs"},
    {"kind":"backup","job":"docs"},
    {"version":1,"id":"01930a5e-3d2c-7cc3-98c4-dc0c0c073990","kind":"backup","job":"mail","not_before":"2026-11-23T03:00:00+01:00"}]}"#;

fn noon() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn read(body: &[u8], received_at: DateTime<Utc>) -> Vec<Result<TaskMessage, Refused>> {
    super::read(body, None, received_at)
}

fn refusal_of(body: &Value) -> Refusal {
    let mut read = read(body.to_string().as_bytes(), noon());
    assert_eq!(read.len(), 1);
    read.remove(0).unwrap_err().refusal
}

#[test]
fn one_task_is_read_and_written_as_the_contract_says() {
    let read = read(GOLDEN_ONE.as_bytes(), noon());
    let [Ok(task)] = &read[..] else { panic!("{read:?}") };
    assert_eq!(task.job.as_ref().unwrap().as_str(), "docs");
    assert_eq!(String::from_utf8(task.to_body()).unwrap(), GOLDEN_ONE);
}

#[test]
fn a_bad_task_among_many_is_refused_alone_and_its_letter_stands_by_itself() {
    let read = read(GOLDEN_MANY.as_bytes(), noon());
    let [Ok(first), Err(second), Ok(third)] = &read[..] else { panic!("{read:?}") };
    assert_eq!(first.enqueued_at, noon());
    assert_eq!(second.refusal, Refusal::MissingField("id"));
    assert_eq!(String::from_utf8_lossy(&second.body), r#"{"job":"docs","kind":"backup","version":1}"#);
    assert_eq!(third.not_before, Some("2026-11-23T02:00:00Z".parse().unwrap()));
}

#[test]
fn every_reason_is_listed_once() {
    let codes: std::collections::BTreeSet<&str> = Refusal::CODES.iter().copied().collect();
    assert_eq!(codes.len(), Refusal::CODES.len());
    let document = include_str!("../../../docs/publishing.md");
    for code in &codes {
        assert!(document.contains(&format!("| `{code}` |")), "docs/publishing.md does not explain {code}");
    }
    for kind in TaskKind::ALL.iter().filter(|kind| kind.is_for_others()) {
        assert!(document.contains(&format!("`{kind}` |")), "docs/publishing.md does not describe {kind}");
        assert!(
            document.contains(&format!("{kind}|")) || document.contains(&format!("{kind})")),
            "{kind} in a policy"
        );
    }
    for refusal in [
        Refusal::TooLarge(1),
        Refusal::NotJson(String::new()),
        Refusal::NotATask(String::new()),
        Refusal::UnknownVersion(String::new()),
        Refusal::MissingField("id"),
        Refusal::InvalidField { field: "id", why: String::new() },
        Refusal::UnknownKind(String::new()),
        Refusal::UnknownJob(String::new()),
        Refusal::InactiveJob(String::new()),
        Refusal::WrongSource { job: String::new(), kind: TaskKind::Record, why: "" },
        Refusal::PriorityTooHigh(String::new()),
        Refusal::Misrouted(String::new()),
    ] {
        assert!(codes.contains(refusal.code()), "{refusal:?}");
    }
}

#[test]
fn each_fault_has_a_reason_of_its_own() {
    let id = "01930a5e-3d2c-7cc3-98c4-dc0c0c07398f";
    let cases = [
        (json!([]), "not_a_task"),
        (json!({"id": id, "kind": "backup", "job": "docs"}), "missing_field"),
        (json!({"version": 2, "id": id, "kind": "backup", "job": "docs"}), "unknown_version"),
        (json!({"version": "1", "id": id, "kind": "backup", "job": "docs"}), "unknown_version"),
        (json!({"version": 1, "id": "7", "kind": "backup", "job": "docs"}), "invalid_field"),
        (json!({"version": 1, "id": id, "kind": "explode", "job": "docs"}), "unknown_kind"),
        (json!({"version": 1, "id": id, "kind": "backup"}), "missing_field"),
        (json!({"version": 1, "id": id, "kind": "report", "job": "docs"}), "invalid_field"),
        (json!({"version": 1, "id": id, "kind": "backup", "job": "../x"}), "invalid_field"),
        (
            json!({"version": 1, "id": id, "kind": "backup", "job": "docs", "priority": "urgent"}),
            "invalid_field",
        ),
        (
            json!({"version": 1, "id": id, "kind": "backup", "job": "docs", "not_before": "soon"}),
            "invalid_field",
        ),
        (json!({"version": 1, "id": id, "kind": "backup", "job": "docs", "params": 7}), "invalid_field"),
        (
            json!({"version": 1, "id": id, "kind": "backup", "job": "docs", "requested_by": "a\u{0}b"}),
            "invalid_field",
        ),
        (json!({"version": 1, "id": id, "kind": "verify", "job": "docs", "params": {}}), "invalid_field"),
        (json!({"version": 1, "tasks": []}), "not_a_task"),
        (json!({"version": 1, "tasks": {}}), "not_a_task"),
        (json!({"version": 1, "tasks": vec![json!({}); MAX_TASKS + 1]}), "not_a_task"),
    ];
    for (body, code) in cases {
        assert_eq!(refusal_of(&body).code(), code, "{body}");
    }
}

#[test]
fn a_report_of_what_is_still_to_come_is_refused_by_the_field() {
    let report = |finished_at: &str| {
        let params = json!({ "target": "vault", "outcome": "success", "started_at": "2026-11-23T02:00:00Z",
            "finished_at": finished_at });
        let id = "01930a5e-3d2c-7cc3-98c4-dc0c0c07398f";
        let body = json!({ "version": 1, "id": id, "kind": "record", "job": "erp", "params": params });
        read(body.to_string().as_bytes(), noon()).remove(0)
    };
    assert!(report("2026-11-23T12:05:00Z").is_ok());
    let refusal = report("2026-11-23T12:05:01Z").unwrap_err().refusal;
    assert_eq!(refusal.code(), "invalid_field");
    assert!(
        refusal.to_string().starts_with("params: finished_at: lies more than 5 minutes ahead"),
        "{refusal}"
    );
}

#[test]
fn what_is_not_json_or_too_large_is_refused_whole() {
    let reason = |body: &[u8]| read(body, noon()).remove(0).unwrap_err().refusal.code();
    assert_eq!(reason(b"{\"version\":1,"), "not_json");
    assert_eq!(reason(b"\xff\xfe"), "not_json");
    assert_eq!(reason(&vec![b' '; MAX_BYTES + 1]), "too_large");
}

#[test]
fn fields_of_later_versions_are_ignored() {
    let body = GOLDEN_ONE.replace("\"params\"", "\"colour\":\"blue\",\"params\"");
    assert!(read(body.as_bytes(), noon()).remove(0).is_ok());
}

#[test]
fn packed_tasks_are_read_again_in_their_order_and_no_message_is_too_large() {
    let params = json!({ "target": "load" });
    let task = |n: usize| {
        let text = json!({ "version": 1, "id": Uuid::now_v7(), "kind": "probe", "job": format!("job-{n}"), "params": params,
            "requested_by": "x".repeat(MAX_TEXT) });
        read(text.to_string().as_bytes(), noon()).remove(0).unwrap()
    };
    let tasks: Vec<TaskMessage> = (0..1201).map(task).collect();
    for most in [1, 2, 100, MAX_TASKS, usize::MAX] {
        let messages = pack(&tasks.iter().collect::<Vec<_>>(), most);
        let again: Vec<TaskMessage> =
            messages.iter().flat_map(|(body, _)| read(body, noon())).collect::<Result<_, _>>().unwrap();
        assert_eq!(again, tasks, "{most} a message");
        for (body, count) in messages {
            assert!(body.len() <= MAX_BYTES && (1..=most.min(MAX_TASKS)).contains(&count), "{count} tasks");
        }
    }
}

#[test]
fn params_that_one_reader_takes_are_taken_by_the_next() {
    let nested = |depth: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let message = |params: &str| {
        let body = GOLDEN_ONE.replace(r#""params":{}"#, &format!(r#""params":{params}"#));
        read(body.as_bytes(), noon()).remove(0)
    };
    // Only as the first key of an object the library takes it for its own, and keys are sorted when they are written.
    let reserved = r#"{"a":1,"$serde_json::private::RawValue":"x"}"#;
    for refused in [reserved, &format!(r#"{{"b":[{reserved}]}}"#), &nested(MAX_DEPTH)] {
        let refusal = message(refused).unwrap_err().refusal;
        assert!(matches!(refusal, Refusal::InvalidField { field: "params", .. }), "{refused}: {refusal}");
    }
    let deep = message(&nested(MAX_DEPTH - 1)).unwrap();
    for (body, _) in pack(&[&deep, &deep], 2) {
        assert_eq!(read(&body, noon()), [Ok(deep.clone()), Ok(deep.clone())]);
    }
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

#[test]
fn a_tasks_own_trace_wins_over_that_of_the_headers_and_what_is_malformed_counts_as_absent() {
    let headers = TraceContext::read(Some(PARENT), Some("congo=1")).unwrap();
    let id = Uuid::now_v7();
    let task = |trace: Value| {
        let mut task = json!({ "id": id, "kind": "backup", "job": "docs" });
        task.as_object_mut().unwrap().extend(trace.as_object().unwrap().clone());
        task
    };
    let own = json!({ "traceparent": OTHER, "tracestate": "rojo=2" });
    let malformed = [
        json!({ "traceparent": "x".repeat(1000) }),
        json!({ "traceparent": null, "tracestate": "rojo=2" }),
        json!({ "traceparent": "", "tracestate": "\u{0}" }),
    ];
    let tasks: Vec<Value> = [json!({}), own.clone()].into_iter().chain(malformed).map(task).collect();
    let body = json!({ "version": 1, "tasks": tasks }).to_string();
    let traces = |headers: Option<&TraceContext>| {
        let read = super::read(body.as_bytes(), headers, noon());
        read.into_iter().map(|task| task.unwrap().trace).collect::<Vec<_>>()
    };
    let own = TraceContext::read(Some(OTHER), Some("rojo=2"));
    let of_headers = Some(headers.clone());
    assert_eq!(
        traces(Some(&headers)),
        [of_headers.clone(), own.clone(), of_headers.clone(), of_headers.clone(), of_headers]
    );
    assert_eq!(traces(None), [None, own.clone(), None, None, None]);

    let message = super::read(task(json!({ "version": 1 })).to_string().as_bytes(), own.as_ref(), noon());
    let again = read(&message[0].as_ref().unwrap().to_body(), noon());
    assert_eq!((&again, &again[0].as_ref().unwrap().trace), (&message, &own));
    let number = json!({ "version": 1, "id": id, "kind": "backup", "job": "docs", "traceparent": 7 });
    assert_eq!(
        refusal_of(&number),
        Refusal::InvalidField { field: "traceparent", why: "is not a string".into() }
    );
}

#[test]
fn what_is_refused_keeps_its_trace() {
    let headers = TraceContext::read(Some(PARENT), Some("congo=1"));
    for body in [
        "not json",
        r#"{"version":1,"tasks":[7]}"#,
        r#"{"version":1,"tasks":[{"id":"7"}]}"#,
        r#"{"version":1}"#,
    ] {
        let refused = super::read(body.as_bytes(), headers.as_ref(), noon()).remove(0).unwrap_err();
        assert_eq!(refused.trace, headers, "{body}");
        let letter = crate::dead_letter::publication(refused, "holdfast.backup.normal".to_owned());
        let trace = letter.headers.iter().filter(|(name, _)| name.starts_with("trace"));
        let trace: Vec<_> = trace.map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(trace, [("traceparent", PARENT), ("tracestate", "congo=1")]);
    }
}
