//! The figures of reports are those of the attempts, counted by hand.

use chrono::{Datelike as _, Days, NaiveDate};
use harness::{World, eventually, metrics};
use reporter::rollup::{Step, step};
use serde_json::{Value, json};

use super::{facts, make, world_with};
use crate::reads::Reader;

/// Attempts of a job; `at`, `kind`, `outcome` and `seconds` are expressions in which `n` counts from 1.
fn attempts(job: &str, number: usize, at: &str, kind: &str, outcome: &str, seconds: &str) -> String {
    format!(
        "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
             finished_at, seconds, bytes, bytes_added, files, source_errors)
         select gen_random_uuid(), 1, 1, '{kind}', j.id, t.id, '{outcome}', 'test', {at}, {at}, {at}, {seconds}, 1000 * n, 10 * n, n, 0
         from generate_series(1, {number}) n, job j, target t where j.name = '{job}' and t.name = 'disk-a';"
    )
}

/// Rolls up until all attempts are; transactions of other tests may be in the way for a moment.
async fn roll_up(world: &World) {
    let mut client = world.database.client().await.unwrap();
    eventually("all is rolled up", async || {
        while let Step::More(_) = step(&mut client).await.unwrap() {}
        let left = "select count(*) from execution where xact >= (select xact from rollup_state)";
        (world.number(left).await == 0).then_some(())
    })
    .await;
}

/// What the database says of the backups from one day until before another: tried, succeeded, bytes, added by copies too.
async fn counted(world: &World, job: Option<&str>, from: NaiveDate, to: NaiveDate) -> [i64; 4] {
    let of_job =
        job.map(|job| format!("and job_id = (select id from job where name = '{job}')")).unwrap_or_default();
    let within = format!("finished_at >= '{from}' and finished_at < '{to}' {of_job}");
    let count = async |what: &str, which: &str| {
        world
            .number(&format!("select coalesce({what}, 0)::bigint from execution where {within} and {which}"))
            .await
    };
    [
        count(
            "count(*)",
            "kind in ('backup', 'record') and outcome in ('success', 'warning', 'failed', 'timed_out')",
        )
        .await,
        count("count(*)", "kind in ('backup', 'record') and outcome in ('success', 'warning')").await,
        count("sum(bytes)", "kind = 'backup' and outcome in ('success', 'warning')").await,
        count("sum(bytes_added)", "kind in ('backup', 'copy')").await,
    ]
}

fn said(figures: &Value) -> [i64; 4] {
    let tried = figures["backups"].as_i64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a share of a count")]
    let succeeded = (figures["success_rate"].as_f64().unwrap_or_default() * tried as f64).round() as i64;
    [tried, succeeded, figures["source_bytes"].as_i64().unwrap(), figures["storage_growth"].as_i64().unwrap()]
}

