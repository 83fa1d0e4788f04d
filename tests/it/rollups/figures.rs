//! `reporter figures`: what is made of rollups, restore points, evidence and notes.

use serde_json::{Value, json};

use super::{attempts, backups, roll_up, world_with_a_job};
use harness::World;

async fn figures(world: &World, arguments: &[&str]) -> Value {
    world.run("reporter", [&["figures", "--json"], arguments].concat()).await.json()
}

fn near(value: &Value, expected: f64, share: f64) {
    let number = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((number - expected).abs() <= share * expected, "{number} is not {expected}");
}

#[tokio::test]
async fn of_nothing_nothing_is_said() {
    let world = World::new().await;
    let run = world.run("reporter", ["figures"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let dashes = run
        .stdout
        .lines()
        .filter(|line| line.matches(" - ").count() + usize::from(line.trim_end().ends_with('-')) >= 3);
    assert_eq!(dashes.count(), 11, "{}", run.stdout);
    let answer = figures(&world, &[]).await;
    assert_eq!(answer["compliance_now"], Value::Null);
    for period in answer["periods"].as_array().unwrap() {
        for undefined in
            ["success_rate", "throughput", "dedup_ratio", "p50_seconds", "p99_seconds", "compliance_mean"]
        {
            assert_eq!(period[undefined], Value::Null, "{undefined}");
        }
        assert_eq!(period["recovery_points"]["worst_seconds"], Value::Null);
        assert_eq!(period["restores"]["longest_seconds"], Value::Null);
        assert_eq!((&period["backups"], &period["storage_growth"]), (&json!(0), &json!(0)));
    }
}

#[tokio::test]
async fn an_unknown_job_is_a_usage_error() {
    let world = World::new().await;
    let run = world.run("reporter", ["figures", "--job", "nobody"]).await;
    assert!(run.code == 2 && run.stderr.contains("nobody"), "{run:?}");
}

#[tokio::test]
async fn percentiles_are_within_5_percent_of_the_exact_ones() {
    let world = world_with_a_job().await;
    world.execute("select setseed(0.5)").await;
    world.execute(&attempts(3000, "now()", "'backup'", "'success'", "0.002 * exp(14 * random())")).await;
    roll_up(&world).await;
    let answer = figures(&world, &["--job", "sim"]).await;
    let client = super::client(&world).await;
    for (share, name) in [(0.5, "p50_seconds"), (0.95, "p95_seconds"), (0.99, "p99_seconds")] {
        let exact = "select percentile_disc($1) within group (order by seconds) from execution";
        let exact: f64 = client.query_one(exact, &[&share]).await.unwrap().get(0);
        near(&answer["periods"][0][name], exact, 0.050_001);
    }
    let mean = "select (sum(bytes) / sum(seconds)::numeric)::float8 from execution";
    let mean: f64 = client.query_one(mean, &[]).await.unwrap().get(0);
    near(&answer["periods"][0]["throughput"], mean, 1e-6);
}

#[tokio::test]
async fn each_period_has_its_own_and_each_job_its_own() {
    let world = world_with_a_job().await;
    world.execute(&backups(2, "now()")).await;
    world.execute(&attempts(2, "now() - interval '3 days'", "'backup'", "'timed_out'", "1")).await;
    world.execute(&backups(4, "now() - interval '20 days'")).await;
    world.execute(&backups(9, "now() - interval '40 days'")).await;
    world.execute(&attempts(3, "now()", "'copy'", "'success'", "1")).await;
    world.execute("update execution set job_id = null where kind = 'copy'").await;
    roll_up(&world).await;
    let of =
        |answer: &Value, name: &str| [0, 1, 2].map(|period: usize| answer["periods"][period][name].clone());
    let all = figures(&world, &[]).await;
    assert_eq!(of(&all, "backups"), [json!(2), json!(4), json!(8)]);
    assert_eq!(of(&all, "success_rate"), [json!(1.0), json!(0.5), json!(0.75)]);
    assert_eq!(of(&all, "storage_growth"), [json!(90), json!(120), json!(220)]);
    let one = figures(&world, &["--job", "sim"]).await;
    assert_eq!(of(&one, "storage_growth"), [json!(30), json!(60), json!(160)]);
    let text = world.run("reporter", ["figures"]).await.stdout;
    assert!(text.contains("50.0 %") && text.contains("75.0 %"), "{text}");
}

/// A restore point of the job `sim`, its data and its creation so many hours ago.
fn point(data: u32, created: u32, errors: u32) -> String {
    format!(
        "insert into restore_point (id, job_id, target_id, snapshot, data_time, created_at, seconds, files, bytes, bytes_added, \
             source_errors, task_id)
         select gen_random_uuid(), j.id, t.id, 'x', now() - interval '{data} hours', now() - interval '{created} hours', 1, 1, 1, 1, \
             {errors}, gen_random_uuid()
         from job j, target t where j.name = 'sim' and t.name = 'disk-a'"
    )
}

#[tokio::test]
async fn the_achieved_rpo_is_the_longest_time_without_a_newer_complete_restore_point() {
    let world = world_with_a_job().await;
    let gap = async || {
        let answer = figures(&world, &[]).await;
        let hours = |period: usize| {
            let points = &answer["periods"][period]["recovery_points"];
            (
                points["worst_seconds"].as_f64().map(|seconds| (seconds / 3600.0).round()),
                points["kept"].clone(),
            )
        };
        (hours(0), hours(2))
    };
    // The objective is a day and two hours by default.
    assert_eq!(gap().await, ((None, json!(0)), (None, json!(0))));
    world.execute(&point(31, 30, 0)).await;
    assert_eq!(gap().await, ((Some(31.0), json!(0)), (Some(31.0), json!(0))));
    // One that is not complete makes nothing better; a copy of old data neither.
    world.execute(&point(20, 19, 1)).await;
    world.execute(&point(31, 18, 0)).await;
    assert_eq!(gap().await.0, (Some(31.0), json!(0)));
    world.execute(&point(11, 10, 0)).await;
    assert_eq!(gap().await.0, (Some(21.0), json!(1)));
    // What was bad before the day is bad in the month only.
    world.execute(&point(300, 299, 0)).await;
    world.execute(&point(250, 249, 0)).await;
    assert_eq!(gap().await, ((Some(21.0), json!(1)), (Some(220.0), json!(0))));
}

#[tokio::test]
async fn the_achieved_rto_is_of_restores_and_restore_tests_that_succeeded() {
    let world = world_with_a_job().await;
    world.execute(&attempts(1, "now()", "'restore'", "'success'", "40")).await;
    world.execute(&attempts(1, "now()", "'restore'", "'failed'", "4000")).await;
    world.execute(&attempts(1, "now() - interval '2 days'", "'restore'", "'success'", "400")).await;
    let test = |seconds: u32, passed: bool| {
        format!(
            "insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
             select gen_random_uuid(), id, 1, gen_random_uuid(), 'restore_test', now(),
                 '{{\"kind\": \"restore_test\", \"passed\": {passed}, \"seconds\": {seconds}}}', 1, ''
             from job where name = 'sim'"
        )
    };
    world.execute(&test(50, true)).await;
    world.execute(&test(5000, false)).await;
    let answer = figures(&world, &["--job", "sim"]).await;
    let restores = |period: usize| answer["periods"][period]["restores"].clone();
    assert_eq!(restores(0), json!({ "count": 2, "longest_seconds": 50.0, "p95_seconds": 50.0 }));
    assert_eq!(restores(1), json!({ "count": 3, "longest_seconds": 400.0, "p95_seconds": 400.0 }));
}

#[tokio::test]
async fn the_compliance_rate_is_the_mean_of_what_was_noted_and_what_is_now() {
    let world = world_with_a_job().await;
    world
        .execute(
            "insert into compliance_hour select now() - interval '2 hours' * n, 4, n from generate_series(1, 4) n;
             update compliance set compliant = true",
        )
        .await;
    let answer = figures(&world, &[]).await;
    assert_eq!(
        (&answer["compliance_now"], &answer["periods"][0]["compliance_mean"]),
        (&json!(1.0), &json!(0.625))
    );
    let one = figures(&world, &["--job", "sim"]).await;
    assert_eq!((&one["compliance_now"], &one["periods"][0]["compliance_mean"]), (&json!(1.0), &Value::Null));
}
