//! Executions and evidence: each month has its partition, also when it comes late, and loses it when its time is over.

use std::time::Duration;

use deadpool_postgres::Client;
use harness::{World, eventually};
use serde_json::json;
use shared::db::{self, evidence_kept, partition};
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_hours(24);

/// The middle of a month so many months ago.
fn ago(months: u32) -> String {
    format!("(date_trunc('month', now(), 'UTC') - interval '{months} months' + interval '10 days')")
}

fn attempt(at: &str) -> String {
    format!(
        "insert into execution (task_id, epoch, attempt, kind, outcome, requested_by, enqueued_at, started_at, \
             finished_at, seconds)
         values (gen_random_uuid(), 1, 1, 'report', 'success', 'test', {at}, {at}, {at}, 0)"
    )
}

fn observation(id: &str, at: &str) -> String {
    format!(
        "insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
         values ('{id}', 1, 1, gen_random_uuid(), 'lock', {at}, '{{}}', 1, '')"
    )
}

async fn client(world: &World) -> Client {
    world.database.client().await.unwrap()
}

/// Partitions for the last months, with the current one.
async fn with_past_months(world: &World, months: u32) {
    let past = shared::clock::now().checked_sub_months(chrono::Months::new(months)).unwrap();
    partition::create_ahead(&mut client(world).await, past, months).await.unwrap();
}

async fn drop_oldest(world: &World, history: Duration) -> Result<Vec<String>, db::Error> {
    partition::drop_oldest(&mut client(world).await, shared::clock::now(), history).await
}

async fn months(world: &World, table: &str) -> i64 {
    world.number(&format!("select count(*) - 1 from pg_inherits where inhparent = '{table}'::regclass")).await
}

async fn without_this_month() -> World {
    let world = World::new().await;
    for table in ["execution", "evidence"] {
        let this = format!("select '{table}_' || to_char(now() at time zone 'UTC', 'YYYY_MM')");
        let this = world.text(&this).await.unwrap();
        world.execute(&format!("drop table {this}")).await;
    }
    world
}

#[tokio::test]
async fn rows_of_a_month_that_had_no_partition_are_moved_while_more_of_them_come() {
    let world = without_this_month().await;
    let last = ago(1);
    world.execute(&format!("{0}; {0}; {1}", attempt(&last), attempt("now()"))).await;
    world.execute(&observation("0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f", "now()")).await;
    world.execute("update execution set requested_by = 'first'").await;
    let first =
        "select string_agg(e::text, ' ' order by task_id) from execution e where requested_by = 'first'";
    let rows = world.text(first).await;
    let mut mending = client(&world).await;
    assert_eq!(partition::rows_in_default(&mending).await.unwrap(), 4);

    let (done, writers) = (CancellationToken::new(), 4);
    let writing = (0..writers).map(async |_| {
        let writer = client(&world).await;
        let mut written = 0;
        while !done.is_cancelled() {
            // Whoever writes at that moment waits, and is refused nothing.
            writer.batch_execute(&attempt("now()")).await.unwrap();
            written += 1;
        }
        written
    });
    let mending = async {
        eventually("writers are at it", async || {
            (world.number("select count(*) from execution").await > 100).then_some(())
        })
        .await;
        let created = partition::create_ahead(&mut mending, shared::clock::now(), 3).await.unwrap();
        done.cancel();
        created
    };
    let (created, written) = tokio::join!(mending, futures_util::future::join_all(writing));
    let written: i64 = written.into_iter().sum();

    let moved: Vec<u64> = created.iter().map(|created| created.moved).filter(|moved| *moved > 0).collect();
    assert_eq!(moved.len(), 3, "this month and the last, and this month's evidence: {created:?}");
    let client = client(&world).await;
    assert_eq!(partition::rows_in_default(&client).await.unwrap(), 0);
    assert_eq!(world.number("select count(*) from execution").await, written + 3);
    assert_eq!(world.number("select count(*) from evidence").await, 1);
    assert_eq!(world.text(first).await, rows);
    // Nothing is left to be done.
    assert_eq!(world.producer(&["migrate"]).await.stdout, "up to date\n");
}

#[tokio::test]
async fn a_month_in_use_is_created_later_and_nothing_is_half_done() {
    let world = without_this_month().await;
    world.execute(&attempt("now()")).await;
    let mut reader = client(&world).await;
    let reading = reader.transaction().await.unwrap();
    reading.query("select * from execution", &[]).await.unwrap();

    let mut mending = client(&world).await;
    let error = partition::create_ahead(&mut mending, shared::clock::now(), 1).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert_eq!(partition::rows_in_default(&mending).await.unwrap(), 1);
    // Nobody stands behind a lock that was not had.
    world.execute(&attempt("now()")).await;

    reading.commit().await.unwrap();
    let created = partition::create_ahead(&mut mending, shared::clock::now(), 1).await.unwrap();
    assert_eq!(created.first().map(|created| created.moved), Some(2), "{created:?}");
    assert_eq!(partition::rows_in_default(&mending).await.unwrap(), 0);
    assert_eq!(world.number("select count(*) from execution").await, 2);
}

