//! Table `line`: the lines in which tasks wait for a limit, in `task`, until a worker calls them.
//!
//! A line holds the tasks of one kind, owner and priority that wait for one key, the oldest first. Among the lines of a key
//! the one is next that has had the least for its weight (start-time fair queueing, Goyal et al. 1996): a line that was
//! empty begins where the others are, so that it cannot catch up on what it did not ask for.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::columns::{ARRAYS, Columns, NAMES, task_of};
use super::statement::statement;
use super::{Error, parsed};
use crate::limit::Key;
use crate::task::{Priority, Task, TaskId, TaskKind};

/// How much more a task of high priority counts than a normal one of the same owner.
pub const HIGH_WEIGHT: u32 = 10;

/// The class of the locks that are held by whoever changes the lines of a kind. The number is arbitrary.
const LINES: i32 = 0x484f_4c44;

/// What the `waiting_for` of a task begins with that stands in a line.
const PREFIX: &str = "limit:";

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The key that it waits for.
    pub key: Key,
    /// Whose line it is.
    pub owner: String,
}

/// Makes those who change the lines of a kind take turns until their transactions end.
pub async fn lock(transaction: &Transaction<'_>, kind: TaskKind) -> Result<(), Error> {
    let statement = statement!("line.lock", "select pg_advisory_xact_lock($1, hashtext($2))");
    statement.execute(transaction, &[&LINES, &kind.as_str()]).await?;
    Ok(())
}

/// Puts tasks that were never seen before at the end of their lines; their ids must have been fresh in this transaction.
pub async fn enter(transaction: &Transaction<'_>, tasks: &[(Task, Place)]) -> Result<(), Error> {
    let statement = statement!(
        "line.enter",
        format!(
            "insert into task (id, {NAMES}, run_at, publish_at, waiting_for, owner, waiting_since)
         select id, {NAMES}, 'infinity', 'infinity', waiting_for, owner, now()
         from unnest({ARRAYS}, $10::text[], $11::text[]) as t(id, {NAMES}, waiting_for, owner)"
        )
    );
    let columns = Columns::of(tasks.iter().map(|(task, _)| task));
    let (keys, owners) = places(tasks.iter().map(|(_, place)| place));
    statement.execute(transaction, &columns.and(&[&keys, &owners])).await?;
    let lines = tasks.iter().map(|(task, place)| (task.kind, task.priority, place));
    open(transaction, lines).await
}

/// Moves tasks that wait already into other lines, where they keep their age. What waits for later, or for something else,
/// is left alone: its delivery was a stale copy.
pub async fn change(
    transaction: &Transaction<'_>,
    tasks: &[(TaskId, TaskKind, Priority, Place)],
) -> Result<(), Error> {
    let statement = statement!(
        "line.change",
        "with mine as (
             select t.id, m.waiting_for, m.owner
             from task t join unnest($1::uuid[], $2::text[], $3::text[]) as m(id, waiting_for, owner) on t.id = m.id
             where t.id = any($1) and (t.run_at <= now() or t.waiting_for like $4::text || '%') is true
             order by t.id for update of t)
         update task t set run_at = 'infinity', publish_at = 'infinity', waiting_for = mine.waiting_for, owner = mine.owner, \
             waiting_since = coalesce(t.waiting_since, now())
         from mine where t.id = mine.id"
    );
    let ids: Vec<Uuid> = tasks.iter().map(|(id, ..)| id.0).collect();
    let (keys, owners) = places(tasks.iter().map(|(.., place)| place));
    statement.execute(transaction, &[&ids, &keys, &owners, &PREFIX]).await?;
    open(transaction, tasks.iter().map(|(_, kind, priority, place)| (*kind, *priority, place))).await
}

fn places<'a>(places: impl Iterator<Item = &'a Place>) -> (Vec<String>, Vec<&'a str>) {
    places.map(|place| (waiting_for(&place.key), place.owner.as_str())).unzip()
}

