//! Many jobs, and long words.

use harness::{World, eventually, metrics};
use serde_json::{Value, json};

use super::{definitions, make, paper, save};

#[tokio::test]
async fn a_thousand_jobs_go_on_over_pages_each_with_its_title_its_number_and_the_head_of_the_list() {
    let world = World::new().await;
    let mut defined = definitions(&world, &[]);
    let jobs: Vec<Value> = (0..1000)
        .map(|number| {
            let mut job = world.simulated_job(&format!("job-{number:04}"), &["disk-a"], &json!({}));
            job["owner"] = json!(format!("team {}", number % 7));
            job
        })
        .collect();
    defined["jobs"] = json!(jobs);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for kind in ["compliance", "monthly"] {
        let id = make(&world, &[&format!("report={kind}"), "period=current"]).await;
        let pages = paper(&world, &id).await;
        assert!(pages.len() > 10, "{kind}: {} pages", pages.len());
        let title = world.text(&format!("select title from report where id = '{id}'")).await.unwrap();
        for (place, page) in pages.iter().enumerate().skip(1) {
            assert!(page.contains(&title), "{kind}, page {}: {page}", place + 1);
            assert!(page.contains(&format!("page {} of {}", place + 1, pages.len())), "{kind}: {page}");
        }
        for page in &pages[2..8] {
            assert!(page.contains("Owner") && page.contains("Job"), "{kind}: {page}");
        }
        let words = pages.concat();
        assert!((0..1000).all(|number| words.contains(&format!("job-{number:04}"))), "{kind}");
    }
    let of_owner = make(&world, &["report=compliance", "owner=team 3"]).await;
    let content = save(&world, &of_owner, "csv").await;
    assert_eq!(csv::Reader::from_reader(content.as_slice()).records().count(), 143 * 5);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn no_statement_of_a_report_is_sent_for_each_job() {
    let world = World::new().await;
    let names: Vec<String> = (0..300).map(|number| format!("job-{number:03}")).collect();
    let mut defined = definitions(&world, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let exception =
        json!([{ "rule": "1-isolated", "reason": "later", "owner": "ops", "until": "2999-12-31" }]);
    for job in defined["jobs"].as_array_mut().unwrap().iter_mut().step_by(2) {
        job["exceptions"] = exception.clone();
    }
    world.apply(&defined).await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
                 finished_at, seconds)
             select gen_random_uuid(), 1, 1, kind, j.id, t.id, 'failed', 'ops', now(), now(), now(), 1
             from job j, target t, unnest(array['backup', 'restore']) kind;
             insert into alert (cause, rule, severity, state, subject, job_id, group_key, summary, since, opened_at)
             select 'backup_failed/' || name, 'backup_failed', 'critical', 'open', name, id, 'g', 'it failed', now(), now() from job",
        )
        .await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
    let url = eventually("the worker listens", async || {
        let log = worker.log();
        let address = log.split("address=").nth(1)?.split_whitespace().next()?;
        Some(format!("http://{}", address.trim_matches('"')))
    })
    .await;
    for kind in ["daily", "weekly", "monthly", "compliance", "audit"] {
        make(&world, &[&format!("report={kind}"), "period=current"]).await;
        make(&world, &[&format!("report={kind}"), "period=current", "owner=ops"]).await;
    }
    let measured = metrics(&url).await;
    let counts = measured.iter().filter(|(name, _)| name.starts_with("holdfast_statement_seconds_count{"));
    let mut reads = 0;
    for (name, count) in counts {
        assert!(*count < 150.0, "{name} was sent {count} times in ten reports over 300 jobs");
        reads += usize::from(name.contains("alert.list"));
    }
    assert_eq!(reads, 1, "reports are not measured");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn long_names_and_other_scripts_are_broken_and_not_lost() {
    let world = World::new().await;
    let name = "a".repeat(30) + "." + &"b".repeat(32);
    let mut defined = definitions(&world, &[&name]);
    let owner = "Überlandleitungsbetriebsgesellschaft".repeat(5);
    defined["jobs"][0]["owner"] = json!(owner);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let id = make(&world, &["report=compliance"]).await;
    let words: String = paper(&world, &id).await.concat().split_whitespace().collect();
    assert!(words.contains(&name) && words.contains(&owner), "{words}");
    let page = String::from_utf8(save(&world, &id, "html").await).unwrap();
    assert!(page.contains(&name) && page.contains(&owner));
    world.stop(worker).await;
    world.stop(producer).await;
}