#[tokio::test]
async fn figures_of_each_period_and_job_are_those_that_are_counted_by_hand_rolled_up_or_not() {
    let world = world_with(&["docs", "mail"]).await;
    let today: NaiveDate =
        world.text("select (now() at time zone 'UTC')::date::text").await.unwrap().parse().unwrap();
    let day = |days: u64| today.checked_sub_days(Days::new(days)).unwrap();
    let at = |days: u64| format!("timestamptz '{} 12:00:00+00' + interval '1 second' * n", day(days));
    let all = [
        attempts("docs", 9, &at(1), "backup", "success", "n"),
        attempts("docs", 2, &at(1), "backup", "failed", "1"),
        attempts("docs", 4, &at(1), "copy", "success", "n"),
        attempts("docs", 3, &at(1), "verify", "failed", "n"),
        attempts("mail", 5, &at(1), "backup", "warning", "100 * n"),
        attempts("mail", 7, &at(9), "backup", "timed_out", "n"),
        attempts("mail", 3, &at(9), "backup", "lost", "n"),
        attempts("docs", 6, &at(40), "backup", "success", "n"),
    ];
    world.execute(&all[..4].concat()).await;
    roll_up(&world).await;
    // The rest is rolled up by nobody.
    world.execute(&all[4..].concat()).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));

    let daily = facts(&world, &make(&world, &["period=previous"]).await).await;
    assert_eq!(said(&daily["figures"]), counted(&world, None, day(1), today).await);
    assert_eq!(said(&daily["figures_before"]), counted(&world, None, day(2), day(1)).await);
    assert_eq!(said(&daily["figures"])[0], 16, "{daily}");
    assert_eq!(daily["troubled_total"], 2 + 3 + 5);

    let (from, to) = (format!("from={}", day(45)), format!("to={today}"));
    let long = facts(&world, &make(&world, &["report=monthly", &from, &to]).await).await;
    let tomorrow = today.succ_opt().unwrap();
    assert_eq!(said(&long["figures"]), counted(&world, None, day(45), tomorrow).await);
    for row in long["jobs"].as_array().unwrap() {
        let job = row["job"].as_str().unwrap();
        assert_eq!(said(row), counted(&world, Some(job), day(45), tomorrow).await, "{job}");
    }
    let trend = long["trend"].as_array().unwrap();
    assert_eq!(trend.len(), 46, "one step a day");
    let tried: i64 = trend.iter().map(|step| step["backups"].as_i64().unwrap()).sum();
    assert_eq!(tried, said(&long["figures"])[0]);

    let median =
        &long["jobs"].as_array().unwrap().iter().find(|row| row["job"] == "mail").unwrap()["p50_seconds"];
    assert!((median.as_f64().unwrap() - 300.0).abs() <= 15.1, "{median}");

    let of_one = facts(&world, &make(&world, &["report=monthly", &from, &to, "job=mail"]).await).await;
    assert_eq!(said(&of_one["figures"]), counted(&world, Some("mail"), day(45), tomorrow).await);
    assert_eq!(of_one["jobs"].as_array().unwrap().len(), 1);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_report_the_figures_the_status_what_is_read_over_http_and_the_metrics_agree() {
    let world = world_with(&["docs"]).await;
    world.execute(&attempts("docs", 3, "now()", "backup", "success", "n")).await;
    world.execute(&attempts("docs", 1, "now()", "backup", "failed", "n")).await;
    roll_up(&world).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let weekly = facts(&world, &make(&world, &["report=weekly", "period=current"]).await).await;
    let monday: NaiveDate = weekly["period"]["from"].as_str().unwrap().parse().unwrap();
    assert_eq!(monday.weekday(), chrono::Weekday::Mon);
    let figures = world.run("reporter", ["figures", "--json"]).await.json();
    let day = &figures["periods"][0];
    for name in [
        "backups",
        "success_rate",
        "source_bytes",
        "storage_growth",
        "dedup_ratio",
        "throughput",
        "p50_seconds",
        "p95_seconds",
    ] {
        assert_eq!(weekly["figures"][name], day[name], "{name}");
    }
    assert_eq!(weekly["figures"]["success_rate"], json!(0.75));
    let status = world.run("reporter", ["status", "--json"]).await.json();
    let backups = status["executions"].as_array().unwrap().iter().filter(|tally| tally["kind"] == "backup");
    let counted: i64 = backups.map(|tally| tally["count"].as_i64().unwrap()).sum();
    assert_eq!(weekly["figures"]["backups"], json!(counted));

    // And so do what is read over HTTP and what is scraped.
    let reader = Reader::with(&world, "viewer", &[("HOLDFAST_CACHE_TTL_SUMMARY", "0s")]).await;
    let summary = reader.read("summary").await;
    for name in ["backups", "success_rate", "source_bytes", "storage_growth", "p95_seconds"] {
        assert_eq!(summary["figures"]["day"][name], weekly["figures"][name], "{name}");
    }
    let rate = eventually("the rate is measured", async || {
        metrics(&reader.url).await.get(r#"holdfast_success_rate{period="day"}"#).copied()
    })
    .await;
    assert_eq!(json!(rate), weekly["figures"]["success_rate"]);
    world.stop(worker).await;
    world.stop(producer).await;
}