/// What a task waits for that stands in a line of a key.
pub(super) fn waiting_for(key: &Key) -> String {
    format!("{PREFIX}{key}")
}

async fn open<'a>(
    transaction: &Transaction<'_>,
    lines: impl Iterator<Item = (TaskKind, Priority, &'a Place)>,
) -> Result<(), Error> {
    // Once for each key, and only for lines that are new: a key may have thousands of them.
    let statement = statement!(
        "line.open",
        "with new as (
             select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as n(waiting_for, kind, owner, priority)
             where not exists (select from line l where l.waiting_for = n.waiting_for and l.kind = n.kind
                 and l.owner = n.owner and l.priority = n.priority)),
         level as materialized (
             select k.waiting_for, k.kind, (
                 select min(served) from line l where l.waiting_for = k.waiting_for and l.kind = k.kind) as served
             from (select distinct waiting_for, kind from new) as k)
         insert into line (waiting_for, kind, owner, priority, served)
         select n.waiting_for, n.kind, n.owner, n.priority, coalesce(level.served, 0)
         from new n join level on level.waiting_for = n.waiting_for and level.kind = n.kind
         order by 1, 2, 3, 4
         on conflict do nothing"
    );
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines.dedup();
    let (keys, owners) = places(lines.iter().map(|(.., place)| *place));
    let kinds: Vec<&str> = lines.iter().map(|(kind, ..)| kind.as_str()).collect();
    let priorities: Vec<&str> = lines.iter().map(|(_, priority, _)| priority.as_str()).collect();
    statement.execute(transaction, &[&keys, &kinds, &owners, &priorities]).await?;
    Ok(())
}

/// A task that waits in a line, locked until the transaction ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiter {
    /// The task.
    pub task: Task,
    /// Whose line it stands in.
    pub owner: String,
    /// Since when it waits in lines.
    pub since: DateTime<Utc>,
}

/// Calls the next tasks of a kind that wait for a key, up to `most`, in their order, and says whether none is left. There may
/// be fewer while some are left. `weight` says how much an owner gets compared with others, from 1.
///
/// The caller has locked the kind's lines. What is called has had its turn: it is to be started, or to [`change`] its line.
pub async fn call(
    transaction: &Transaction<'_>,
    kind: TaskKind,
    key: &Key,
    most: usize,
    weight: impl Fn(&str) -> u32,
) -> Result<(Vec<Waiter>, bool), Error> {
    // So many tasks are never from more lines than those that are next.
    let statement = statement!(
        "line.next",
        "select l.owner, l.priority, l.served, array(
                 select id from task t
                 where t.waiting_for = l.waiting_for and t.kind = l.kind and t.owner = l.owner and t.priority = l.priority
                 order by t.waiting_since limit $3) as ids
         from line l where l.waiting_for = $1 and l.kind = $2 order by l.served limit least($3, $4)"
    );
    let name = waiting_for(key);
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query(transaction, &[&name, &kind.as_str(), &limit, &MOST_LINES]).await?;
    let mut lines = rows.iter().map(|row| Line::of(row, &weight)).collect::<Result<Vec<_>, Error>>()?;
    let ids = share(&mut lines, most);
    keep(transaction, kind, &name, &lines, most).await?;

    let statement = statement!(
        "line.call",
        format!(
            "select id, {NAMES}, owner, coalesce(waiting_since, now()) as since from task
         where id = any($1) and (waiting_for = $2) is true order by id for update"
        )
    );
    let rows = statement.query(transaction, &[&ids, &name]).await?;
    // Whoever is missing was cancelled meanwhile.
    let mut found: HashMap<Uuid, Waiter> = HashMap::with_capacity(rows.len());
    for row in &rows {
        let waiter =
            Waiter { task: task_of(row, "id")?, owner: row.try_get("owner")?, since: row.try_get("since")? };
        found.insert(waiter.task.id.0, waiter);
    }
    let waiters: Vec<Waiter> = ids.iter().filter_map(|id| found.remove(id)).collect();
    let ended = waiters.len() < most && !exists(transaction, kind, &name).await?;
    Ok((waiters, ended))
}

