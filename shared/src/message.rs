//! The wire contract, version 1: what travels through the exchange `holdfast.tasks`. [`schema`] says it to other systems.
//!
//! A message is one task or up to [`MAX_TASKS`] of one kind and priority. Every task in it is judged by itself:
//! a bad one is refused alone. Fields that this version does not know are ignored.

mod refusal;

pub mod schema;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::job::{JobId, JobName};
use crate::params::Params;
use crate::task::{Priority, Task, TaskId, TaskKind};
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};
use crate::work::{InvalidWork, Work};

pub use refusal::{Refusal, Refused};

/// The version that this crate writes and reads.
pub const VERSION: u64 = 1;
/// The largest body that is taken, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most tasks that one message carries.
pub const MAX_TASKS: usize = 500;
/// The longest text of a free field (`requested_by`), in bytes.
const MAX_TEXT: usize = 200;
/// The largest `params` of one task, in bytes of JSON: every row that waits holds them.
const MAX_PARAMS: usize = 16 * 1024;
/// How deep `params` may be nested, themselves included. Every reader has a limit, and a message of many tasks nests deeper
/// than one of a single task.
const MAX_DEPTH: usize = 32;
/// A key that the JSON library takes for its own.
const RESERVED: &str = "$serde_json::";

/// One task as it travels.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TaskMessage {
    /// The version of this contract.
    version: u64,
    /// The publisher's id, best a UUID of version 7: within the window (seven days by default) it runs once, whatever else a later
    /// message with it says.
    pub id: TaskId,
    /// What to do.
    pub kind: TaskKind,
    /// The name of the job to do it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// When the publisher asked; when the message was received where it is absent.
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub enqueued_at: DateTime<Utc>,
    /// Who asked, as people are shown it: at most 200 bytes.
    #[schemars(with = "Option<String>", extend("maxLength" = MAX_TEXT, "pattern" = "^[^\\u0000]*$"))]
    pub requested_by: String,
    /// Which of the kind's two queues it travels through: that of the routing key. `normal` where it is absent.
    #[schemars(with = "Option<Priority>")]
    pub priority: Priority,
    /// Not to be started earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// What the kind needs beside the job: at most 16 KiB, nested at most 32 deep.
    #[schemars(with = "Option<Map<String, Value>>")]
    pub params: Params,
    /// The trace that the task belongs to: its own, or else that of its message's headers.
    #[serde(flatten)]
    pub trace: Option<TraceContext>,
}

impl TaskMessage {
    /// A task as one of our own processes publishes it.
    #[must_use]
    pub fn new(task: &Task, job: Option<JobName>) -> Self {
        Self {
            version: VERSION,
            id: task.id,
            kind: task.kind,
            job,
            enqueued_at: task.enqueued_at,
            requested_by: task.requested_by.clone(),
            priority: task.priority,
            not_before: None,
            params: task.params.clone(),
            trace: task.trace.clone(),
        }
    }

    /// The task that the message asks for, once its job is found.
    #[must_use]
    pub fn to_task(&self, job: Option<JobId>) -> Task {
        Task {
            id: self.id,
            kind: self.kind,
            priority: self.priority,
            job,
            params: self.params.clone(),
            requested_by: self.requested_by.clone(),
            enqueued_at: self.enqueued_at,
            trace: self.trace.clone(),
        }
    }