#[tokio::test]
async fn a_partition_that_comes_late_is_vacuumed_and_indexed_like_the_others() {
    let world = without_this_month().await;
    assert_eq!(world.producer(&["migrate"]).await.code, 0);
    let kinds = "select count(distinct options) from (
             select reloptions::text as options from pg_class join pg_inherits on inhrelid = oid
             where inhparent in ('execution'::regclass, 'evidence'::regclass)) t";
    assert_eq!(world.number(kinds).await, 1);
    let unindexed = "select count(*) from pg_inherits i join pg_index p on p.indrelid = i.inhparent
         where i.inhparent in ('execution'::regclass, 'evidence'::regclass) and not exists (
             select from pg_inherits pi join pg_index c on c.indexrelid = pi.inhrelid
             where pi.inhparent = p.indexrelid and c.indrelid = i.inhrelid)";
    assert_eq!(world.number(unindexed).await, 0);
}

#[tokio::test]
async fn old_months_are_dropped_one_at_a_time_and_the_present_one_never() {
    let world = World::new().await;
    with_past_months(&world, 6).await;
    for month in 0..=6 {
        world.execute(&attempt(&ago(month))).await;
    }
    assert_eq!(months(&world, "execution").await, 6 + 2);
    // Months end between 28 and 31 days after they began: 126 days reach into the fifth month before this one or the
    // fourth.
    let dropped = drop_oldest(&world, 126 * DAY).await.unwrap();
    assert_eq!(dropped.len(), 2, "one of each table: {dropped:?}");
    let mut more = 0;
    while !drop_oldest(&world, 126 * DAY).await.unwrap().is_empty() {
        more += 1;
    }
    assert!((0..=1).contains(&more), "{more}");
    let kept = world.number("select count(*) from execution").await;
    assert!((5..=6).contains(&kept), "{kept}");

    while !drop_oldest(&world, Duration::ZERO).await.unwrap().is_empty() {}
    let current = format!("select count(*) from execution where finished_at = {}", ago(0));
    assert_eq!(world.number(&current).await, 1);
    assert_eq!(months(&world, "execution").await, 2);
}

#[tokio::test]
async fn evidence_that_facts_or_verdicts_name_outlives_its_month_and_no_longer() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    with_past_months(&world, 6).await;
    let id = |number: u8| format!("0193a8f2-5c1e-7cc3-98c4-0000000000{number:02}");
    let [fact, verdict, neither] = [id(1), id(2), id(3)];
    for id in [&fact, &verdict, &neither] {
        world.execute(&observation(id, &ago(6))).await;
    }
    world
        .execute(&format!(
            "update compliance set facts = '{{\"1\": {{\"lock\": {{\"evidence\": \"{fact}\", \"at\": \"2020-01-01T00:00:00Z\", \
                 \"says\": \"2040-01-01T00:00:00Z\"}}, \"written_at\": \"2020-01-01T00:00:00Z\", \"read\": null}}}}';
             update compliance set verdicts = '[{{\"rule\": \"3-copies\", \"evidence\": [\"{verdict}\", \"{fact}\"]}}]'"
        ))
        .await;
    let kept = "select string_agg(id::text, ' ' order by id) from evidence_kept";
    assert_eq!(drop_oldest(&world, 100 * DAY).await.unwrap().len(), 2);
    assert_eq!(world.number("select count(*) from evidence").await, 0);
    assert_eq!(world.text(kept).await, Some(format!("{fact} {verdict}")));

    // A newer lock, and verdicts that name nothing: the old rows have done their service.
    let client = client(&world).await;
    assert_eq!(evidence_kept::sweep(&client).await.unwrap(), 0);
    world.execute("update compliance set verdicts = '[]'").await;
    assert_eq!(evidence_kept::sweep(&client).await.unwrap(), 1);
    world.execute("update compliance set facts = '{}'").await;
    assert_eq!(evidence_kept::sweep(&client).await.unwrap(), 1);
}

#[tokio::test]
async fn a_month_in_use_is_dropped_later_and_keeps_nobody_from_recording() {
    let world = World::new().await;
    with_past_months(&world, 6).await;
    world.execute(&observation("0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f", &ago(6))).await;
    let mut reader = client(&world).await;
    let reading = reader.transaction().await.unwrap();
    reading.query("select * from evidence", &[]).await.unwrap();

    let before = months(&world, "evidence").await;
    let error = drop_oldest(&world, 100 * DAY).await.unwrap_err();
    assert!(error.is_busy(), "{error}");
    assert_eq!(months(&world, "evidence").await, before);
    world.execute(&observation("0193a8f2-5c1e-7cc3-98c4-dc0c0c073990", "now()")).await;

    reading.commit().await.unwrap();
    // The executions' month went before, by itself.
    assert_eq!(drop_oldest(&world, 100 * DAY).await.unwrap().len(), 2);
    assert_eq!(months(&world, "evidence").await, before - 1);
}

#[tokio::test]
async fn a_running_producer_keeps_the_history_that_it_is_told_to() {
    let world = World::new().await;
    with_past_months(&world, 14).await;
    world.execute(&attempt(&ago(14))).await;
    world.execute(&attempt(&ago(13))).await;
    let producer = world.start("producer", "producer", &[("HOLDFAST_HISTORY", "97d")]);
    let oldest = format!("select count(*) from execution where finished_at = {}", ago(14));
    eventually("the oldest month is gone", async || (world.number(&oldest).await == 0).then_some(())).await;
    eventually("the upkeep is done", async || producer.log().contains("sweeping dead tasks").then_some(()))
        .await;
    let analyzed = "select count(*) from pg_stat_user_tables
         where relname in ('execution', 'evidence') and last_analyze is not null";
    eventually("the whole tables are analyzed", async || (world.number(analyzed).await == 2).then_some(()))
        .await;
    assert_eq!(world.number("select count(*) from execution").await, 1, "one month at a time");
    assert!(producer.log().contains("a month was dropped"), "{}", producer.log());
    world.stop(producer).await;
}