async fn exists(transaction: &Transaction<'_>, kind: TaskKind, name: &str) -> Result<bool, Error> {
    let statement =
        statement!("line.exists", "select exists (select from line where waiting_for = $1 and kind = $2)");
    Ok(statement.query_one(transaction, &[&name, &kind.as_str()]).await?.try_get(0)?)
}

/// Lines that are looked into at once.
const MOST_LINES: i64 = 64;

/// The head of a line.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    owner: String,
    priority: Priority,
    served: f64,
    weight: u32,
    /// Its first tasks.
    ids: Vec<Uuid>,
    /// How many of them were called.
    called: usize,
}

impl Line {
    fn of(row: &Row, weight: impl Fn(&str) -> u32) -> Result<Self, Error> {
        let (owner, priority): (String, Priority) = (row.try_get("owner")?, parsed(row, "priority")?);
        let weight = weight(&owner) * if priority == Priority::High { HIGH_WEIGHT } else { 1 };
        Ok(Self {
            owner,
            priority,
            served: row.try_get("served")?,
            weight,
            ids: row.try_get("ids")?,
            called: 0,
        })
    }

    fn call(&mut self) -> Option<Uuid> {
        let id = self.ids.get(self.called).copied()?;
        self.called += 1;
        self.served += 1.0 / f64::from(self.weight);
        Some(id)
    }

    fn is_empty(&self) -> bool {
        self.called == self.ids.len()
    }
}

/// Calls one after the other from the line that has had the least.
fn share(lines: &mut [Line], most: usize) -> Vec<Uuid> {
    let next = || {
        let waiting = lines.iter_mut().filter(|line| !line.is_empty());
        waiting.min_by(|a, b| a.served.total_cmp(&b.served)).and_then(Line::call)
    };
    std::iter::from_fn(next).take(most).collect()
}

/// Writes down what lines have had, and closes those that are empty now: they gave less than they were asked for.
async fn keep(
    transaction: &Transaction<'_>,
    kind: TaskKind,
    name: &str,
    lines: &[Line],
    most: usize,
) -> Result<(), Error> {
    let (closed, served): (Vec<&Line>, Vec<&Line>) = lines
        .iter()
        .filter(|line| line.called > 0 || line.ids.is_empty())
        .partition(|line| line.is_empty() && line.ids.len() < most);
    if !served.is_empty() {
        let statement = statement!(
            "line.serve",
            "update line l set served = s.served
             from unnest($3::text[], $4::text[], $5::float8[]) as s(owner, priority, served)
             where l.waiting_for = $1 and l.kind = $2 and l.owner = s.owner and l.priority = s.priority"
        );
        let (owners, priorities) = names(&served);
        let served: Vec<f64> = served.iter().map(|line| line.served).collect();
        statement.execute(transaction, &[&name, &kind.as_str(), &owners, &priorities, &served]).await?;
    }
    if !closed.is_empty() {
        let statement = statement!(
            "line.close",
            "delete from line l using unnest($3::text[], $4::text[]) as s(owner, priority)
             where l.waiting_for = $1 and l.kind = $2 and l.owner = s.owner and l.priority = s.priority"
        );
        let (owners, priorities) = names(&closed);
        statement.execute(transaction, &[&name, &kind.as_str(), &owners, &priorities]).await?;
    }
    Ok(())
}

fn names<'a>(lines: &[&'a Line]) -> (Vec<&'a str>, Vec<&'static str>) {
    lines.iter().map(|line| (line.owner.as_str(), line.priority.as_str())).unzip()
}

/// Those of some keys for which tasks of a kind wait.
pub async fn standing<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    keys: &BTreeSet<&Key>,
) -> Result<HashSet<Key>, Error> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = statement!(
        "line.standing",
        "select distinct substr(waiting_for, length($3::text) + 1) as key from line where kind = $1 and waiting_for = any($2)"
    );
    let names: Vec<String> = keys.iter().map(|key| waiting_for(key)).collect();
    let rows = statement.query(client, &[&kind.as_str(), &names, &PREFIX]).await?;
    rows.iter().map(|row| parsed(row, "key")).collect()
}

