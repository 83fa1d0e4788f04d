//! Messages that the broker gave back, because they were delivered too often, are queued again by the producer.

use harness::eventually;
use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions};
use lapin::{BasicProperties, Channel};
use serde_json::json;
use shared::topology;
use uuid::Uuid;

use crate::dead::{backup_of, large_headers, world_with_jobs};

/// Takes the messages of a queue and returns them until the broker gives up on each.
async fn wear_out(channel: &Channel, queue: &str) {
    while let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
        channel
            .basic_reject(message.delivery.delivery_tag, BasicRejectOptions { requeue: true })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_message_that_was_delivered_too_often_is_queued_again_or_refused_with_its_reason() {
    let world = world_with_jobs().await;
    let (many, known, unknown) = (backup_of("docs"), backup_of("mail"), backup_of("nobody"));
    world.execute(&format!("insert into known_id (id) values ('{}')", known.0)).await;
    let not_before = "2999-01-01T00:00:00Z";
    let pair = json!({ "version": 1, "tasks": [
        { "id": many.0, "kind": "backup", "job": "docs", "not_before": not_before, "requested_by": "erp" },
        { "id": Uuid::now_v7(), "kind": "backup", "job": "idle" },
    ] });
    let bodies = [pair.to_string().into(), known.1, unknown.1.clone(), b"not json".to_vec()];
    world.broker.publish("backup.normal", &bodies).await;
    let (_connection, channel) = world.broker.channel().await;
    wear_out(&channel, "holdfast.backup.normal").await;
    eventually("the broker gave up on them", async || {
        (world.broker.ready(topology::RETURNED).await == 4).then_some(())
    })
    .await;
    assert_eq!(world.broker.ready(topology::DEAD_QUEUE).await, 0);

    let producer = world.start_producer();
    let mut letters = world.broker.dead_letters(3).await;
    letters.sort_by_key(|letter| letter.reason().to_owned());
    let reasons: Vec<&str> = letters.iter().map(harness::DeadLetter::reason).collect();
    assert_eq!(reasons, ["inactive_job", "not_json", "unknown_job"]);
    assert!(letters.iter().all(|letter| letter.headers["x-holdfast-queue"] == "holdfast.backup.normal"));
    assert!(letters[2].body.contains(&unknown.0.to_string()), "{letters:?}");
    eventually("the messages are settled", async || {
        (world.broker.ready(topology::RETURNED).await == 0).then_some(())
    })
    .await;
    let row = "select concat_ws(' ', id, requested_by, to_char(run_at at time zone 'utc', 'YYYY')) from task";
    assert_eq!(world.text(row).await, Some(format!("{} erp 2999", many.0)));
    assert_eq!(world.number("select count(*) from task").await, 1);
    assert_eq!(world.number("select count(*) from known_id").await, 2);
    world.stop(producer).await;
    assert_eq!(world.broker.ready(topology::RETURNED).await, 0);
}

#[tokio::test]
async fn a_returned_message_stays_with_the_broker_until_the_database_has_it() {
    let world = world_with_jobs().await;
    let (_connection, channel) = world.broker.channel().await;
    let (task, body) = backup_of("docs");
    world.broker.publish("backup.normal", &[body]).await;
    wear_out(&channel, "holdfast.backup.normal").await;
    world.execute("alter table known_id rename to known_id_away").await;
    let producer = world.start_producer();
    eventually("the producer has tried twice", async || {
        (producer.log().matches("could not be queued again").count() >= 2).then_some(())
    })
    .await;
    world.execute("alter table known_id_away rename to known_id").await;
    eventually("the task waits", async || {
        (world.text("select id::text from task").await == Some(task.to_string())).then_some(())
    })
    .await;
    world.stop(producer).await;
    assert_eq!(world.broker.ready(topology::RETURNED).await, 0);
    assert_eq!(world.broker.ready(topology::DEAD_QUEUE).await, 0);
}

#[tokio::test]
async fn a_returned_message_runs() {
    let world = world_with_jobs().await;
    let (_connection, channel) = world.broker.channel().await;
    world.broker.publish("backup.normal", &[backup_of("docs").1]).await;
    wear_out(&channel, "holdfast.backup.normal").await;
    let producer = world.start_producer();
    let worker = world.start_worker("w1", &[]);
    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("it has run", async || (world.number(done).await == 1).then_some(())).await;
    world.wait_until_idle().await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn what_has_too_large_headers_for_workers_is_queued_again_by_the_producer() {
    let world = world_with_jobs().await;
    let (_connection, channel) = world.broker.channel().await;
    let (task, body) = backup_of("docs");
    let properties = BasicProperties::default().with_delivery_mode(2).with_headers(large_headers());
    let (key, options) = (topology::RETURNED.into(), BasicPublishOptions::default());
    let confirm = channel.basic_publish("".into(), key, options, &body, properties).await.unwrap();
    assert!(confirm.await.unwrap().is_ack());
    let producer = world.start_producer();
    eventually("the task waits", async || {
        (world.text("select id::text from task").await == Some(task.to_string())).then_some(())
    })
    .await;
    world.stop(producer).await;
    assert_eq!(world.broker.ready(topology::RETURNED).await, 0);
}
