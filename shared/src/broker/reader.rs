//! Reading a queue: what is taken is settled by whoever decides about it, and everything else goes back.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::stream::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use crate::db::Committed;
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// How long somebody else's reading is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(100);

/// Consumes one queue. What is not settled when it is closed, or dropped, goes back: all of it, but RabbitMQ 3.10
/// shuffles what comes back together, so that nothing may rest on a queue's order afterwards.
#[derive(Debug)]
pub struct Reader {
    channel: Channel,
    consumer: Consumer,
    // A connection closes when its last handle is gone.
    connection: Connection,
}

/// A message that was taken and is not settled yet.
#[derive(Debug)]
pub struct Delivered {
    tag: u64,
    /// The body.
    pub body: Vec<u8>,
    /// The publisher's id of the message.
    pub message_id: Option<String>,
    /// When it was published, to the second, if its publisher said so.
    pub published_at: Option<DateTime<Utc>>,
    /// As what it was published.
    pub routing_key: String,
    /// The headers as JSON.
    pub headers: Map<String, Value>,
}

impl Delivered {
    /// A header that is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.as_str()
    }

    /// The trace that its headers name.
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        TraceContext::read(self.header(TRACEPARENT), self.header(TRACESTATE))
    }
}

impl Reader {
    /// Begins to consume; at most `window` messages are taken and not settled at once.
    pub async fn open(connection: Connection, queue: &str, window: u16) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(window, BasicQosOptions { global: false }).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments).await?;
        Ok(Self { channel, consumer, connection })
    }

    /// Begins to consume as the queue's only consumer; returns how many messages it held.
    ///
    /// Two that look through a queue at once would each see a part of it and take it for the whole.
    ///
    /// # Errors
    /// Somebody else reads the queue and does not end soon, or the broker failed.
    pub async fn open_alone(connection: Connection, queue: &str, window: u16) -> anyhow::Result<(Self, u32)> {
        let deadline = Instant::now() + PATIENCE;
        let channel = connection.create_channel().await?;
        loop {
            let (messages, consumers) = depth(&channel, queue).await?;
            if consumers == 0 {
                channel.close(200, "counted".into()).await?;
                let reader = Self::open(connection, queue, window).await?;
                let (_, consumers) = depth(&reader.channel, queue).await?;
                if consumers > 1 {
                    reader.close().await?;
                    anyhow::bail!("somebody else began to read {queue} at the same moment: try again");
                }
                return Ok((reader, messages));
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{queue} is being read by somebody else: try again when that has ended"
            );
            sleep(POLL).await;
        }
    }

    /// The next message; waits until there is one.
    ///
    /// # Errors
    /// The connection broke, or the broker ended the consumer.
    pub async fn next(&mut self) -> anyhow::Result<Delivered> {
        let delivery = self.consumer.next().await.context("the broker ended a consumer")??;
        Ok(delivered(delivery))
    }

    /// Removes a message from the queue, after the commit that makes it superfluous.
    pub async fn settle(&self, message: Delivered, _proof: Committed) -> lapin::Result<()> {
        self.acknowledge(message).await
    }

    /// Removes a message from the queue because a person does not want it any more.
    pub async fn discard(&self, message: Delivered) -> lapin::Result<()> {
        self.acknowledge(message).await
    }

    #[expect(clippy::disallowed_methods, reason = "the two callers hold a proof or a person's word")]
    async fn acknowledge(&self, message: Delivered) -> lapin::Result<()> {
        self.channel.basic_ack(message.tag, BasicAckOptions { multiple: false }).await
    }

    /// Gives back what is not settled and ends. After an error it is unknown whether the last settled messages are gone.
    pub async fn close(self) -> lapin::Result<()> {
        let tag = self.consumer.tag();
        // First, or what goes back would come again at once.
        self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
        self.channel.basic_nack(0, BasicNackOptions { multiple: true, requeue: true }).await?;
        self.channel.close(200, "read".into()).await?;
        self.connection.close(200, "read".into()).await
    }
}

/// Messages that nobody holds, and consumers.
async fn depth(channel: &Channel, queue: &str) -> lapin::Result<(u32, u32)> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
    Ok((queue.message_count(), queue.consumer_count()))
}

fn delivered(delivery: Delivery) -> Delivered {
    let properties = delivery.properties;
    let seconds = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
    Delivered {
        tag: delivery.delivery_tag,
        body: delivery.data,
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        published_at: seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        routing_key: delivery.routing_key.to_string(),
        headers: properties.headers().as_ref().map(object).unwrap_or_default(),
    }
}

/// The trace that a message's headers name.
#[must_use]
pub fn trace(properties: &BasicProperties) -> Option<TraceContext> {
    let headers = properties.headers().as_ref()?.inner();
    let text = |name: &str| match headers.get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    };
    TraceContext::read(text(TRACEPARENT), text(TRACESTATE))
}

fn object(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, value)| (name.to_string(), json(value))).collect()
}

fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(number) => Value::from(*number),
        AMQPValue::ShortShortUInt(number) => Value::from(*number),
        AMQPValue::ShortInt(number) => Value::from(*number),
        AMQPValue::ShortUInt(number) => Value::from(*number),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::LongUInt(number) => Value::from(*number),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::Timestamp(number) => Value::from(*number),
        AMQPValue::Float(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::DecimalValue(number) => Value::from(format!("{number:?}")),
        AMQPValue::ShortString(text) => Value::from(text.to_string()),
        AMQPValue::LongString(text) => Value::from(text.to_string()),
        AMQPValue::ByteArray(bytes) => Value::from(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::FieldTable(table) => Value::Object(object(table)),
        AMQPValue::Void => Value::Null,
    }
}
