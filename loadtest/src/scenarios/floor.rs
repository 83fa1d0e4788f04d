//! The floor of `throughput`: a bare loop of lapin and tokio-postgres that does what the protocol asks and no more.
//!
//! It publishes as the load does, consumes, and writes in two transactions a batch what Holdfast writes: first the ids
//! and the leases, then, after the acknowledgement, the end of the leases with executions, evidence, facts and
//! verdicts. It reads nothing, decides nothing and fails at the first fault. Both ends run in this process.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use futures_util::stream::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
    QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use serde::Deserialize;
use serde_json::Value;
use shared::topology::TASKS_EXCHANGE;
use tokio::sync::mpsc;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, Statement};
use tokio_util::bytes::{BufMut as _, BytesMut};
use uuid::Uuid;

use crate::system::{Load, connect, publish_to};

const QUEUE: &str = "holdfast.floor";
/// The floor's messages pass the exchange that publishers are bound to: what it costs the broker is none of the loop's.
const ROUTING_KEY: &str = "floor.normal";

/// How the loop is tuned.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Tuning {
    /// Consumers, each with a transaction of its own under way.
    pub(crate) lanes: usize,
    /// The most tasks of a transaction.
    pub(crate) batch: usize,
}

/// A bare loop on a database of its own.
pub(crate) struct Floor {
    database_url: String,
    amqp_url: String,
    load: Load,
    template: Template,
}

/// What each row holds beside its keys: taken from rows that Holdfast wrote, so that sizes are the same.
struct Template {
    finding: Value,
    kind: String,
    /// Around the id of the evidence, which is another in each row.
    facts: (String, String),
    verdicts: Value,
    answers: Value,
    target: i32,
    jobs: BTreeMap<String, i32>,
}

impl Floor {
    /// A loop on a migrated database with the load's jobs; `model` is one where Holdfast ran the same load already.
    pub(crate) async fn new(
        database_url: String,
        amqp_url: &str,
        model: &Client,
        load: Load,
    ) -> anyhow::Result<Self> {
        let statement = "select e.id, e.finding, e.kind, c.facts, c.verdicts, c.answers from evidence e
             join compliance c on c.job_id = e.job_id order by e.position desc limit 1";
        let row = model.query_one(statement, &[]).await.context("the model has no evidence")?;
        let client = connect(&database_url).await?;
        let jobs = client.query("select name, id from job", &[]).await?;
        let template = Template {
            finding: row.try_get("finding")?,
            kind: row.try_get("kind")?,
            facts: around(&row.try_get("facts")?, row.try_get("id")?)?,
            verdicts: row.try_get("verdicts")?,
            answers: row.try_get("answers")?,
            target: client.query_one("select id from target", &[]).await?.try_get(0)?,
            jobs: jobs
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect::<anyhow::Result<_>>()?,
        };
        Ok(Self { database_url, amqp_url: amqp_url.to_owned(), load, template })
    }

    /// Runs `tasks` tasks through the loop; returns the seconds from the first publish to the last commit.
    pub(crate) async fn run(&self, tasks: usize, tuning: Tuning) -> anyhow::Result<f64> {
        let connection = Connection::connect(&self.amqp_url, ConnectionProperties::default()).await?;
        declare(&connection.create_channel().await?).await?;
        let (done, mut counts) = mpsc::unbounded_channel();
        let mut lanes = Vec::new();
        for _ in 0..tuning.lanes {
            lanes.push(Lane::open(self, &connection, tuning.batch, done.clone()).await?);
        }
        drop(done);
        let started = Instant::now();
        let counting = async {
            let mut left = tasks;
            while left > 0 {
                left -= counts.recv().await.context("a lane ended")?;
            }
            anyhow::Ok(started.elapsed().as_secs_f64())
        };
        let working = async { try_join_all(lanes.into_iter().map(Lane::run)).await.map(|_| 0.0) };
        let consuming = async {
            tokio::select! {
                seconds = counting => seconds,
                ended = working => ended.and_then(|_| anyhow::bail!("the lanes ended")),
            }
        };
        let (seconds, ()) = tokio::try_join!(
            consuming,
            publish_to(&self.amqp_url, TASKS_EXCHANGE, ROUTING_KEY, &self.load, tasks)
        )?;
        connection.close(200, "done".into()).await?;
        Ok(seconds)
    }
}

fn around(facts: &Value, evidence: Uuid) -> anyhow::Result<(String, String)> {
    let (facts, evidence) = (facts.to_string(), evidence.to_string());
    let (before, after) =
        facts.split_once(&evidence).context("the model's facts do not name its evidence")?;
    Ok((before.to_owned(), after.replace(&evidence, "00000000-0000-0000-0000-000000000000")))
}

