//! T12: three producers see to schedules, and are killed or stopped at random.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use devstack::Service;
use serde_json::{Value, json};
use shared::task::TaskId;

use super::arena::{Arena, Findings, TARGET};
use super::form::Form;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

const PRODUCERS: usize = 3;
const SCHEDULES: u64 = 60;
/// How long a leader may be silent, and how much later another one may have seen to what was due: the producer's own
/// figure and a second.
const LATEST: TimeDelta = TimeDelta::seconds(6);

/// How long a producer is stopped: another one has to lead meanwhile.
const STOPPED: Duration = Duration::from_secs(8);

/// What happens to a producer.
enum Blow {
    KillAny,
    KillLeader,
    /// It goes on later, as one that believes that it leads.
    StopLeader,
}

impl Blow {
    const fn of(round: usize) -> Self {
        match round % 4 {
            0 => Self::KillLeader,
            2 => Self::StopLeader,
            _ => Self::KillAny,
        }
    }
}

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (kills, rhythm) = form.pick((4, 2.0..=4.0), (30, 5.0..=15.0));
    let arena = Arena::on(servers, "T12", form, screen).await;
    define(&arena).await;
    let first = next_due(&arena).await?;
    let worker = arena.worker("w1", &[]);
    let mut producers: Vec<Service> = (0..PRODUCERS).map(|number| start(&arena, number, 0)).collect();
    arena
        .until_number(
            "schedules are seen to",
            Duration::from_mins(1),
            "select count(*)::bigint from leader where role = 'scheduler'",
            1,
        )
        .await;
    for round in 1..=kills {
        tokio::time::sleep(Duration::from_secs_f64(rand::random_range(rhythm.clone()))).await;
        let blow = Blow::of(round);
        let victim = match blow {
            Blow::KillAny => rand::random_range(0..PRODUCERS),
            Blow::KillLeader | Blow::StopLeader => leader(&producers),
        };
        arena.injected();
        if let Blow::StopLeader = blow {
            producers[victim].pause()?;
            arena.tell("the leader is stopped");
            tokio::time::sleep(STOPPED).await;
            producers[victim].resume()?;
        } else {
            producers[victim].kill().await?;
            producers[victim] = start(&arena, victim, round);
            arena.tell("killing producers");
        }
    }
    // The last ones may have been due while nobody led.
    tokio::time::sleep(LATEST.to_std()?).await;
    arena.world.execute("update schedule set paused_by = 'the test', paused_at = now()").await;
    let after = next_due(&arena).await?;
    let seen = Seen::load(&arena).await?;
    for run in &seen.0 {
        arena.load.remember(run.task);
    }
    arena.drain().await;

    let (missed, more) = seen.differs_from(&first, &after);
    let latest = seen.0.iter().map(|run| run.enqueued_at - run.due_at).max().unwrap_or_default();
    let terms = arena
        .number("select coalesce(max(term), 0) from leader where role = 'scheduler'")
        .await
        .unwrap_or_default();
    let backups = arena.number("select count(*) from execution where kind = 'backup'").await;
    let findings = Findings {
        load: format!("{SCHEDULES} schedules of 2, 3 and 5 s, {} due times, {terms} terms", seen.0.len()),
        recovery: Some(latest.to_std().unwrap_or_default()),
        bars: vec![
            bar(missed == 0, format!("{missed} due times missed")),
            bar(more == 0, format!("{more} due times that there are not")),
            bar(backups == i64::try_from(seen.0.len()).ok(), "a backup for each due time"),
            bar(latest <= LATEST, format!("at most {:.1} s late <= 6 s", latest.as_seconds_f64())),
            bar(terms > 1, "the lead changed hands"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producers, worker));
    report
}

async fn define(arena: &Arena) {
    let jobs: Vec<Value> = (0..SCHEDULES)
        .map(|number| {
            let mut job =
                arena.world.simulated_job(&format!("job-{number}"), &[TARGET], &json!({ "duration": "0s" }));
            // What is late by more than a minute would be missed, and found so.
            job["schedule"] =
                json!({ "every": format!("{}s", every(number)), "overlap": "allow", "catch_up": "none" });
            job
        })
        .collect();
    let targets = [arena.world.target(TARGET, &json!({}))];
    arena.world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
}

/// Seconds between the due times of a job.
fn every(number: u64) -> u64 {
    [2, 3, 5][usize::try_from(number % 3).unwrap_or_default()]
}

fn start(arena: &Arena, number: usize, round: usize) -> Service {
    arena.named_producer(&format!("producer-{number}-{round}"), &[])
}

/// Which of some processes has led last, by their own words.
pub(super) fn leader(processes: &[Service]) -> usize {
    let last_term = |service: &Service| {
        let log = service.log();
        let term = log.rsplit("term=").next().and_then(|rest| rest.split_whitespace().next());
        term.and_then(|term| term.parse::<u64>().ok())
    };
    let terms = processes.iter().map(last_term).enumerate();
    terms.max_by_key(|(_, term)| *term).map(|(number, _)| number).unwrap_or_default()
}

/// The next due time of each job, by their numbers.
async fn next_due(arena: &Arena) -> anyhow::Result<Vec<DateTime<Utc>>> {
    let client = arena.world.database.client().await?;
    let statement = "select next_due from schedule order by substring(name from 5)::integer";
    client.query(statement, &[]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

struct Run {
    job: usize,
    due_at: DateTime<Utc>,
    task: TaskId,
    enqueued_at: DateTime<Utc>,
}

/// What was seen to, in the order of the due times.
struct Seen(Vec<Run>);

impl Seen {
    async fn load(arena: &Arena) -> anyhow::Result<Self> {
        let client = arena.world.database.client().await?;
        let statement =
            "select substring(s.name from 5)::integer::bigint as job, r.due_at, r.task_id, r.seen_at
             from schedule_run r join schedule s on s.id = r.schedule_id order by r.due_at";
        let run = |row: &tokio_postgres::Row| {
            Ok(Run {
                job: usize::try_from(row.try_get::<_, i64>("job")?)?,
                due_at: row.try_get("due_at")?,
                task: TaskId(row.try_get("task_id")?),
                enqueued_at: row.try_get("seen_at")?,
            })
        };
        client.query(statement, &[]).await?.iter().map(run).collect::<anyhow::Result<_>>().map(Self)
    }

    /// How many of the due times from `first` up to, but without, `after` are not there, and how many others are.
    fn differs_from(&self, first: &[DateTime<Utc>], after: &[DateTime<Utc>]) -> (usize, usize) {
        let (mut missed, mut more) = (0, 0);
        for (number, (first, after)) in first.iter().zip(after).enumerate() {
            let every = TimeDelta::seconds(i64::try_from(every(number as u64)).unwrap_or(1));
            let expected: Vec<DateTime<Utc>> = std::iter::successors(Some(*first), |due| Some(*due + every))
                .take_while(|due| due < after)
                .collect();
            let seen: Vec<DateTime<Utc>> =
                self.0.iter().filter(|run| run.job == number).map(|run| run.due_at).collect();
            missed += expected.iter().filter(|due| !seen.contains(due)).count();
            more += seen.iter().filter(|due| !expected.contains(due)).count();
        }
        (missed, more)
    }
}
