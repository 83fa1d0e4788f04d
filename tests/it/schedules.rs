//! Schedules, end to end: what they enqueue, and what people see of them and do to them.

use chrono::{DateTime, TimeDelta, Utc};
use harness::{World, eventually};
use producer::scheduler::Scheduler;
use serde_json::{Value, json};
use shared::clock;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A world with the simulated job `docs` and this schedule.
async fn world_with(schedule: &Value) -> World {
    let world = World::new().await;
    apply(&world, schedule).await;
    world
}

async fn apply(world: &World, schedule: &Value) {
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({ "duration": "1h" }));
    job["schedule"] = schedule.clone();
    job["priority"] = json!("high");
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
}

/// The due times that were seen to, the oldest first: whether each has a task.
async fn seen(world: &World) -> Vec<(DateTime<Utc>, bool)> {
    let client = world.database.client().await.unwrap();
    let statement = "select due_at, task_id is not null from schedule_run order by due_at";
    client.query(statement, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Has the next due time of the job's backups be this one.
async fn next_is(world: &World, due: &str) {
    let statement =
        format!("update schedule set next_due = '{due}', fires_at = '{due}' where kind = 'backup'");
    world.execute(&statement).await;
}

async fn look(world: &World, now: &str) {
    Scheduler::default().step(&world.database, at(now)).await.unwrap();
    world.execute("delete from leader").await;
}

#[tokio::test]
async fn what_is_due_is_done_until_the_schedule_is_paused_and_again_when_it_is_resumed() {
    let world = World::new().await;
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job["schedule"] = json!({ "every": "1s", "overlap": "allow" });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": [job] })).await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let done = "select count(*) from execution e join schedule_run r on r.task_id = e.task_id
         where e.kind = 'backup' and e.outcome = 'success' and e.requested_by = 'schedule'";
    eventually("three backups are done", async || (world.number(done).await >= 3).then_some(())).await;

    let paused = world.producer(&["schedule", "pause", "docs"]).await;
    assert_eq!((paused.code, paused.stdout.as_str()), (0, "the backup schedule of docs is paused\n"));
    // What was taken before the pause is seen to.
    world.wait_until_idle().await;
    let before = seen(&world).await.len();
    let listed = world.producer(&["schedule", "list", "--json"]).await.json();
    assert_eq!((&listed[0]["name"], &listed[0]["kind"]), (&json!("docs"), &json!("backup")));
    assert!(listed[0]["paused_by"].is_string(), "{listed}");
    let due = "select count(*) from schedule where next_due < now() - interval '2 s'";
    eventually("two more are due", async || (world.number(due).await == 1).then_some(())).await;
    assert_eq!(seen(&world).await.len(), before);

    assert_eq!(world.producer(&["schedule", "resume", "docs"]).await.code, 0);
    eventually("it goes on", async || (seen(&world).await.len() > before).then_some(())).await;
    assert_eq!(world.producer(&["schedule", "pause", "docs"]).await.code, 0);
    world.wait_until_idle().await;
    world.stop(producer).await;
    world.stop(worker).await;
    world.check_invariants().await;
}

#[tokio::test]
async fn ten_thousand_due_at_once_are_enqueued_in_ten_transactions() {
    let world = World::new().await;
    let spec = json!({ "cron": "0 3 * * *", "timezone": "UTC" });
    world
        .execute(&format!(
            "insert into schedule (kind, name, spec, next_due, fires_at)
             select 'report', 'report-' || n, '{spec}', '2026-10-01T03:00:00Z', '2026-10-01T03:00:00Z'
             from generate_series(1, 10000) n"
        ))
        .await;
    let (mut scheduler, mut looks, began) = (Scheduler::default(), Vec::new(), std::time::Instant::now());
    loop {
        let seen = scheduler.step(&world.database, at("2026-10-01T03:00:01Z")).await.unwrap();
        looks.push(seen);
        if seen == 0 {
            break;
        }
    }
    println!("{:?}", began.elapsed());
    assert_eq!(looks, [[1000; 10].as_slice(), &[0]].concat());
    assert_eq!(
        world.number("select count(*) from task where kind = 'report' and priority = 'normal'").await,
        10_000
    );
    let next =
        "select count(*) from schedule where next_due = '2026-10-02T03:00:00Z' and last_task is not null";
    assert_eq!(world.number(next).await, 10_000);
}

#[tokio::test]
async fn many_schedules_that_catch_much_up_are_seen_to_in_transactions_of_a_few_thousand_rows() {
    let world = World::new().await;
    let spec = json!({ "every": "1m", "timezone": "UTC", "catch_up": { "all": 1000 }, "overlap": "allow" });
    world
        .execute(&format!(
            "insert into schedule (kind, name, spec, next_due, fires_at)
             select 'report', 'report-' || n, '{spec}', '2026-10-01T00:00:00Z', '2026-10-01T00:00:00Z'
             from generate_series(1, 12) n"
        ))
        .await;
    let mut scheduler = Scheduler::default();
    let mut runs = Vec::new();
    while scheduler.step(&world.database, at("2026-10-02T00:00:30Z")).await.unwrap() > 0 {
        runs.push(world.number("select count(*) from schedule_run").await);
    }
    // A thousand that were missed, and the one that is in time.
    assert_eq!(runs, [5 * 1001, 10 * 1001, 12 * 1001]);
    assert_eq!(world.number("select count(*) from task").await, 12 * 1001);
}

#[tokio::test]
async fn a_due_time_is_passed_over_or_waits_or_runs_beside_the_work_before_it_as_the_schedule_says() {
    for (overlap, while_it_waits, while_it_runs) in
        [("skip", false, false), ("queue", false, true), ("allow", true, true)]
    {
        let world = world_with(&json!({ "every": "1h", "overlap": overlap })).await;
        next_is(&world, "2026-10-01T01:00:00Z").await;
        look(&world, "2026-10-01T01:00:01Z").await;
        look(&world, "2026-10-01T02:00:01Z").await;
        let expected = vec![(at("2026-10-01T01:00:00Z"), true), (at("2026-10-01T02:00:00Z"), while_it_waits)];
        assert_eq!(seen(&world).await, expected, "{overlap}: the first waits");

        let producer = world.start_producer();
        world.execute("update schedule set paused_at = now(), paused_by = 'the test'").await;
        let worker = world.start_worker("w1", &[]);
        let waits = "select count(*) from task";
        eventually("what is enqueued runs", async || (world.number(waits).await == 0).then_some(())).await;
        world.stop(producer).await;
        world.execute("update schedule set paused_at = null").await;
        next_is(&world, "2026-10-01T03:00:00Z").await;
        world.execute("delete from leader").await;
        look(&world, "2026-10-01T03:00:01Z").await;
        // The producer forgets those of long ago.
        let expected = (at("2026-10-01T03:00:00Z"), while_it_runs);
        assert_eq!(seen(&world).await.last(), Some(&expected), "{overlap}: the one before runs");
        drop(worker);
    }
}

#[tokio::test]
async fn due_times_that_somebody_noted_already_are_not_enqueued_again() {
    let world = world_with(&json!({ "every": "1h", "overlap": "allow" })).await;
    next_is(&world, "2026-10-01T01:00:00Z").await;
    look(&world, "2026-10-01T01:00:01Z").await;
    // As after a restore of one table, or by a hand that errs.
    next_is(&world, "2026-10-01T01:00:00Z").await;
    look(&world, "2026-10-01T01:00:02Z").await;
    assert_eq!(seen(&world).await, [(at("2026-10-01T01:00:00Z"), true)]);
    assert_eq!(world.number("select count(*) from task").await, 1);
    let last = "select count(*) from schedule s join task t on t.id = s.last_task";
    assert_eq!(world.number(last).await, 1, "the last task is the one that there is");
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_waits_a_minute_and_keeps_no_other_from_its_due_time() {
    let world = world_with(&json!({ "every": "1h", "overlap": "allow" })).await;
    let later = json!({ "phase_of_the_moon": "full" });
    world
        .execute(&format!(
            "insert into schedule (kind, name, spec, next_due, fires_at)
             select 'report', 'report-' || n, '{later}', '2026-10-01T00:00:00Z', '2026-10-01T00:00:00Z'
             from generate_series(1, 1000) n"
        ))
        .await;
    next_is(&world, "2026-10-01T01:00:00Z").await;
    // Nor is the definition of the job, but for its priority.
    world.execute(r#"update job set definition = '{"priority":"high","phase_of_the_moon":"full"}'"#).await;
    // They were due first, and fill the first look.
    look(&world, "2026-10-01T01:00:01Z").await;
    assert_eq!(seen(&world).await, []);
    look(&world, "2026-10-01T01:00:01Z").await;
    assert_eq!(seen(&world).await, [(at("2026-10-01T01:00:00Z"), true)]);
    assert_eq!(world.number("select count(*) from task where priority = 'high'").await, 1);
    let waiting = "select count(*) from schedule where kind = 'report' and next_due = '2026-10-01T00:00:00Z'
         and fires_at = '2026-10-01T01:01:01Z'";
    assert_eq!(world.number(waiting).await, 1000, "their due times are not lost");
    // A version that can read them.
    world
        .execute(r#"update schedule set spec = '{"every":"1h","timezone":"UTC"}' where kind = 'report'"#)
        .await;
    look(&world, "2026-10-01T01:01:02Z").await;
    assert_eq!(world.number("select count(*) from task where kind = 'report'").await, 1000);
}

#[tokio::test]
async fn an_inactive_job_is_not_backed_up_and_what_it_missed_is_caught_up_as_its_schedule_says() {
    let world = world_with(&json!({ "every": "1h", "catch_up": "all(2)" })).await;
    next_is(&world, "2026-10-01T01:00:00Z").await;
    world.execute("update job set active = false").await;
    look(&world, "2026-10-01T04:30:00Z").await;
    assert_eq!(seen(&world).await, []);
    world.execute("update job set active = true").await;
    look(&world, "2026-10-01T04:30:00Z").await;
    assert_eq!(seen(&world).await, [(at("2026-10-01T03:00:00Z"), true), (at("2026-10-01T04:00:00Z"), true)]);
}

#[tokio::test]
async fn a_schedule_that_is_applied_again_goes_on_and_another_one_counts_from_now() {
    let world = world_with(&json!({ "every": "1h" })).await;
    next_is(&world, "2026-10-01T01:00:00Z").await;
    let next = "select to_char(next_due at time zone 'utc', 'YYYY-MM-DD HH24:MI') from schedule";
    apply(&world, &json!({ "every": "1h", "timezone": "UTC" })).await;
    assert_eq!(world.text(next).await.unwrap(), "2026-10-01 01:00");
    // Between its due time and its start: tonight's work is not lost by a change of what has nothing to do with it.
    apply(&world, &json!({ "every": "1h", "overlap": "allow" })).await;
    assert_eq!(world.text(next).await.unwrap(), "2026-10-01 01:00");
    next_is(&world, "2999-01-01T00:00:00Z").await;
    assert_eq!(world.producer(&["schedule", "pause", "docs"]).await.code, 0);
    apply(&world, &json!({ "cron": "0 2 * * *", "timezone": "Europe/Berlin" })).await;
    let later = "select count(*) from schedule where next_due between now() and now() + interval '26 h'
         and paused_at is not null";
    assert_eq!(world.number(later).await, 1, "it counts from now, and stays paused");
    apply(&world, &json!("manual")).await;
    assert_eq!(world.number("select count(*) from schedule").await, 0);
}

#[tokio::test]
async fn people_can_run_a_schedule_at_once_and_are_told_what_is_missing() {
    let world = world_with(&json!({ "every": "1h" })).await;
    let run = world.producer(&["schedule", "run", "docs"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    let task = world.text("select id::text from task where priority = 'high'").await.unwrap();
    assert_eq!(run.stdout, format!("{task} enqueued\n"));
    assert_eq!(world.text("select last_task::text from schedule").await.unwrap(), task);

    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job["schedule"] = json!({ "every": "1h" });
    job["active"] = json!(false);
    world.apply(&json!({ "jobs": [job] })).await;
    for (arguments, message) in [
        (["schedule", "run", "docs"].as_slice(), "the job of the backup schedule of docs is not active"),
        (&["schedule", "run", "mail"], "no backup schedule of \"mail\": no job and no report has this name"),
        (&["schedule", "pause", "docs", "--kind", "verify"], "the job has no such schedule"),
        (&["schedule", "next", "--job", "mail"], "no job and no report has this name"),
        (&["schedule", "pause", "docs/read/usb"], "`schedule list` shows all"),
        (&["schedule", "next", "--cron", "0 0 31 2 *"], "it never comes"),
        (&["schedule", "next", "--cron", "@daily", "--timezone", "Berlin"], "is no time zone"),
    ] {
        let run = world.producer(arguments).await;
        assert!(run.code != 0 && run.stderr.contains(message), "{arguments:?}: {run:?}");
    }
    assert_eq!(world.number("select count(*) from task").await, 1);
}

#[tokio::test]
async fn due_times_are_printed_one_a_line_by_the_clock_of_the_zone() {
    let world = world_with(&json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin" })).await;
    let from = ["--from", "2026-10-24T12:00:00Z", "--count", "2"];
    let expected = "2026-10-25T02:30:00+02:00\n2026-10-26T02:30:00+01:00\n";
    let cron = ["schedule", "next", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin"];
    assert_eq!(world.producer(&[&cron[..], &from].concat()).await.stdout, expected);
    assert_eq!(
        world.producer(&[&["schedule", "next", "--job", "docs"][..], &from].concat()).await.stdout,
        expected
    );
    let seconds =
        ["schedule", "next", "--cron", "15 0 0 * * *", "--count", "1", "--from", "2026-10-24T12:00:00Z"];
    assert_eq!(world.producer(&seconds).await.stdout, "2026-10-25T00:00:15Z\n");
}

#[tokio::test]
async fn a_schedule_is_found_by_its_name_whatever_it_enqueues() {
    let world = World::new().await;
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job["verify"] = json!({ "schedule": { "read": { "every": "1h" } } });
    let report = json!({ "name": "daily", "report": "daily", "schedule": { "cron": "50 23 * * *" } });
    let targets = [world.target("disk-a", &json!({}))];
    world.apply(&json!({ "targets": targets, "jobs": [job], "reports": [report] })).await;
    for (name, said) in [
        ("docs/read/disk-a", "the verify schedule of docs/read/disk-a is paused\n"),
        ("daily", "the report schedule of daily is paused\n"),
    ] {
        assert_eq!(world.producer(&["schedule", "pause", name]).await.stdout, said);
        let next = world.producer(&["schedule", "next", "--job", name, "--count", "1"]).await;
        assert_eq!((next.code, next.stdout.lines().count()), (0, 1), "{next:?}");
    }
    assert_eq!(world.number("select count(*) from schedule where paused_at is not null").await, 2);
    let other = world.producer(&["schedule", "pause", "docs"]).await;
    assert!(other.stderr.contains("the job has no such schedule, but for verify"), "{other:?}");
}

#[tokio::test]
async fn due_times_of_long_ago_are_forgotten() {
    let world = world_with(&json!({ "every": "1h" })).await;
    for days in [1, 29, 31, 400] {
        let due = clock::now() - TimeDelta::days(days);
        world
            .execute(&format!("insert into schedule_run select id, '{due}', null, '{due}' from schedule"))
            .await;
    }
    let producer = world.start_producer();
    eventually("old ones are forgotten", async || (seen(&world).await.len() == 2).then_some(())).await;
    world.stop(producer).await;
}
