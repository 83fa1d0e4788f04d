//! The database's and the broker's side.

use std::collections::HashSet;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Queue};
use serde_json::Value;
use shared::task::{Outcome, TaskId};
use shared::topology;

use super::verdict::Execution;
use crate::{VirtualHost, World};

impl World {
    /// All recorded attempts.
    pub(super) async fn executions(&self) -> anyhow::Result<Vec<Execution>> {
        let statement = "select e.task_id, e.epoch, e.outcome, \
                 coalesce(j.definition -> 'source' ->> 'kind' = 'simulated', false) as simulated
             from execution e left join job j on j.id = e.job_id";
        let rows = self.database.client().await?.query(statement, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(Execution {
                    task: TaskId(row.try_get("task_id")?),
                    epoch: row.try_get("epoch")?,
                    outcome: row.try_get::<_, &str>("outcome")?.parse::<Outcome>()?,
                    simulated: row.try_get("simulated")?,
                })
            })
            .collect()
    }

    /// The ids that a statement selects.
    pub(super) async fn ids(&self, statement: &str) -> anyhow::Result<HashSet<TaskId>> {
        let rows = self.database.client().await?.query(statement, &[]).await?;
        rows.iter().map(|row| Ok(TaskId(row.try_get(0)?))).collect()
    }
}

impl VirtualHost {
    /// How many messages wait in each of some queues.
    pub(super) async fn ready_all(&self, queues: Vec<String>) -> Vec<(String, u32)> {
        let (_connection, channel) = self.channel().await;
        let mut ready = Vec::new();
        for queue in queues {
            let messages = declared(&channel, &queue).await.message_count();
            ready.push((queue, messages));
        }
        ready
    }

    /// How many messages wait in a queue, and how many consumers it has.
    pub(super) async fn count(&self, queue: &str) -> (u32, u32) {
        let (_connection, channel) = self.channel().await;
        let declared = declared(&channel, queue).await;
        (declared.message_count(), declared.consumer_count())
    }

    /// The ids of all dead letters, which stay where they are.
    pub(super) async fn dead_ids(&self) -> HashSet<TaskId> {
        let (_connection, channel) = self.channel().await;
        let mut ids = HashSet::new();
        // What was got and not acknowledged returns with the end of the connection.
        while let Some(letter) =
            channel.basic_get(topology::DEAD_QUEUE.into(), BasicGetOptions::default()).await.unwrap()
        {
            let body: Value = serde_json::from_slice(&letter.delivery.data).unwrap_or_default();
            let several = body["tasks"].as_array().cloned().unwrap_or_default();
            let named = several.iter().chain([&body]).filter_map(|task| task["id"].as_str()?.parse().ok());
            ids.extend(named.map(TaskId));
        }
        ids
    }
}

/// Asks for a queue that is there.
async fn declared(channel: &Channel, queue: &str) -> Queue {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap()
}