    /// What becomes of it when it cannot be accepted.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> Refused {
        Refused { refusal, body: self.to_body(), trace: self.trace.clone() }
    }

    /// The body of a message that carries this task alone.
    #[must_use]
    pub fn to_body(&self) -> Vec<u8> {
        // Maps with text keys, numbers and strings: nothing in the type can fail to become JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The bodies of messages that carry these tasks, in their order, up to `most` in each, with the number of tasks in
/// each; all must be of one kind and priority.
#[must_use]
pub fn pack(tasks: &[&TaskMessage], most: usize) -> Vec<(Vec<u8>, usize)> {
    let mut messages = Vec::new();
    let mut left = tasks;
    while let Some((first, rest)) = left.split_first() {
        let (mut body, mut count) = (first.to_body(), 1);
        for task in rest.iter().take(most.min(MAX_TASKS).saturating_sub(1)) {
            let next = task.to_body();
            if FRAME.0.len() + body.len() + 1 + next.len() + FRAME.1.len() > MAX_BYTES {
                break;
            }
            body.push(b',');
            body.extend(next);
            count += 1;
        }
        if count > 1 {
            body = [FRAME.0, &body, FRAME.1].concat();
        }
        messages.push((body, count));
        left = &left[count..];
    }
    messages
}

/// What stands around the tasks of a message that carries several.
const FRAME: (&[u8], &[u8]) = (br#"{"version":1,"tasks":["#, b"]}");

/// Reads a body: each task in it is either taken or refused, in the order of the message. `trace` is what the message's
/// headers say, for the tasks that say nothing else.
#[must_use]
pub fn read(
    body: &[u8],
    trace: Option<&TraceContext>,
    received_at: DateTime<Utc>,
) -> Vec<Result<TaskMessage, Refused>> {
    let refused = |refusal| Refused { refusal, body: body.to_vec(), trace: trace.cloned() };
    let whole = |refusal| vec![Err(refused(refusal))];
    if body.len() > MAX_BYTES {
        return whole(Refusal::TooLarge(body.len()));
    }
    let message: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(Value::Object(message)) => message,
        Ok(_) => return whole(Refusal::NotATask("the body is not a JSON object".to_owned())),
        Err(error) => return whole(Refusal::NotJson(error.to_string())),
    };
    if let Err(refusal) = version(&message) {
        return whole(refusal);
    }
    match message.get("tasks") {
        None => vec![task(&message, trace, received_at).map_err(refused)],
        Some(Value::Array(tasks)) if (1..=MAX_TASKS).contains(&tasks.len()) => {
            tasks.iter().map(|value| member(value, trace, received_at)).collect()
        }
        Some(Value::Array(tasks)) => {
            whole(Refusal::NotATask(format!("tasks: has {} tasks, 1 to {MAX_TASKS} are taken", tasks.len())))
        }
        Some(_) => whole(Refusal::NotATask("tasks: is not an array".to_owned())),
    }
}

fn member(
    value: &Value,
    trace: Option<&TraceContext>,
    received_at: DateTime<Utc>,
) -> Result<TaskMessage, Refused> {
    let refused = |refusal, alone: &dyn std::fmt::Display| {
        let body = alone.to_string().into_bytes();
        Refused { refusal, body, trace: trace.cloned() }
    };
    let Value::Object(fields) = value else {
        let refusal = Refusal::NotATask("a member of tasks is not a JSON object".to_owned());
        return Err(refused(refusal, value));
    };
    let refused = |refusal| {
        // A letter is read by itself, should it be replayed: it needs the version that stood around it.
        let mut alone = fields.clone();
        alone.entry("version").or_insert_with(|| VERSION.into());
        refused(refusal, &Value::Object(alone))
    };
    // A member may repeat the version that stands around it.
    if fields.contains_key("version") {
        version(fields).map_err(refused)?;
    }
    task(fields, trace, received_at).map_err(refused)
}

fn version(fields: &Map<String, Value>) -> Result<(), Refusal> {
    match fields.get("version") {
        None => Err(Refusal::MissingField("version")),
        Some(version) if version.as_u64() == Some(VERSION) => Ok(()),
        Some(other) => Err(Refusal::UnknownVersion(other.to_string().chars().take(MAX_TEXT).collect())),
    }
}

fn task(
    fields: &Map<String, Value>,
    trace: Option<&TraceContext>,
    received_at: DateTime<Utc>,
) -> Result<TaskMessage, Refusal> {
    let id = text(fields, "id")?.ok_or(Refusal::MissingField("id"))?;
    let id: Uuid = id.parse().map_err(|error| invalid("id", &error))?;
    let kind: TaskKind = text(fields, "kind")?
        .ok_or(Refusal::MissingField("kind"))?
        .parse()
        .map_err(|error: crate::name::UnknownWord| Refusal::UnknownKind(error.to_string()))?;
    let job = text(fields, "job")?
        .map(|name| name.parse::<JobName>().map_err(|error| invalid("job", &error)))
        .transpose()?;
    match (kind.needs_job(), &job) {
        (true, None) => return Err(Refusal::MissingField("job")),
        (false, Some(_)) => return Err(invalid("job", &format!("tasks of kind {kind} have no job"))),
        _ => {}
    }
    let own = TraceContext::read(string(fields, TRACEPARENT)?, string(fields, TRACESTATE)?);
    Ok(TaskMessage {
        version: VERSION,
        id: TaskId(id),
        kind,
        job,
        enqueued_at: time(fields, "enqueued_at")?.unwrap_or(received_at),
        requested_by: text(fields, "requested_by")?.unwrap_or_default().to_owned(),
        priority: text(fields, "priority")?
            .map_or(Ok(Priority::Normal), |word| word.parse().map_err(|error| invalid("priority", &error)))?,
        not_before: time(fields, "not_before")?,
        params: params(fields, kind, received_at)?,
        trace: own.or_else(|| trace.cloned()),
    })
}

fn params(
    fields: &Map<String, Value>,
    kind: TaskKind,
    received_at: DateTime<Utc>,
) -> Result<Params, Refusal> {
    let empty = Value::Object(Map::new());
    let value = match fields.get("params") {
        None | Some(Value::Null) => &empty,
        Some(object @ Value::Object(_)) => object,
        Some(_) => return Err(invalid("params", &"is not a JSON object")),
    };
    if depth(value) > MAX_DEPTH {
        return Err(invalid("params", &format!("is nested deeper than {MAX_DEPTH}")));
    }
    let params = Params::from(value);
    let text = params.json().get();
    if text.contains(RESERVED) {
        return Err(invalid("params", &format!("holds {RESERVED}, which is reserved")));
    }
    // PostgreSQL's JSON cannot hold a zero character.
    if text.len() > MAX_PARAMS || text.contains("\\u0000") {
        return Err(invalid("params", &format!("is longer than {MAX_PARAMS} bytes or holds a zero")));
    }
    match Work::parse(kind, value).and_then(|work| work.check(received_at)) {
        Ok(()) => Ok(params),
        Err(InvalidWork(why)) => Err(Refusal::InvalidField { field: "params", why }),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn text<'a>(fields: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, Refusal> {
    match string(fields, field)? {
        // PostgreSQL's text cannot hold a zero byte.
        Some(text) if text.len() > MAX_TEXT || text.contains('\0') => {
            Err(invalid(field, &format!("is longer than {MAX_TEXT} bytes or holds a zero")))
        }
        text => Ok(text),
    }
}

fn string<'a>(fields: &'a Map<String, Value>, field: &'static str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(invalid(field, &"is not a string")),
    }
}

fn time(fields: &Map<String, Value>, field: &'static str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(text) = text(fields, field)? else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| invalid(field, &format!("{error}, use RFC 3339 such as 2026-11-23T02:00:00Z")))?;
    Ok(Some(time.with_timezone(&Utc)))
}

fn invalid(field: &'static str, why: &dyn std::fmt::Display) -> Refusal {
    Refusal::InvalidField { field, why: why.to_string() }
}

#[cfg(test)]
mod tests;
