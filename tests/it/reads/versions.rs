//! The versions that answers are kept under: they change when something does, and nobody waits for them before the end.

use std::time::Duration;

use harness::{World, eventually};

use super::{Reader, world_with};

async fn versions(world: &World) -> Option<String> {
    world.text("select string_agg(name || version, ' ' order by name) from cache_version").await
}

#[tokio::test]
async fn who_changes_schedules_alerts_or_reports_waits_for_nobody_who_changes_others() {
    let world = world_with(2).await;
    let before = versions(&world).await;
    for table in ["schedule", "alert", "report"] {
        let change = |row: &str| {
            let set = if table == "schedule" { "next_due = now()" } else { "summary = summary || '!'" };
            format!(
                "update {table} set {set} where id = (select {row}(id::text) from {table})::{}",
                id_type(table)
            )
        };
        let (mut one, mut two) =
            (world.database.client().await.unwrap(), world.database.client().await.unwrap());
        let (one, two) = (one.transaction().await.unwrap(), two.transaction().await.unwrap());
        assert_eq!(one.execute(&change("min"), &[]).await.unwrap(), 1);
        // Its end is not waited for.
        let changed = tokio::time::timeout(Duration::from_secs(5), two.execute(&change("max"), &[])).await;
        assert_eq!(changed.expect(table).unwrap(), 1);
        two.commit().await.unwrap();
        one.commit().await.unwrap();
    }
    let counted = versions(&world).await;
    assert_ne!(before, counted);
    // Each of the two counts, and what changes nothing does not.
    world.execute("update schedule set next_due = next_due; delete from alert where false; update report set title = title").await;
    assert_eq!(versions(&world).await, counted);
}

fn id_type(table: &str) -> &'static str {
    match table {
        "schedule" => "integer",
        "alert" => "bigint",
        _ => "uuid",
    }
}

#[tokio::test]
async fn where_nothing_happens_pages_of_schedules_and_alerts_stay_kept() {
    let world = world_with(2).await;
    let producer = world.start_producer();
    let reader = Reader::new(&world, "viewer").await;
    eventually("both lead", async || {
        let leaders = "select count(*) from leader where expires_at > now()";
        (world.number(leaders).await >= 2).then_some(())
    })
    .await;
    let looked = async || world.text("select evaluated_at::text from alert_evaluation").await;
    // What is wrong at first is written down, and then there is nothing to write.
    eventually("a look at the rules changes nothing", async || {
        let (before, first) = (versions(&world).await, looked().await?);
        eventually("they are looked at again", async || (looked().await? != first).then_some(())).await;
        (versions(&world).await == before).then_some(())
    })
    .await;
    world.stop(producer).await;
    drop(reader);
}
