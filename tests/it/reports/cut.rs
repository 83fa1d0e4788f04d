//! What is too much for people is counted there, and whole elsewhere.

use std::collections::BTreeMap;

use chrono::{DateTime, FixedOffset};
use harness::World;
use serde_json::{Value, json};

use super::{definitions, facts, make, save};

type Moment = DateTime<FixedOffset>;

fn moment(text: &str) -> Moment {
    DateTime::parse_from_rfc3339(text).unwrap()
}

#[tokio::test]
async fn evidence_that_is_not_listed_is_counted_and_the_list_says_how_old_it_is_and_when_it_ends() {
    let world = World::new().await;
    let mut defined = definitions(&world, &[]);
    let names = (0..=1_000).map(|number| format!("job-{number:04}"));
    let jobs: Vec<Value> = names.map(|name| world.simulated_job(&name, &["disk-a"], &json!({}))).collect();
    defined["jobs"] = json!(jobs);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "job-0000", "--wait"]).await.code, 0);
    world.wait_until_idle().await;
    // What is known of the one is known of all.
    world
        .execute(
            "update compliance c set facts = of.facts, verdicts = of.verdicts, evaluated_at = of.evaluated_at
             from compliance of join job j on j.id = of.job_id where j.name = 'job-0000'",
        )
        .await;
    let id = make(&world, &["report=compliance"]).await;
    let facts = facts(&world, &id).await;
    let evidence = facts["jobs"][1_000]["evidence"].as_array().unwrap();
    assert!(evidence.len() > 1, "{evidence:?}");
    let page = String::from_utf8(save(&world, &id, "html").await).unwrap();
    let (_, of_evidence) = page.split_once("Evidence</h2>").unwrap();
    let (of_evidence, _) = of_evidence.split_once("Exceptions</h2>").unwrap();
    assert!(
        of_evidence.contains(&format!("And {} more.", evidence.len())),
        "the last job's are left out silently"
    );

    // One piece may say several things, each with an end of its own.
    let mut known: BTreeMap<&str, (Moment, Option<Moment>)> = BTreeMap::new();
    for of in evidence {
        let (observed, end) =
            (moment(of["observed_at"].as_str().unwrap()), of["expires_at"].as_str().map(moment));
        let entry = known.entry(of["evidence"].as_str().unwrap()).or_insert((observed, end));
        entry.1 = entry.1.into_iter().chain(end).min();
    }
    let content = save(&world, &id, "csv").await;
    let mut reader = csv::Reader::from_reader(content.as_slice());
    let headers = reader.headers().unwrap().clone();
    let cell = |row: &csv::StringRecord, name: &str| {
        let place = headers.iter().position(|header| header == name).unwrap_or_else(|| panic!("{name}"));
        row[place].to_owned()
    };
    let mut seen = 0;
    for row in reader.records().map(Result::unwrap) {
        let all: Vec<String> = cell(&row, "evidence").split_whitespace().map(ToOwned::to_owned).collect();
        let of = |name: &str| cell(&row, name).split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        let (observed, expires) = (of("evidence_observed_at"), of("evidence_expires_at"));
        assert_eq!((observed.len(), expires.len()), (all.len(), all.len()), "{row:?}");
        for (place, evidence) in all.iter().enumerate() {
            let Some(known) = known.get(evidence.as_str()) else { continue };
            assert_eq!(moment(&observed[place]), known.0);
            match known.1 {
                Some(end) => assert_eq!(moment(&expires[place]), end),
                None => assert_eq!(expires[place], "none"),
            }
            seen += 1;
        }
    }
    assert!(seen > 1_000, "{seen}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn an_audit_counts_all_restores_also_those_that_it_does_not_list() {
    let world = super::world_with(&["docs"]).await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
                 finished_at, seconds)
             select gen_random_uuid(), 1, 1, 'restore', j.id, t.id, case when n > 1000 then 'failed' else 'success' end, 'ops', now(), \
                 now(), now() - n * interval '1 millisecond', 1
             from generate_series(1, 1003) n, job j, target t where t.name = 'disk-a'",
        )
        .await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let id = make(&world, &["report=audit", "period=current"]).await;
    let facts = facts(&world, &id).await;
    assert_eq!(facts["restores_total"], 1_003);
    assert_eq!(facts["restores_failed"], 3);
    assert_eq!(facts["restores"].as_array().unwrap().len(), 1_000);
    let shown = world.run("reporter", ["report", "show", &id, "--json"]).await.json();
    assert!(shown["headline"].as_str().unwrap().ends_with("; 1003 restores."), "{shown}");
    let page = String::from_utf8(save(&world, &id, "html").await).unwrap();
    assert!(page.contains("And 3 more."), "what is not listed is not counted");
    // They are the oldest, and what an auditor asks about first.
    let summary = world.text(&format!("select summary from report where id = '{id}'")).await.unwrap();
    assert_eq!(summary.matches("- restore: docs: failed on ").count(), 3, "{summary}");
    world.stop(worker).await;
    world.stop(producer).await;
}
