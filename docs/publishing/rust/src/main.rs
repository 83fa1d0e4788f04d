//! Asks Holdfast for a backup of a job.
//!
//! ```text
//! AMQP_URL=amqp://USER:PASSWORD@HOST/VIRTUAL_HOST publish-backup JOB [ID]
//! ```
//!
//! ID is a UUID and makes it idempotent: however often it is published, the task runs once. Without it a new one is made,
//! and printed before anything is sent. TRACEPARENT names the trace that the task is to belong to; without it a new one begins.
//!
//! Ends with 0 when the broker has taken the message, with 1 when that is not known (then publish again with the same ID), with
//! 2 when the arguments are wrong.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use serde_json::json;
use uuid::Uuid;

const EXCHANGE: &str = "holdfast.tasks";
const ROUTING_KEY: &str = "backup.normal";
/// Kept through a restart of the broker.
const PERSISTENT: u8 = 2;
/// A broker that is short of memory or disk blocks its publishers: it is waited for, and not for ever.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let (url, job, id) = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("publish-backup: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{id}");
    let published = tokio::time::timeout(PATIENCE, publish(&url, &job, id)).await;
    let late = "the broker did not confirm it in time: it may be short of memory or disk";
    match published.unwrap_or_else(|_| Err(anyhow::anyhow!(late))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("publish-backup: {error:#}; publish again with the id {id}");
            ExitCode::FAILURE
        }
    }
}

/// The broker's URL, the job, and the task's id.
fn arguments() -> anyhow::Result<(String, String, Uuid)> {
    let url = variable("AMQP_URL").context("AMQP_URL is not set")?;
    let mut arguments = std::env::args().skip(1);
    let (job, id, more) = (arguments.next(), arguments.next(), arguments.next());
    let (Some(job), None) = (job, more) else { bail!("usage: publish-backup JOB [ID]") };
    let id = match id {
        Some(id) => id.parse().with_context(|| format!("{id} is not a UUID"))?,
        None => Uuid::now_v7(),
    };
    Ok((url, job, id))
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Returns when the broker has taken responsibility for the message.
async fn publish(url: &str, job: &str, id: Uuid) -> anyhow::Result<()> {
    let name = ConnectionProperties::default().with_connection_name("publish-backup".into());
    let connection = Connection::connect(url, name).await.context("connecting to the broker")?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;

    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let body = json!({
        "version": 1,
        "id": id.to_string(),
        "kind": "backup",
        "job": job,
        "enqueued_at": now.to_rfc3339(),
        "requested_by": "publish-backup",
    });
    let mut headers = FieldTable::default();
    let trace = variable("TRACEPARENT").unwrap_or_else(new_trace);
    headers.insert("traceparent".into(), AMQPValue::LongString(trace.into()));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.to_string().into())
        .with_timestamp(now.timestamp().unsigned_abs())
        .with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (EXCHANGE.into(), ROUTING_KEY.into());
    let confirm =
        channel.basic_publish(exchange, key, options, body.to_string().as_bytes(), properties).await?;
    match confirm.await? {
        Confirmation::Ack(None) => {}
        Confirmation::Ack(Some(_)) => bail!("no queue takes it"),
        Confirmation::Nack(_) | Confirmation::NotRequested => {
            bail!("the broker refused it: its queue may be full")
        }
    }
    // The broker has it: whatever comes now changes nothing.
    connection.close(200, "published".into()).await.ok();
    Ok(())
}

fn new_trace() -> String {
    let (trace, span) = (rand::random::<u128>(), rand::random::<u64>());
    format!("00-{trace:032x}-{span:016x}-01")
}
