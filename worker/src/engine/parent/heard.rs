//! What a child says, until its last line or the end of its output.

use std::pin::pin;

use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncReadExt, BufReader},
    process::{ChildStderr, ChildStdout},
    time::timeout,
};

use super::{EngineError, GRACE};
use crate::engine::{
    lines::next_line,
    protocol::{Event, Failure, Key, OperationResult, Progress, Warning},
};

/// How much of the child's standard error is kept, in bytes: the end, where a panic's message is.
const STDERR_TAIL: usize = 8 * 1024;

/// How many warnings are kept.
const WARNINGS: usize = 100;

/// A bounded list of warnings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// How many there were: exact.
    pub count: u64,
    /// The first hundred.
    pub first: Vec<Warning>,
}

impl Warnings {
    fn push(&mut self, warning: Warning) {
        self.count += 1;
        if self.first.len() < WARNINGS {
            self.first.push(warning);
        }
    }
}

/// What a child says while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// How far it is.
    Progress(Progress),
    /// It begins something else.
    Phase(String),
}

/// What the child said until the end of its output.
#[derive(Default)]
pub(super) struct Heard {
    /// The final event, if there was one.
    pub(super) outcome: Option<Result<OperationResult, Failure>>,
    pub(super) warnings: Warnings,
    /// The end of what it wrote to standard error. Complete only if there was no final event.
    pub(super) stderr: String,
}

/// Follows both outputs until the final event or the end of standard output.
pub(super) async fn hear(
    stdout: ChildStdout,
    stderr: ChildStderr,
    on_said: impl FnMut(Said),
    on_key: impl FnMut(&str, Key),
) -> Result<Heard, EngineError> {
    let mut tail = Vec::new();
    let heard = {
        let mut keep = pin!(keep_tail(stderr, &mut tail));
        let mut listen = pin!(listen(stdout, on_said, on_key));
        let (heard, kept) = tokio::select! {
            heard = &mut listen => (heard?, false),
            () = &mut keep => (listen.await?, true),
        };
        if heard.outcome.is_none() && !kept {
            let _ = timeout(GRACE, keep).await;
        }
        heard
    };
    let stderr = String::from_utf8_lossy(&tail).trim().to_owned();
    Ok(Heard { stderr, ..heard })
}

/// Reads events until the final one or the end of the output.
async fn listen(
    stdout: impl AsyncRead + Unpin,
    mut on_said: impl FnMut(Said),
    mut on_key: impl FnMut(&str, Key),
) -> Result<Heard, EngineError> {
    let mut stdout = BufReader::new(stdout);
    let mut heard = Heard::default();
    let mut listed = Vec::new();
    while let Some(event) = next_event(&mut stdout).await? {
        match event {
            Event::Progress(progress) => on_said(Said::Progress(progress)),
            Event::Phase { name } => on_said(Said::Phase(name)),
            Event::Warning(warning) => heard.warnings.push(warning),
            Event::Derived { repository, key } => on_key(&repository, key),
            Event::Listed { snapshots } => listed.extend(snapshots),
            Event::Finished { mut result } => {
                if let OperationResult::List(list) = &mut result {
                    list.snapshots = listed;
                }
                heard.outcome = Some(Ok(result));
                break;
            }
            Event::Failed(failure) => {
                heard.outcome = Some(Err(failure));
                break;
            }
        }
    }
    Ok(heard)
}

async fn next_event(stdout: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Event>, EngineError> {
    let line = next_line(stdout)
        .await
        .map_err(|error| EngineError::Transient(format!("cannot read from the engine process: {error}")))?;
    line.map(|line| serde_json::from_slice(&line)).transpose().map_err(|error| {
        // The error must not repeat the line: it may hold a key.
        let (class, column) = (error.classify(), error.column());
        EngineError::Permanent(format!(
            "the engine process said something unexpected: {class:?} error in column {column}"
        ))
    })
}

/// Reads to the end and keeps the last [`STDERR_TAIL`] bytes.
async fn keep_tail(mut stderr: impl AsyncRead + Unpin, tail: &mut Vec<u8>) {
    let mut buffer = vec![0; STDERR_TAIL];
    while let Ok(size @ 1..) = stderr.read(&mut buffer).await {
        tail.extend_from_slice(&buffer[..size]);
        tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
    }
}