/// The keys that tasks of some kinds may wait for.
pub async fn keys<C: GenericClient>(client: &C, kinds: &[TaskKind]) -> Result<Vec<(TaskKind, Key)>, Error> {
    let statement = statement!(
        "line.keys",
        "select distinct kind, substr(waiting_for, length($2::text) + 1) as key from line where kind = any($1)"
    );
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let rows = statement.query(client, &[&kinds, &PREFIX]).await?;
    rows.iter().map(|row| Ok((parsed(row, "kind")?, parsed(row, "key")?))).collect()
}

/// Those that wait for one key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Waiting {
    /// Their kind.
    pub kind: TaskKind,
    /// What they wait for.
    pub key: Key,
    /// How many they are.
    pub tasks: i64,
    /// Since when the oldest has waited.
    pub since: DateTime<Utc>,
}

/// Who waits for which key, by kind and key.
pub async fn waiting<C: GenericClient>(client: &C) -> Result<Vec<Waiting>, Error> {
    let statement = statement!(
        "line.waiting",
        "select kind, substr(waiting_for, length($1::text) + 1) as key, count(*) as tasks, \
             min(waiting_since) as since
         from task where waiting_for like $1::text || '%' group by kind, waiting_for order by kind, waiting_for"
    );
    let rows = statement.query(client, &[&PREFIX]).await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                kind: parsed(row, "kind")?,
                key: parsed(row, "key")?,
                tasks: row.try_get("tasks")?,
                since: row.try_get("since")?,
            })
        })
        .collect()
}

/// Whether so many tasks of a kind wait for its pool.
pub async fn is_long<C: GenericClient>(client: &C, kind: TaskKind, length: i64) -> Result<bool, Error> {
    let statement = statement!(
        "line.is_long",
        "select count(*) from (select from task where waiting_for = $1 and kind = $2 limit $3) as t"
    );
    let name = waiting_for(&Key::Pool(kind));
    let row = statement.query_one(client, &[&name, &kind.as_str(), &length]).await?;
    Ok(row.try_get::<_, i64>(0)? >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(owner: &str, weight: u32, served: f64, tasks: usize) -> Line {
        let ids = (0..tasks).map(|_| Uuid::now_v7()).collect();
        Line { owner: owner.to_owned(), priority: Priority::Normal, served, weight, ids, called: 0 }
    }

    fn called(lines: &[Line]) -> Vec<usize> {
        lines.iter().map(|line| line.called).collect()
    }

    #[test]
    fn lines_are_called_by_their_weight() {
        let mut lines = [line("a", 3, 0.0, 100), line("b", 1, 0.0, 100)];
        assert_eq!(share(&mut lines, 80).len(), 80);
        assert_eq!(called(&lines), [60, 20]);
    }

    #[test]
    fn what_a_line_does_not_need_is_the_others() {
        let mut lines = [line("a", 10, 0.0, 4), line("b", 1, 0.0, 100)];
        share(&mut lines, 50);
        assert_eq!(called(&lines), [4, 46]);
        assert!(lines[0].is_empty() && !lines[1].is_empty());
    }

    #[test]
    fn a_line_that_begins_where_the_others_are_does_not_catch_up() {
        let mut lines = [line("old", 1, 500.0, 100), line("new", 1, 500.0, 100)];
        share(&mut lines, 10);
        assert_eq!(called(&lines), [5, 5]);
    }

    #[test]
    fn a_lines_tasks_are_called_in_their_order() {
        let mut lines = [line("a", 1, 0.0, 5)];
        let ids = lines[0].ids.clone();
        assert_eq!(share(&mut lines, 3), ids[..3]);
        assert_eq!(share(&mut lines, 9), ids[3..]);
    }
}
