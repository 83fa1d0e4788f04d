//! What exists on the broker, and its declaration.
//!
//! ```text
//! holdfast.tasks (topic) --<kind>.<priority>--> holdfast.<kind>.<priority>   one quorum queue each
//!        | no queue bound to the key
//!        v
//! holdfast.unrouted (fanout, alternate exchange) --> holdfast.unrouted
//!
//! holdfast.<kind>.<priority> --delivered too often--> holdfast.returned (fanout, dead-letter exchange)
//!                                                 --> holdfast.returned
//! holdfast.dead (fanout)                          --> holdfast.dead
//! ```
//!
//! What the broker gives up on says nothing about its task, so the producer takes it from `holdfast.returned` and
//! queues it again. Dead letters come from our processes alone, with their reason.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use crate::task::{Priority, TaskKind};

/// Takes every task.
pub const TASKS_EXCHANGE: &str = "holdfast.tasks";
/// Takes what no consumer could accept; the reason stands in the headers.
pub const DEAD_EXCHANGE: &str = "holdfast.dead";
/// Holds dead letters.
pub const DEAD_QUEUE: &str = "holdfast.dead";
/// Takes and holds what the broker delivered too often, until a producer queues it again.
pub const RETURNED: &str = "holdfast.returned";
/// Takes and holds what no queue is bound for.
pub const UNROUTED: &str = "holdfast.unrouted";

/// Every exchange.
const EXCHANGES: [(&str, ExchangeKind); 4] = [
    (TASKS_EXCHANGE, ExchangeKind::Topic),
    (UNROUTED, ExchangeKind::Fanout),
    (RETURNED, ExchangeKind::Fanout),
    (DEAD_EXCHANGE, ExchangeKind::Fanout),
];

/// The header with a dead letter's stable reason.
pub const REASON_HEADER: &str = "x-holdfast-reason";
/// The header with the sentence for people.
pub const DETAIL_HEADER: &str = "x-holdfast-detail";
/// The header with the queue that the message came from.
pub const QUEUE_HEADER: &str = "x-holdfast-queue";

/// Deliveries of one message before the broker gives up on it. Explicit, because RabbitMQ 4 defaults to 20 and
/// 3.x to none; generous, because a message is held for seconds only and its return says nothing about its task.
const DELIVERY_LIMIT: i32 = 50;
/// The same for the queues that people look into: reading without taking is a return as well, and what they hold must
/// never be dropped for that. There is no portable way to say "none", so it is the largest number.
const NO_DELIVERY_LIMIT: i32 = i32::MAX;

/// The queue of a kind and priority.
#[must_use]
pub fn queue(kind: TaskKind, priority: Priority) -> String {
    format!("holdfast.{kind}.{priority}")
}

/// The routing key of a kind and priority.
#[must_use]
pub fn routing_key(kind: TaskKind, priority: Priority) -> String {
    format!("{kind}.{priority}")
}

/// Declares everything; declaring what exists already changes nothing.
///
/// # Errors
/// The broker's refusal, for example when a queue exists with other arguments.
pub async fn declare(channel: &Channel) -> lapin::Result<()> {
    declare_fanout(channel, UNROUTED, UNROUTED).await?;
    declare_fanout(channel, RETURNED, RETURNED).await?;
    declare_fanout(channel, DEAD_EXCHANGE, DEAD_QUEUE).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("alternate-exchange".into(), AMQPValue::LongString(UNROUTED.into()));
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(TASKS_EXCHANGE.into(), ExchangeKind::Topic, durable, arguments).await?;
    for &kind in TaskKind::ALL {
        for &priority in Priority::ALL {
            declare_queue(channel, &queue(kind, priority), work_queue()).await?;
            bind(channel, &queue(kind, priority), TASKS_EXCHANGE, &routing_key(kind, priority)).await?;
        }
        // A publisher that knows no priorities may use the bare kind.
        bind(channel, &queue(kind, Priority::Normal), TASKS_EXCHANGE, kind.as_str()).await?;
    }
    Ok(())
}

/// Makes sure that everything is there without declaring it, which takes no rights at all. What its arguments and bindings are cannot be
/// asked.
///
/// # Errors
/// Something is not there.
pub async fn look(channel: &Channel) -> lapin::Result<()> {
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    for (exchange, kind) in EXCHANGES {
        channel.exchange_declare(exchange.into(), kind, passive, FieldTable::default()).await?;
    }
    for queue in queues() {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
    }
    Ok(())
}

/// Every queue.
pub fn queues() -> impl Iterator<Item = String> {
    let of_kind = |&kind: &TaskKind| Priority::ALL.iter().map(move |&priority| queue(kind, priority));
    TaskKind::ALL.iter().flat_map(of_kind).chain([DEAD_QUEUE, RETURNED, UNROUTED].map(str::to_owned))
}

async fn declare_fanout(channel: &Channel, exchange: &str, queue: &str) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Fanout, durable, FieldTable::default()).await?;
    declare_queue(channel, queue, quorum(NO_DELIVERY_LIMIT)).await?;
    bind(channel, queue, exchange, "").await
}

async fn declare_queue(channel: &Channel, queue: &str, arguments: FieldTable) -> lapin::Result<()> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, arguments).await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
}

fn quorum(delivery_limit: i32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(delivery_limit));
    arguments
}

fn work_queue() -> FieldTable {
    let mut arguments = quorum(DELIVERY_LIMIT);
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(RETURNED.into()));
    // At-least-once dead-lettering needs reject-publish; with drop-head it would silently be at-most-once.
    arguments.insert("x-dead-letter-strategy".into(), AMQPValue::LongString("at-least-once".into()));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    arguments
}
