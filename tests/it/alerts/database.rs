//! What slows the database down.

use super::*;

#[tokio::test]
async fn a_transaction_that_is_open_for_too_long_is_told_of_until_it_ends() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({ "database_old_transaction": { "after": "1s" } })).await;
    let (reporter, _) = world.start_reporter().await;
    let client = world.database.client().await.unwrap();
    client.batch_execute("begin; select 1").await.unwrap();
    until(&world, "database_old_transaction", "open").await;
    let said = summary(&world, "database_old_transaction").await;
    assert!(said.contains("\"holdfast test\", idle in transaction"), "{said}");
    client.batch_execute("commit").await.unwrap();
    until(&world, "database_old_transaction", "resolved").await;
    world.stop(reporter).await;
}

#[tokio::test]
async fn sessions_that_wait_for_locks_are_told_of_until_they_have_them() {
    let world = World::new().await;
    define(&world, &json!({}), &json!({ "database_blocked": { "after": "500ms" } })).await;
    let (reporter, _) = world.start_reporter().await;
    let (holder, other) = (world.database.client().await.unwrap(), world.database.client().await.unwrap());
    holder.batch_execute("begin; lock table repository_lock in access exclusive mode").await.unwrap();
    let waiting = other.batch_execute("select count(*) from repository_lock");
    let told = async {
        until(&world, "database_blocked", "open").await;
        assert!(summary(&world, "database_blocked").await.starts_with("1 sessions wait for locks"));
        holder.batch_execute("commit").await.unwrap();
    };
    let (counted, ()) = tokio::join!(waiting, told);
    counted.unwrap();
    until(&world, "database_blocked", "resolved").await;
    world.stop(reporter).await;
}

#[tokio::test]
async fn rows_without_a_month_are_told_of_until_they_have_one() {
    let world = World::new().await;
    let (reporter, _) = world.start_reporter().await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, outcome, requested_by, enqueued_at, started_at, finished_at, seconds)
             values (gen_random_uuid(), 1, 1, 'report', 'success', 'test', now(), now(), now() - interval '70 days', 0)",
        )
        .await;
    until(&world, "default_partition", "open").await;
    assert_eq!(world.producer(&["migrate"]).await.code, 0);
    until(&world, "default_partition", "resolved").await;
    world.stop(reporter).await;
}
