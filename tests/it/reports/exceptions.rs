//! A documented exception is shown beside a verdict, counted by itself, and changes none.

use serde_json::{Value, json};

use super::{definitions, facts, make, paper};

fn exception(until: &str) -> Value {
    json!([{ "rule": "1-isolated", "reason": "the tape library arrives in spring", "owner": "it <lead>", "until": until }])
}

#[tokio::test]
async fn an_exception_is_shown_with_owner_and_end_and_makes_no_verdict_pass() {
    let world = harness::World::new().await;
    let mut defined = definitions(&world, &["docs", "mail", "plain"]);
    defined["jobs"][0]["exceptions"] = exception("2999-12-31");
    defined["jobs"][1]["exceptions"] = exception("2020-12-31");
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for job in ["docs", "mail", "plain"] {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", job, "--wait"]).await.code, 0);
    }
    world.wait_until_idle().await;
    let id = make(&world, &["report=compliance"]).await;
    let facts = facts(&world, &id).await;
    let standing = json!({ "jobs": 3, "follow": 0, "fail": 3, "unknown": 0, "excepted": 1 });
    assert_eq!(facts["standing"], standing);
    let job = |name: &str| facts["jobs"].as_array().unwrap().iter().find(|job| job["job"] == name).unwrap();
    let answer = |name: &str| {
        let verdicts = job(name)["verdicts"].as_array().unwrap();
        verdicts.iter().find(|verdict| verdict["rule"] == "1-isolated").unwrap()["answer"].clone()
    };
    assert_eq!([answer("docs"), answer("mail")], [json!("fail"), json!("fail")]);
    assert_eq!([&job("docs")["excepted"], &job("mail")["excepted"]], [&json!(true), &json!(false)]);
    assert_eq!(
        [&job("docs")["exceptions"][0]["counts"], &job("mail")["exceptions"][0]["counts"]],
        [&json!(true), &json!(false)]
    );
    // Evidence has an age and an end.
    let evidence = job("docs")["evidence"].as_array().unwrap();
    let read = evidence.iter().find(|of| of["kind"] == "read").unwrap();
    assert!(
        read["counts"] == true
            && read["expires_at"].is_string()
            && read["age_seconds"].as_f64().unwrap() >= 0.0,
        "{read}"
    );
    let words = paper(&world, &id).await.concat();
    for said in [
        "0 of 3 jobs follow the 3-2-1-1-0 rule; 3 fail (1 excepted)",
        "fail*",
        "2999-12-31",
        "it <lead>",
        "ended",
    ] {
        assert!(words.contains(said), "{said}: {words}");
    }
    let stored = world.text("select string_agg(answer, ' ') from verdict where rule = '1-isolated'").await;
    assert_eq!(stored.as_deref(), Some("fail fail fail"));
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn an_exception_without_a_reason_or_an_end_is_refused() {
    let world = harness::World::new().await;
    for (field, value, said) in [
        ("reason", json!(" "), "exceptions.reason"),
        ("until", json!("next year"), "is no date such as 2026-12-31"),
        ("until", json!("2026-02-30"), "is no date such as 2026-12-31"),
        ("owner", Value::Null, "exceptions.owner"),
        ("rule", json!("4-copies"), "exceptions.rule"),
    ] {
        let mut defined = definitions(&world, &["docs"]);
        defined["jobs"][0]["exceptions"] = exception("2026-12-31");
        defined["jobs"][0]["exceptions"][0][field] = value;
        let file = world.write("wrong.yaml", defined.to_string());
        let run = world.producer(&["apply", file.to_str().unwrap()]).await;
        assert!(run.code != 0 && (run.stderr.clone() + &run.stdout).contains(said), "{said}: {run:?}");
    }
    let mut twice = definitions(&world, &["docs"]);
    let one = exception("2026-12-31")[0].clone();
    twice["jobs"][0]["exceptions"] = json!([one, one]);
    let file = world.write("wrong.yaml", twice.to_string());
    let run = world.producer(&["apply", file.to_str().unwrap()]).await;
    assert!((run.stderr.clone() + &run.stdout).contains("1-isolated has two exceptions"), "{run:?}");
}
