//! What `reporter db advise --try` builds goes again, whatever comes between.

use std::time::Duration;

use devstack::{Service, ServiceCommand};
use harness::{DEADLINE, World, eventually};
use tokio_postgres::IsolationLevel;

use super::advice::world_that_misses_an_index;
use super::{maintain, world_with_jobs};

const TRIALS: &str = "select count(*) from pg_class where relname like 'holdfast_trial%'";
const INTERRUPT: i32 = 2;

fn start_trying(world: &World, options: &[&str]) -> Service {
    let command = ServiceCommand::new("reporter", world.path("advise.log")).args(["db", "advise", "--try"]);
    let command = command.args(options.iter().copied());
    let command =
        world.environment().into_iter().fold(command, |command, (name, value)| command.env(name, value));
    Service::start(command).unwrap()
}

/// An index as a trial that was killed leaves it.
async fn leave_behind(world: &World, table: &str) {
    let name = format!("select 'holdfast_trial_' || '{table}'::regclass::oid");
    let name = world.text(&name).await.unwrap();
    world.execute(&format!("create index {name} on {table} (created_at)")).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_build_that_is_tried_and_leaves_no_index_behind() {
    let world = world_that_misses_an_index().await;
    // Whoever builds beside waits for all that look at an older state.
    let mut old = world.database.client().await.unwrap();
    let snapshot = old.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let transaction = snapshot.start().await.unwrap();
    transaction.batch_execute("set local idle_in_transaction_session_timeout = 0; select 1").await.unwrap();
    let trying = start_trying(&world, &[]);
    let building = "select count(*) from pg_stat_progress_create_index where datname = current_database() and phase like 'waiting%'";
    eventually("it builds", async || (world.number(building).await == 1).then_some(())).await;
    assert_eq!(world.number(TRIALS).await, 1);
    trying.signal(INTERRUPT).unwrap();
    let exit = trying.wait(DEADLINE).await.unwrap();
    assert!(!exit.success(), "{exit:?}");
    assert!(trying.log().contains("interrupted: "), "{}", trying.log());
    assert_eq!(world.number(building).await, 0, "the server is at it still");
    assert_eq!(world.number(TRIALS).await, 0, "{}", trying.log());
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn a_trial_index_that_was_left_behind_goes_with_the_next_trial_and_with_a_reindex() {
    let world = world_with_jobs(0).await;
    leave_behind(&world, "restore_point").await;
    leave_behind(&world, "report").await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let dry = maintain(&world, &["action=reindex", "tables=report", "dry_run=true"]).await;
    assert_eq!(dry["leftovers"].as_array().unwrap().len(), 1, "{dry}");
    assert_eq!(world.number(TRIALS).await, 2, "a dry run has changed something");
    maintain(&world, &["action=reindex", "tables=report"]).await;
    assert_eq!(world.number(TRIALS).await, 1, "only that of the table");
    let run = world.run("reporter", ["db", "advise", "--try", "--json"]).await;
    assert!(run.code < 2, "{run:?}");
    assert_eq!(world.number(TRIALS).await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_trial_waits_for_somebody_elses_work_on_the_table_but_not_for_ever() {
    let world = world_that_misses_an_index().await;
    let holder = world.database.client().await.unwrap();
    let hold = "select pg_advisory_lock(1667330661, 'restore_point'::regclass::oid::integer)";
    holder.execute(hold, &[]).await.unwrap();
    let trying = start_trying(&world, &["--patience", "1s"]);
    let exit = trying.wait(Duration::from_secs(30)).await.unwrap();
    assert!(!exit.success(), "{exit:?}");
    assert!(
        trying.log().contains("somebody else works on restore_point and has not ended within 1s"),
        "{}",
        trying.log()
    );
    assert_eq!(world.number(TRIALS).await, 0);
}
