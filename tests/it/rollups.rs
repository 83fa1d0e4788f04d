//! Rollups: exact whatever commits when and whoever is killed, compared with the attempts, and rebuilt from them.

mod figures;
mod mended;

use std::time::Duration;

use deadpool_postgres::Client;
use harness::{World, eventually, metrics};
use reporter::rollup::{Checked, Step, check, step, step_of};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// A world with the simulated job `sim` on `disk-a`.
async fn world_with_a_job() -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

async fn client(world: &World) -> Client {
    world.database.client().await.unwrap()
}

/// Attempts of the job on its target; `at`, `kind`, `outcome` and `seconds` are expressions in which `n` counts from 1.
fn attempts(number: usize, at: &str, kind: &str, outcome: &str, seconds: &str) -> String {
    format!(
        "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
             finished_at, seconds, bytes, bytes_added, files, source_errors)
         select gen_random_uuid(), 1, 1, {kind}, j.id, t.id, {outcome}, 'test', {at}, {at}, {at}, {seconds}, 1000 * n, 10 * n, n, n % 2
         from generate_series(1, {number}) n, job j, target t where j.name = 'sim' and t.name = 'disk-a'"
    )
}

fn backups(number: usize, at: &str) -> String {
    attempts(number, at, "'backup'", "'success'", "n")
}

/// Rolls up until all attempts are; transactions of other tests may be in the way for a moment.
async fn roll_up(world: &World) {
    let mut client = client(world).await;
    eventually("all is rolled up", async || {
        while let Step::More(_) = step(&mut client).await.unwrap() {}
        let left = "select count(*) from execution where xact >= (select xact from rollup_state)";
        (world.number(left).await == 0).then_some(())
    })
    .await;
}

async fn checked(world: &World) -> Checked {
    check(&mut client(world).await).await.unwrap()
}

/// Rolls up and demands that so many attempts are, each once.
async fn roll_up_to(world: &World, attempts: u64) {
    roll_up(world).await;
    let checked = checked(world).await;
    assert!(checked.is_clean(), "{checked:#?}");
    assert_eq!(checked.differences.attempts, attempts);
}

const ROLLED_UP: &str = "select coalesce(sum(count), 0)::bigint from rollup where span = 'day'";

