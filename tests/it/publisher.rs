//! The publisher, against a broker that returns, refuses and confirms.

use futures_util::future::join_all;
use harness::{World, eventually};
use reqwest::Method;
use serde_json::json;
use shared::broker::{Broker, Publication, PublishError, Publisher};
use shared::tls::Trust;
use shared::topology::{DEAD_EXCHANGE, DEAD_QUEUE};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where nothing is bound: the broker returns it.
const NOWHERE: &str = "amq.direct";

fn publication(exchange: &'static str) -> Publication {
    Publication {
        exchange,
        routing_key: "nobody".to_owned(),
        body: b"{}".to_vec(),
        message_id: Uuid::now_v7().to_string(),
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn a_returned_message_is_never_taken_for_published_however_its_confirm_comes() {
    let world = World::new().await;
    let broker = Broker::new(world.broker.url.as_str().into(), Trust::default(), "test").unwrap();
    let (publisher, owner) = Publisher::new(broker, "publish");
    let stop = CancellationToken::new();
    let publishing = async {
        let mut kept = 0;
        for _ in 0..20 {
            // In one burst, so that the broker confirms many at once and returns ride on others' confirms.
            let exchanges: Vec<&str> =
                (0..200).map(|n| if n % 3 == 0 { NOWHERE } else { DEAD_EXCHANGE }).collect();
            let answers = join_all(exchanges.iter().map(|&exchange| {
                let exchange = if exchange == NOWHERE { NOWHERE } else { DEAD_EXCHANGE };
                publisher.publish(publication(exchange))
            }))
            .await;
            for (exchange, answer) in exchanges.iter().zip(answers) {
                match answer {
                    Ok(_) => {
                        assert_ne!(*exchange, NOWHERE, "a message without a queue counts as published");
                        kept += 1;
                    }
                    Err(PublishError::Unroutable) => assert_eq!(*exchange, NOWHERE),
                    Err(PublishError::InDoubt) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        stop.cancel();
        kept
    };
    let ((), kept) = tokio::join!(owner.run(stop.clone()), publishing);
    // What is in doubt may be there as well; what is confirmed must be.
    assert!(kept > 1_000, "{kept}");
    assert!(world.broker.ready(DEAD_QUEUE).await >= kept);
}

#[tokio::test]
async fn what_the_broker_refuses_stays_in_the_outbox_and_is_published_once_it_can_be() {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let (connection, _channel) = world.broker.channel().await;
    let (_, host) = world.broker.url.rsplit_once('/').unwrap();
    let policy = format!("policies/{host}/full");
    let full = json!({ "pattern": "^holdfast.backup.normal$", "apply-to": "queues",
        "definition": { "max-length": 2 } });
    world.broker.manage(Method::PUT, &policy, Some(full)).await;
    let enqueue = async |tasks| {
        for _ in 0..tasks {
            assert_eq!(world.producer(&["enqueue", "backup", "--job", "sim"]).await.code, 0);
        }
    };
    let producer = world.start_producer();
    // A quorum queue tells its publishers that it is full only after it has become so.
    enqueue(5).await;
    eventually("the queue is full", async || {
        (world.broker.ready("holdfast.backup.normal").await >= 2).then_some(())
    })
    .await;
    enqueue(5).await;
    eventually("the broker refuses some", async || {
        producer.log().contains("the broker refused the message").then_some(())
    })
    .await;
    assert_eq!(world.number("select count(*) from task").await, 10);
    world.broker.manage(Method::DELETE, &policy, None).await;
    let worker = world.start_worker("w1", &[]);
    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("all have run", async || (world.number(done).await == 10).then_some(())).await;
    world.wait_until_idle().await;
    world.check_invariants().await;
    drop(connection);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_user_that_may_declare_after_all_declares_what_it_was_refused_before() {
    let world = World::new().await;
    let (name, user) = (world.broker.name().to_owned(), format!("u-{}", world.broker.name()));
    world
        .broker
        .manage(Method::PUT, &format!("users/{user}"), Some(json!({ "password": "p", "tags": "" })))
        .await;
    let allow = async |configure: &str| {
        let rights = json!({ "configure": configure, "write": ".*", "read": ".*" });
        world.broker.manage(Method::PUT, &format!("permissions/{name}/{user}"), Some(rights)).await;
    };
    let (_, place) = world.broker.url.rsplit_once('@').unwrap();
    let url = format!("amqp://{user}:p@{place}");
    let broker = Broker::new(url.as_str().into(), Trust::default(), "test").unwrap();
    allow("^$").await;
    for _ in 0..2 {
        let refused = format!("{:#}", broker.connect("test").await.err().unwrap());
        assert!(refused.contains("the right to configure what begins with holdfast."), "{refused}");
    }
    allow("^holdfast[.]").await;
    // The broker remembers for a moment what it allowed.
    eventually("it declares", async || broker.connect("test").await.ok().map(drop)).await;
    // From now on it only looks, where it may do no more.
    allow("^$").await;
    eventually("it looks", async || broker.connect("test").await.ok().map(drop)).await;
    world.broker.manage(Method::DELETE, &format!("users/{user}"), None).await;
}