async fn declare(channel: &Channel) -> anyhow::Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), options, arguments).await?;
    let (exchange, key) = (TASKS_EXCHANGE.into(), ROUTING_KEY.into());
    channel
        .queue_bind(QUEUE.into(), exchange, key, QueueBindOptions::default(), FieldTable::default())
        .await?;
    channel.queue_purge(QUEUE.into(), QueuePurgeOptions::default()).await?;
    Ok(())
}

/// The parts of a message that the loop needs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Message<'a> {
    Many {
        #[serde(borrow)]
        tasks: Vec<Task<'a>>,
    },
    One(#[serde(borrow)] Task<'a>),
}

#[derive(Deserialize)]
struct Task<'a> {
    id: Uuid,
    job: &'a str,
}

/// One consumer with its connection to the database.
struct Lane<'a> {
    floor: &'a Floor,
    consumer: Consumer,
    channel: Channel,
    claiming: Client,
    recording: Client,
    claim: [Statement; 2],
    record: [Statement; 4],
    batch: usize,
    done: mpsc::UnboundedSender<usize>,
}

/// The columns of a batch.
#[derive(Default)]
struct Batch {
    ids: Vec<Uuid>,
    jobs: Vec<i32>,
    claimed_at: DateTime<Utc>,
}

impl<'a> Lane<'a> {
    async fn open(
        floor: &'a Floor,
        connection: &Connection,
        batch: usize,
        done: mpsc::UnboundedSender<usize>,
    ) -> anyhow::Result<Self> {
        let (claiming, recording) =
            (connect(&floor.database_url).await?, connect(&floor.database_url).await?);
        let channel = connection.create_channel().await?;
        let window = (batch / floor.load.per_message).max(1) * 2;
        channel.basic_qos(u16::try_from(window)?, BasicQosOptions { global: false }).await?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default()).await?;
        let claim = [claiming.prepare(KNOWN_ID).await?, claiming.prepare(LEASE).await?];
        let record = [
            recording.prepare(COMPLETE).await?,
            recording.prepare(EXECUTION).await?,
            recording.prepare(EVIDENCE).await?,
            recording.prepare(COMPLIANCE).await?,
        ];
        Ok(Self { floor, consumer, channel, claiming, recording, claim, record, batch, done })
    }

    /// Claims one batch while the one before is recorded.
    async fn run(self) -> anyhow::Result<()> {
        let Self { floor, mut consumer, channel, claiming, recording, claim, record, batch, done } = self;
        let (claimed, mut to_record) = mpsc::channel::<Batch>(1);
        let claims = async {
            while let Some((mut tasks, tag)) = take(floor, &mut consumer, batch).await? {
                tasks.claimed_at = claim_batch(&claiming, &claim, &tasks).await?;
                acknowledge(&channel, tag).await?;
                claimed.send(tasks).await?;
            }
            anyhow::Ok(())
        };
        let records = async {
            while let Some(tasks) = to_record.recv().await {
                record_batch(&recording, &record, &floor.template, &tasks).await?;
                done.send(tasks.ids.len())?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(claims, records)?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a bare loop has no tickets")]
async fn acknowledge(channel: &Channel, tag: u64) -> lapin::Result<()> {
    channel.basic_ack(tag, BasicAckOptions { multiple: true }).await
}

/// Takes what is there, up to a batch, and waits only for the first.
async fn take(floor: &Floor, consumer: &mut Consumer, batch: usize) -> anyhow::Result<Option<(Batch, u64)>> {
    use futures_util::FutureExt as _;
    let mut tasks = Batch::default();
    let Some(first) = consumer.next().await else { return Ok(None) };
    let mut delivery = first?;
    loop {
        let message: Message<'_> = serde_json::from_slice(&delivery.data)?;
        let many = match message {
            Message::Many { tasks } => tasks,
            Message::One(task) => vec![task],
        };
        for task in many {
            tasks.ids.push(task.id);
            tasks.jobs.push(*floor.template.jobs.get(task.job).context("an unknown job")?);
        }
        if tasks.ids.len() >= batch {
            break;
        }
        match consumer.next().now_or_never() {
            Some(Some(next)) => delivery = next?,
            _ => break,
        }
    }
    Ok(Some((tasks, delivery.delivery_tag)))
}

const KNOWN_ID: &str = "insert into known_id (id) select id from unnest($1::uuid[]) as t(id) order by id
     on conflict do nothing";
const LEASE: &str =
    "insert into lease (task_id, kind, priority, job_id, params, requested_by, enqueued_at, attempt, \
         rescues, epoch, worker_id, lease_until)
     select id, $3, 'normal', job_id, $4, 'loadtest', now(), 1, 0, 1, $5, now() + interval '5 minutes'
     from unnest($1::uuid[], $2::integer[]) as t(id, job_id)";
const COMPLETE: &str = "delete from lease where task_id = any($1)";
const EXECUTION: &str =
    "insert into execution (task_id, kind, job_id, requested_by, enqueued_at, epoch, attempt, \
         target_id, outcome, started_at, seconds, worker_id)
     select id, $3, job_id, 'loadtest', now(), 1, 1, $4, 'success', $5, 0.001, $6
     from unnest($1::uuid[], $2::integer[]) as t(id, job_id)";
const EVIDENCE: &str =
    "insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
     select id, job_id, $4, task_id, $5, now(), $6, 1, hash
     from unnest($1::uuid[], $2::integer[], $3::uuid[], $7::bytea[]) as t(id, job_id, task_id, hash)";
const COMPLIANCE: &str =
    "update compliance c set chain_length = c.chain_length + 1, chain_head = t.head, \
         evaluated_at = now(), policy_version = 1, due_at = now(), verdicts = $2, facts = t.facts, answers = $3
     from unnest($1::integer[], $4::bytea[], $5::json[]) as t(job_id, head, facts) where c.job_id = t.job_id";

/// The text of a job's facts.
#[derive(Debug)]
struct Facts<'a>(&'a str, Uuid, &'a str);

impl ToSql for Facts<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        out.put_slice(self.1.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        out.put_slice(self.2.as_bytes());
        Ok(IsNull::No)
    }

    tokio_postgres::types::accepts!(JSON);
    tokio_postgres::types::to_sql_checked!();
}

type Params<'a, const N: usize> = [&'a (dyn ToSql + Sync); N];

async fn claim_batch(
    client: &Client,
    [known_id, lease]: &[Statement; 2],
    tasks: &Batch,
) -> anyhow::Result<DateTime<Utc>> {
    let params = serde_json::json!({ "target": "load" });
    let ids: Params<'_, 1> = [&tasks.ids];
    let leases: Params<'_, 5> = [&tasks.ids, &tasks.jobs, &"probe", &params, &Uuid::nil()];
    // All statements are on their way before the first answer.
    let (begin, ids, leases, commit) = tokio::join!(
        client.batch_execute("begin"),
        client.execute(known_id, &ids),
        client.execute(lease, &leases),
        client.batch_execute("commit"),
    );
    begin?;
    let written = [ids?, leases?];
    commit?;
    anyhow::ensure!(written == [tasks.ids.len() as u64; 2], "{written:?} rows for {} tasks", tasks.ids.len());
    Ok(shared::clock::now())
}

async fn record_batch(
    client: &Client,
    [complete, execution, evidence, compliance]: &[Statement; 4],
    template: &Template,
    tasks: &Batch,
) -> anyhow::Result<()> {
    let Template { finding, kind, facts, verdicts, answers, target, .. } = template;
    let evidence_ids: Vec<Uuid> = tasks.ids.iter().map(|_| Uuid::now_v7()).collect();
    let hashes: Vec<Vec<u8>> = evidence_ids.iter().map(|id| id.as_bytes().repeat(2)).collect();
    let last: BTreeMap<i32, Uuid> = tasks.jobs.iter().copied().zip(evidence_ids.iter().copied()).collect();
    let (jobs, last): (Vec<i32>, Vec<Uuid>) = last.into_iter().unzip();
    let heads: Vec<Vec<u8>> = last.iter().map(|id| id.as_bytes().repeat(2)).collect();
    let facts: Vec<Facts<'_>> = last.into_iter().map(|id| Facts(&facts.0, id, &facts.1)).collect();
    let ended: Params<'_, 1> = [&tasks.ids];
    let executions: Params<'_, 6> =
        [&tasks.ids, &tasks.jobs, &"probe", target, &tasks.claimed_at, &Uuid::nil()];
    let observed: Params<'_, 7> = [&evidence_ids, &tasks.jobs, &tasks.ids, target, kind, finding, &hashes];
    let judged: Params<'_, 5> = [&jobs, verdicts, answers, &heads, &facts];
    let (begin, ended, executions, observed, judged, commit) = tokio::join!(
        client.batch_execute("begin"),
        client.execute(complete, &ended),
        client.execute(execution, &executions),
        client.execute(evidence, &observed),
        client.execute(compliance, &judged),
        client.batch_execute("commit"),
    );
    begin?;
    let written = ([ended?, executions?, observed?], judged?);
    commit?;
    let wanted = ([tasks.ids.len() as u64; 3], jobs.len() as u64);
    anyhow::ensure!(written == wanted, "{written:?} rows instead of {wanted:?}");
    Ok(())
}