#[tokio::test]
async fn what_is_committed_late_is_rolled_up_then_and_what_came_after_it_not_before() {
    let world = world_with_a_job().await;
    let (mut late, mut rolling) = (client(&world).await, client(&world).await);
    let open = late.transaction().await.unwrap();
    open.batch_execute(&backups(1, "now()")).await.unwrap();
    world.execute(&backups(2, "now()")).await;
    assert_eq!(step(&mut rolling).await.unwrap(), Step::CaughtUp(0));
    assert_eq!(world.number(ROLLED_UP).await, 0);
    assert!(shared::db::rollup::behind(&rolling).await.unwrap() > 0.0);
    open.commit().await.unwrap();
    roll_up_to(&world, 3).await;
    assert!(shared::db::rollup::behind(&rolling).await.unwrap() <= 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_leaders_at_once_count_each_attempt_once_while_others_record_and_commit_in_any_order() {
    let world = world_with_a_job().await;
    let done = CancellationToken::new();
    let writing = (0..4).map(async |writer: usize| {
        let mut client = client(&world).await;
        for round in 0..25_usize {
            let transaction = client.transaction().await.unwrap();
            transaction.batch_execute(&backups(3, "now()")).await.unwrap();
            // So that transactions end in another order than they began.
            tokio::time::sleep(Duration::from_millis(((writer * 7 + round * 13) % 20) as u64)).await;
            transaction.commit().await.unwrap();
        }
    });
    let rolling = (0..2).map(async |_| {
        let mut client = client(&world).await;
        while !done.is_cancelled() {
            step_of(&mut client, 5).await.unwrap();
        }
    });
    let writing = async {
        futures_util::future::join_all(writing).await;
        done.cancel();
    };
    tokio::join!(writing, futures_util::future::join_all(rolling));
    roll_up_to(&world, 4 * 25 * 3).await;
}

#[tokio::test]
async fn a_range_holds_no_more_attempts_than_it_is_to_but_for_those_of_one_transaction() {
    let world = world_with_a_job().await;
    world.execute(&backups(50, "now()")).await;
    for _ in 0..6 {
        world.execute(&backups(2, "now()")).await;
    }
    let mut client = client(&world).await;
    // Before it begins, no other test's transaction may be older than these attempts.
    let ready = "select count(*) from execution where xact >= pg_snapshot_xmin(pg_current_snapshot())";
    eventually("all can be rolled up", async || (world.number(ready).await == 0).then_some(())).await;
    let mut ranges = Vec::new();
    loop {
        match step_of(&mut client, 4).await.unwrap() {
            Step::More(attempts) => ranges.push(attempts),
            Step::CaughtUp(attempts) => break ranges.push(attempts),
            Step::OfAnotherServer => panic!("it is of this one"),
        }
    }
    ranges.retain(|attempts| *attempts > 0);
    assert_eq!(ranges, [50, 4, 4, 4]);
}

#[tokio::test]
async fn a_leader_that_is_killed_in_the_middle_has_done_nothing() {
    let world = world_with_a_job().await;
    world.execute(&backups(10, "now()")).await;
    let mut blocking = client(&world).await;
    let block = blocking.transaction().await.unwrap();
    block.batch_execute("lock table rollup in share mode").await.unwrap();
    let mut rolling = client(&world).await;
    let pid: i32 = rolling.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let killing = async {
        let waits = format!("select count(*) from pg_locks where pid = {pid} and not granted");
        eventually("it has begun", async || (world.number(&waits).await == 1).then_some(())).await;
        world.execute(&format!("select pg_terminate_backend({pid})")).await;
    };
    let (error, ()) = tokio::join!(async { step(&mut rolling).await.unwrap_err() }, killing);
    assert!(!error.is_busy(), "{error}");
    block.commit().await.unwrap();
    assert_eq!(world.number(ROLLED_UP).await, 0);
    assert_eq!(world.text("select xact::text from rollup_state where xact <> '0'").await, None);
    roll_up_to(&world, 10).await;
}

#[tokio::test]
async fn hours_and_days_begin_by_the_clock_of_utc_whatever_the_sessions() {
    let world = world_with_a_job().await;
    let client = client(&world).await;
    client.batch_execute("set timezone = 'Asia/Kathmandu'").await.unwrap();
    let night = "date_trunc('day', now(), 'UTC') - interval '1 second'";
    client.batch_execute(&backups(1, night)).await.unwrap();
    client.batch_execute(&backups(1, &format!("{night} + interval '1 second'"))).await.unwrap();
    drop(client);
    roll_up_to(&world, 2).await;
    let apart = "select count(distinct at) * 10 + count(*) from rollup
         where extract(minute from at at time zone 'UTC') = 0 and (span = 'hour' or extract(hour from at at time zone 'UTC') = 0)";
    // Two hours, two days, of which the second begins with its hour.
    assert_eq!(world.number(apart).await, 3 * 10 + 4);
}

#[tokio::test]
async fn hours_go_after_ninety_days_and_days_after_three_years() {
    let world = world_with_a_job().await;
    for days in [0, 89, 91, 1094, 1097] {
        world.execute(&backups(1, &format!("now() - interval '{days} days'"))).await;
    }
    roll_up(&world).await;
    // Hours that are too old do not come into being; one that was there before has to go.
    world
        .execute(
            "insert into rollup select 'hour', at - interval '10 days', job_id, kind, outcome, target_id, bucket, 1, 1, 1, 1, 1, 1
             from rollup where span = 'hour' order by at limit 1",
        )
        .await;
    let rows = "select count(*) filter (where span = 'hour') * 10 + count(*) filter (where span = 'day') from rollup";
    assert_eq!(world.number(rows).await, 3 * 10 + 5);
    let client = client(&world).await;
    let now = shared::db::now(&client).await.unwrap();
    reporter::rollup::sweep(&client, now).await.unwrap();
    assert_eq!(world.number(rows).await, 2 * 10 + 4);
}

#[tokio::test]
async fn one_reporter_leads_and_another_one_when_it_has_stopped() {
    let world = world_with_a_job().await;
    world.execute(&backups(5, "now()")).await;
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REFRESH", "100ms")];
    let first = world.start("reporter", "reporter-1", &settings);
    let leads = |service: &devstack::Service| service.log().contains("leading the reporters");
    eventually("the first leads", async || leads(&first).then_some(())).await;
    eventually("it rolls up", async || (world.number(ROLLED_UP).await == 5).then_some(())).await;
    eventually("it notes who complies", async || {
        (world.number("select count(*) from compliance_hour where jobs = 1 and compliant = 0").await == 1)
            .then_some(())
    })
    .await;
    let second = world.start("reporter", "reporter-2", &settings);
    eventually("the second listens", async || second.log().contains("listening").then_some(())).await;
    assert!(!leads(&second), "{}", second.log());
    world.stop(first).await;
    eventually("the second leads", async || leads(&second).then_some(())).await;
    world.execute(&backups(5, "now()")).await;
    eventually("it rolls up", async || (world.number(ROLLED_UP).await == 10).then_some(())).await;
    world.stop(second).await;
    assert!(checked(&world).await.is_clean());
}

#[tokio::test]
async fn the_figures_of_the_rollups_are_among_the_metrics() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    world.execute(&attempts(1, "now()", "'backup'", "'failed'", "1")).await;
    world.execute(&backups(4, "now() - interval '3 days'")).await;
    let (reporter, url) = world.start_reporter().await;
    let near =
        |value: Option<&f64>, expected: f64| value.is_some_and(|value| (value - expected).abs() < 1e-9);
    eventually("the metrics have the figures", async || {
        let metrics = metrics(&url).await;
        let of = |name: &str, period: &str| {
            metrics.get(&format!(r#"holdfast_{name}{{period="{period}"}}"#)).copied()
        };
        let all = [
            (of("success_rate", "day"), 0.75),
            (of("success_rate", "week"), 7.0 / 8.0),
            (of("storage_growth_bytes", "day"), 70.0),
            (of("storage_growth_bytes", "month"), 170.0),
            (of("dedup_ratio", "day"), 100.0),
            (of("backup_throughput_bytes_per_second", "day"), 1000.0),
            (metrics.get("holdfast_rollup_behind_seconds").copied(), 0.0),
        ];
        all.iter().all(|(value, expected)| near(value.as_ref(), *expected)).then_some(())
    })
    .await;
    eventually("it is noted who complies", async || {
        (world.number("select count(*) from compliance_hour").await == 1).then_some(())
    })
    .await;
    world.execute("update compliance_hour set compliant = jobs").await;
    eventually("the metrics have the compliance rate", async || {
        let metrics = metrics(&url).await;
        near(metrics.get(r#"holdfast_compliance_rate{period="day"}"#), 1.0).then_some(())
    })
    .await;
    world.stop(reporter).await;
}
