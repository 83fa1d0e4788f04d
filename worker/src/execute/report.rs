//! Makes reports: facts that are read in one snapshot of the database, and what they are written as. They are stored with the
//! record of their attempt.

mod activity;
mod audit;
mod compliance;
mod facts;
mod standing;

mod document;
mod words;

mod csv;
mod html;
mod pdf;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::IsolationLevel;
use deadpool_postgres::{Client, Transaction};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shared::db::report::{File, New};
use shared::db::{self, cancel};
use shared::task::Ended;
use shared::work::{ReportFormat, ReportKind, ReportParams, Span};
use uuid::Uuid;

use self::activity::Activity;
use self::audit::Audit;
use self::compliance::Compliance;
use self::document::Document;
use self::facts::Head;
use self::standing::Subjects;
use super::attempt::{Attempt, refuse, retry};
use crate::outcome::Outcome;

/// A report has a connection of its own, which is closed with it: the server looks whether somebody waits for it still.
const SESSION: &str = "set client_connection_check_interval = '5s'";
/// Large periods are sorted and added up in memory; it is the server's, and freed with the transaction.
const SETTINGS: &str = "set local enable_seqscan = on; set local work_mem = '128MB'";

/// What a report says.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Facts {
    Activity(Box<Activity>),
    Compliance(Box<Compliance>),
    Audit(Box<Audit>),
}

/// A report that was written.
struct Made {
    head: Head,
    document: Document,
    files: Vec<File>,
    /// How long each format took, in seconds.
    seconds: serde_json::Map<String, Value>,
}

/// Makes one report. The days are counted from when it was asked for, so that another attempt makes the same one.
pub(super) async fn run(attempt: &Attempt<'_>, params: &ReportParams) -> Result<Outcome, Ended> {
    let task = &attempt.leased.task;
    let period = params.span(task.enqueued_at).map_err(refuse)?;
    let started = Instant::now();
    let mut client = attempt.worker.database.beside(SESSION).await.map_err(retry)?;
    let server = attempt.worker.database.canceller(&client);
    let reading = read(&mut client, attempt.limit(), params, period);
    let facts = cancel::until(attempt.cancel, &server, reading).await.unwrap_or(Err(Ended::Interrupted))?;
    drop(client);
    let read = started.elapsed().as_secs_f64();
    // The snapshot is over: nothing of the database waits for what takes processor time alone.
    let made = tokio::task::spawn_blocking(move || write(&facts)).await;
    let made = made.map_err(retry)?.map_err(|error| retry(format!("{error:#}")))?;
    let Made { head, document, files, mut seconds } = made;
    seconds.insert("read".to_owned(), read.into());
    let hashes: serde_json::Map<_, _> =
        files.iter().map(|file| (file.format.to_string(), json!(file.sha256))).collect();
    let report = New {
        id: Uuid::now_v7(),
        kind: params.report,
        period_start: period.start(),
        period_end: period.end(),
        summary: document.summary(),
        title: head.title,
        headline: document.headline,
        job: head.job,
        owner: head.owner,
        files,
        mail_to: params.mail_to.clone(),
        task: task.id,
    };
    let detail = json!({ "report": report.id, "kind": report.kind, "period": period, "sha256": hashes, "seconds": seconds });
    Ok(Outcome { detail: Some(detail), report: Some(Box::new(report)), ..Outcome::done() })
}

/// No statement takes longer than the whole task may, also where nobody is left to cancel it.
async fn read(
    client: &mut Client,
    limit: Duration,
    params: &ReportParams,
    period: Span,
) -> Result<Facts, Ended> {
    let reading = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = reading.start().await.map_err(db::Error::from).map_err(retry)?;
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let settings = format!("{SETTINGS}; set local statement_timeout = {limit}");
    transaction.batch_execute(&settings).await.map_err(db::Error::from).map_err(retry)?;
    let subjects = Subjects::read(&transaction, params).await.map_err(retry)?;
    if let Some(job) = params.job.as_ref().filter(|_| subjects.jobs.is_empty()) {
        return Err(refuse(match &params.owner {
            Some(owner) => format!("job: no job of {} is named {job}", owner.as_str()),
            None => format!("job: no job is named {job}"),
        }));
    }
    let now = db::now(&transaction).await.map_err(retry)?;
    let head = Head::new(params, period, now).map_err(refuse)?;
    facts(&transaction, &subjects, head).await.map_err(retry)
}

async fn facts(transaction: &Transaction<'_>, subjects: &Subjects, head: Head) -> Result<Facts, db::Error> {
    Ok(match head.report {
        ReportKind::Daily | ReportKind::Weekly | ReportKind::Monthly => {
            Facts::Activity(Box::new(activity::read(transaction, subjects, head).await?))
        }
        ReportKind::Compliance => {
            Facts::Compliance(Box::new(compliance::read(transaction, subjects, head).await?))
        }
        ReportKind::Audit => Facts::Audit(Box::new(audit::read(transaction, subjects, head).await?)),
    })
}

fn write(facts: &Facts) -> anyhow::Result<Made> {
    let (head, document) = match facts {
        Facts::Activity(facts) => (facts.head.clone(), facts.document()),
        Facts::Compliance(facts) => (facts.head.clone(), facts.document()),
        Facts::Audit(facts) => (facts.head.clone(), facts.document()),
    };
    let (mut files, mut seconds) = (Vec::new(), serde_json::Map::new());
    for format in ReportFormat::ALL {
        let started = Instant::now();
        let content = match format {
            ReportFormat::Html => html::write(&document)?,
            ReportFormat::Pdf => pdf::write(&document)?,
            ReportFormat::Csv => list(facts)?,
            ReportFormat::Json => serde_json::to_vec(facts).context("writing the facts")?,
        };
        seconds.insert(format.to_string(), started.elapsed().as_secs_f64().into());
        files.push(File { format: *format, sha256: hex::encode(Sha256::digest(&content)), content });
    }
    Ok(Made { head, document, files, seconds })
}

fn list(facts: &Facts) -> anyhow::Result<Vec<u8>> {
    match facts {
        Facts::Activity(facts) => csv::activity(facts),
        Facts::Compliance(facts) => csv::compliance(facts),
        Facts::Audit(facts) => csv::audit(facts),
    }
}
