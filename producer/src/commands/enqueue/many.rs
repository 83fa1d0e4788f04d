//! `producer enqueue --from FILE`: many tasks, one a line.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::db::{self, Database, known_id};
use shared::job::JobName;
use shared::message::{self, MAX_BYTES, Refusal, TaskMessage};
use shared::task::TaskId;
use tokio::fs::File;
use tokio::io::{AsyncRead, BufReader};
use tokio::time::Instant;

use super::super::progress::Progress;
use super::super::{Exit, Failure, actor};
use super::REQUESTED_BY;
use super::lines::{Line, Lines};
use crate::operations::{Entry, record, tasks};
use crate::outbox;

/// Tasks that are enqueued in one transaction.
const BATCH: usize = 1000;
/// Bytes of lines that are held at once, beside the last.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// What came of the lines: the JSON object that `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Lines that are not empty.
    lines: u64,
    /// Tasks that wait now, or would.
    enqueued: u64,
    /// Tasks whose id was known already.
    known: u64,
    /// Lines that cannot be accepted.
    refused: u64,
    /// Lines without an id, whose tasks got a new one: they are enqueued again when the file is.
    without_id: u64,
    /// Whether nothing was written.
    dry_run: bool,
}

/// Enqueues what can be and says of each other line why it cannot.
pub(super) async fn run(
    database: &Database,
    file: &Path,
    dry_run: bool,
    as_json: bool,
) -> Result<Exit, Failure> {
    let (name, source) = open(file).await?;
    let mut lines = Lines::new(BufReader::new(source));
    let mut taking = Taking {
        database,
        name,
        summary: Summary { dry_run, ..Summary::default() },
        progress: Progress::new(),
        began: Instant::now(),
    };
    let (mut done, mut read) = (0, 0);
    let ended: anyhow::Result<()> = async {
        loop {
            let batch = taking.read(&mut lines).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            read = last.line;
            taking.take(batch).await?;
            done = read;
        }
    }
    .await;
    taking.progress.clear();
    taking.summary.tell(as_json)?;
    ended.with_context(|| {
        let doubt = if read > done { format!(" and perhaps those up to {read}") } else { String::new() };
        let name = &taking.name;
        format!(
            "{name}: stopped; the lines up to {done}{doubt} are done. Do it again: what has an id runs once"
        )
    })?;
    Ok(if taking.summary.refused == 0 { Exit::Done } else { Exit::Failed })
}

async fn open(file: &Path) -> Result<(String, Box<dyn AsyncRead + Unpin>), Failure> {
    if file == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(tokio::io::stdin())));
    }
    let name = file.display().to_string();
    match File::open(file).await {
        Ok(opened) => Ok((name, Box::new(opened))),
        Err(error) => Err(Failure::BadInput(format!("{name}: {error}"))),
    }
}

/// A task with the number of its line.
#[derive(Clone)]
struct OnLine {
    line: u64,
    task: TaskMessage,
}

struct Taking<'d> {
    database: &'d Database,
    name: String,
    summary: Summary,
    progress: Progress,
    began: Instant,
}

