//! What check finds, and what rebuild mends.

use reporter::rollup::rebuild;
use serde_json::{Value, json};
use shared::db::partition;

use super::{attempts, backups, checked, client, roll_up, roll_up_to, world_with_a_job};
use harness::World;
use reporter::rollup::{Step, step};

async fn rebuild_all(world: &World) -> reporter::rollup::Rebuilt {
    rebuild(&mut client(world).await, |_, _| {}).await.unwrap()
}

#[tokio::test]
async fn each_kind_of_difference_is_found_and_mended() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    world.execute(&attempts(2, "now() - interval '2 days'", "'verify'", "'failed'", "0")).await;
    roll_up_to(&world, 5).await;
    let one = "where ctid = (select ctid from rollup order by span, kind, bucket limit 1)";
    let add = "insert into rollup select span, at, job_id, kind, outcome, target_id, 300, 1, 0, 0, 0, 0, 0
         from rollup order by span, kind, bucket limit 1";
    let of_columns = ["count", "microseconds", "bytes", "bytes_added", "files", "source_errors"]
        .map(|column| format!("update rollup set {column} = {column} + 1 {one}"));
    let others = [
        format!("delete from rollup {one}"),
        add.to_owned(),
        format!("update rollup set target_id = null {one}"),
    ];
    let rows = [1, 1, 1, 1, 1, 1, 1, 1, 2];
    for (tampering, rows) in of_columns.into_iter().chain(others).zip(rows) {
        world.execute(&tampering).await;
        let found = checked(&world).await.differences;
        assert_eq!(
            (found.rows, found.first.len()),
            (rows, usize::try_from(rows).unwrap()),
            "{tampering}: {found:#?}"
        );
        let rebuilt = rebuild_all(&world).await;
        assert_eq!((rebuilt.days, rebuilt.attempts, rebuilt.renumbered), (2, 5, 0), "{tampering}");
        assert!(checked(&world).await.is_clean(), "{tampering}");
    }
}

#[tokio::test]
async fn the_commands_say_what_differs_and_what_was_counted_again() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    roll_up(&world).await;
    let run = world.run("reporter", ["rollup", "check"]).await;
    assert!(
        run.code == 0 && run.stdout.contains("3 attempts") && run.stdout.contains("no difference"),
        "{run:?}"
    );
    world.execute("update rollup set bytes = 7 where span = 'day' and bytes = 2000").await;
    let run = world.run("reporter", ["rollup", "check"]).await;
    assert!(run.code == 1 && run.stdout.contains("1 attempts, 7 bytes"), "{run:?}");
    assert!(run.stdout.contains("1 attempts, 2000 bytes") && run.stdout.contains("disk-a"), "{run:?}");
    let run = world.run("reporter", ["rollup", "check", "--json"]).await;
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &found["rows"], &found["first"][0]["job"]), (1, &json!(1), &json!("sim")));
    assert_eq!(found["first"][0]["rolled_up"]["bytes"], json!(7));

    let rebuilt = world.run("reporter", ["rollup", "rebuild", "--json"]).await;
    let today = world.text("select (now() at time zone 'UTC')::date::text").await.unwrap();
    assert!(rebuilt.stderr.contains(&format!("{today}: 3 attempts")), "{rebuilt:?}");
    assert_eq!(rebuilt.json(), json!({ "days": 1, "attempts": 3, "renumbered": 0 }));
    assert_eq!(world.run("reporter", ["rollup", "check"]).await.code, 0);
}

#[tokio::test]
async fn what_is_not_rolled_up_yet_is_no_difference_and_a_rebuild_leaves_it_for_later() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    roll_up(&world).await;
    world.execute(&backups(4, "now()")).await;
    assert!(checked(&world).await.is_clean());
    assert_eq!(rebuild_all(&world).await.attempts, 3);
    roll_up_to(&world, 7).await;
}

#[tokio::test]
async fn days_of_a_month_that_was_dropped_stay_as_they_are() {
    let world = world_with_a_job().await;
    let months = chrono::Months::new(4);
    let past = shared::clock::now().checked_sub_months(months).unwrap();
    partition::create_ahead(&mut client(&world).await, past, 4).await.unwrap();
    let long_ago = "date_trunc('month', now(), 'UTC') - interval '4 months' + interval '10 days'";
    world.execute(&backups(2, long_ago)).await;
    world.execute(&backups(3, "now()")).await;
    roll_up_to(&world, 5).await;
    let history = std::time::Duration::from_hours(24 * 95);
    let dropped = partition::drop_oldest(&mut client(&world).await, shared::clock::now(), history).await;
    assert_eq!(dropped.unwrap().len(), 2, "one of each table");
    assert_eq!(world.number("select count(*) from execution").await, 3);

    let found = checked(&world).await;
    assert!(found.is_clean() && found.whole_since.is_some(), "{found:#?}");
    assert_eq!(found.differences.attempts, 3);
    assert_eq!(rebuild_all(&world).await.attempts, 3);
    assert_eq!(world.number(super::ROLLED_UP).await, 5);
}

#[tokio::test]
async fn a_dump_of_another_server_is_noticed_and_counted_by_a_rebuild_alone() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    roll_up(&world).await;
    // As it looks on a server that has had fewer transactions: rows and state bear numbers that are yet to come.
    world
        .execute("update execution set xact = '900000000000'; update rollup_state set xact = '900000000001'")
        .await;
    world.execute(&backups(2, "now()")).await;
    assert_eq!(step(&mut client(&world).await).await.unwrap(), Step::OfAnotherServer);
    let run = world.run("reporter", ["rollup", "check"]).await;
    assert!(run.code == 1 && run.stdout.contains("rollup rebuild"), "{run:?}");
    assert_eq!(world.number(super::ROLLED_UP).await, 3);

    assert_eq!(rebuild_all(&world).await.renumbered, 3);
    roll_up_to(&world, 5).await;
}

#[tokio::test]
async fn sums_that_other_systems_claim_without_bounds_hold_nothing_up() {
    let world = world_with_a_job().await;
    world.execute(&backups(3, "now()")).await;
    world
        .execute("update execution set bytes = 9223372036854775807, kind = 'record', seconds = 'infinity'")
        .await;
    roll_up_to(&world, 3).await;
    let sum = "select count(*) from rollup where bytes = 3 * 9223372036854775807.0";
    assert_eq!(world.number(sum).await, 2);
}