impl Taking<'_> {
    /// The tasks of the next lines; those that cannot be read are refused. None at the end.
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        lines: &mut Lines<BufReader<R>>,
    ) -> std::io::Result<Vec<OnLine>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.is_empty() || (batch.len() < BATCH && bytes < BATCH_BYTES) {
            let Some(line) = lines.next().await? else { break };
            self.summary.lines += 1;
            bytes += line.text.len();
            match read(&line) {
                Ok((task, has_id)) => {
                    self.summary.without_id += u64::from(!has_id);
                    batch.push(OnLine { line: line.number, task });
                }
                Err(refusal) => self.refuse(line.number, &refusal),
            }
        }
        Ok(batch)
    }

    fn refuse(&mut self, line: u64, refusal: &Refusal) {
        self.progress.clear();
        eprintln!("{}:{line}: {refusal}", self.name);
        self.summary.refused += 1;
    }

    /// Enqueues a batch; where the database refuses a row, each by itself.
    async fn take(&mut self, batch: Vec<OnLine>) -> Result<(), db::Error> {
        match self.transact(&batch).await {
            Err(error) if error.blames_the_rows() => {
                for alone in batch {
                    let line = alone.line;
                    match self.transact(&[alone]).await {
                        Err(error) if error.blames_the_rows() => {
                            self.refuse(
                                line,
                                &Refusal::NotATask(format!("the database refuses it: {error}")),
                            );
                        }
                        ended => ended?,
                    }
                }
            }
            ended => ended?,
        }
        let Summary { lines, enqueued, .. } = self.summary;
        let rate = lines as f64 / self.began.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        self.progress.show(&format!("{lines} lines, {enqueued} tasks, {rate:.0} lines a second"));
        Ok(())
    }

    async fn transact(&mut self, batch: &[OnLine]) -> Result<(), db::Error> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        let (batch, misplaced) = placed(&transaction, batch).await?;
        let messages: Vec<TaskMessage> = batch.iter().map(|on_line| on_line.task.clone()).collect();
        let (fresh, refused) = if self.summary.dry_run {
            let judged = outbox::judge(&transaction, messages).await?;
            let ids: Vec<TaskId> = judged.accepted.iter().map(|waiting| waiting.task.id).collect();
            let known = known_id::known(&transaction, &ids).await?;
            (ids.len() - known.len(), judged.refused)
        } else {
            let taken = outbox::take_in(&transaction, messages).await?;
            let refused = taken.refused.len() + misplaced.len();
            let after = json!({ "enqueued": taken.fresh.len(), "refused": refused });
            let entry = Entry {
                action: "enqueue",
                subject: "tasks",
                name: "of a file",
                before: None,
                after: Some(after),
            };
            record(&transaction, &actor(), &[entry]).await?;
            (taken.fresh.len(), taken.refused)
        };
        transaction.commit().await?;
        self.summary.enqueued += count(fresh);
        self.summary.known += count(batch.len() - refused.len() - fresh);
        let refused = refused.into_iter().map(|(place, _, refusal)| (batch[place].line, refusal));
        let mut refused: Vec<(u64, Refusal)> = refused.chain(misplaced).collect();
        refused.sort_by_key(|(line, _)| *line);
        for (line, refusal) in refused {
            self.refuse(line, &refusal);
        }
        Ok(())
    }
}

/// Tasks that may work where they want to, and the lines of the others with why they may not.
async fn placed(
    transaction: &Transaction<'_>,
    batch: &[OnLine],
) -> Result<(Vec<OnLine>, Vec<(u64, Refusal)>), db::Error> {
    let names: Vec<&JobName> = batch.iter().filter_map(|on_line| on_line.task.job.as_ref()).collect();
    let jobs = db::job::resolve(transaction, &names).await?;
    let mut misplaced =
        tasks::misplaced(transaction, batch.iter().map(|on_line| &on_line.task), &jobs).await?;
    let (mut placed, mut refused) = (Vec::new(), Vec::new());
    for (place, on_line) in batch.iter().enumerate() {
        match misplaced.remove(&place) {
            Some(why) => refused.push((on_line.line, Refusal::InvalidField { field: "params", why })),
            None => placed.push(on_line.clone()),
        }
    }
    Ok((placed, refused))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The task on a line, and whether it has an id of its own. What every message needs and a file can do without is added.
fn read(line: &Line) -> Result<(TaskMessage, bool), Refusal> {
    if line.text.len() > MAX_BYTES {
        return Err(Refusal::TooLarge(line.text.len()));
    }
    let mut fields: Map<String, Value> = match serde_json::from_slice(&line.text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Refusal::NotATask("the line is not a JSON object".to_owned())),
        Err(error) => return Err(Refusal::NotJson(error.to_string())),
    };
    if fields.contains_key("tasks") {
        return Err(Refusal::NotATask("tasks: a line holds one task".to_owned()));
    }
    let absent = |field: &str| fields.get(field).is_none_or(Value::is_null);
    let (has_id, is_asked_for) = (!absent("id"), !absent("requested_by"));
    if !has_id {
        fields.insert("id".to_owned(), json!(TaskId::generate()));
    }
    if !is_asked_for {
        fields.insert("requested_by".to_owned(), json!(REQUESTED_BY));
    }
    fields.entry("version").or_insert_with(|| message::VERSION.into());
    let body = Value::Object(fields).to_string();
    match message::read(body.as_bytes(), None, shared::clock::now()).pop() {
        Some(Ok(task)) => Ok((task, has_id)),
        Some(Err(refused)) => Err(refused.refusal),
        None => Err(Refusal::NotATask("no task was asked for".to_owned())),
    }
}

impl Summary {
    fn tell(&self, as_json: bool) -> Result<(), Failure> {
        let Self { lines, enqueued, known, refused, without_id, dry_run } = self;
        if as_json {
            shared::say!("{}", serde_json::to_string(self).map_err(anyhow::Error::new)?);
            return Ok(());
        }
        let would = if *dry_run { "would be enqueued" } else { "enqueued" };
        shared::say!("{lines} lines: {enqueued} {would}, {known} known already, {refused} refused");
        if *without_id > 0 {
            shared::say!("{without_id} have no id of their own: they are new tasks each time");
        }
        if *refused > 0 && !dry_run {
            shared::say!("what was not refused is enqueued");
        }
        Ok(())
    }
}
