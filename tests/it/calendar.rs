//! A month of schedules in virtual time: the due times that producers see to are those of an independent calculation.

mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use harness::World;
use oracle::Case;
use producer::scheduler::{Scheduler, TTL};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::db::schedule::Defined;
use shared::params::Params;
use shared::schedule::Overlap;
use shared::task::TaskKind;

const SCHEDULES: usize = 1000;
const PRODUCERS: usize = 3;
/// How late the producers look at most, in milliseconds: less than what counts as missed.
const LATEST_LOOK: i64 = 30_000;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_a_thousand_schedules_in_twelve_zones_has_the_due_times_of_an_independent_calculation() {
    let number: u64 = rand::random();
    println!("the dice are {number}");
    let mut dice = StdRng::seed_from_u64(number);
    let cases: Vec<Case> = (0..SCHEDULES).map(|_| Case::any(&mut dice)).collect();
    let world = World::new().await;
    let start = at("2026-10-01T00:00:00Z");
    define(&world, &cases, start).await;

    // Clocks are set back in Europe at 01:00 UTC.
    let outage = (at("2026-10-24T22:00:12Z"), at("2026-10-25T04:00:12Z"));
    let mut month = Month { world: &world, producers: Default::default(), dice, now: start, done: [0; 3] };
    month.pass_until(outage.0).await;
    month.now = outage.1 - MARGIN;
    month.settle_at(outage.1).await;
    let end = at("2026-11-02T00:00:12Z");
    month.pass_until(end).await;
    println!("looks: {} alone, {} killed, {} as two leaders", month.done[0], month.done[1], month.done[2]);
    assert!(month.done.iter().all(|looks| *looks > 50), "each way to look has its turn: {:?}", month.done);

    let noted = noted(&world).await;
    for (number, case) in cases.iter().enumerate() {
        let expected = case.due(&name(number), start, outage, end);
        let seen = noted.get(&name(number)).cloned().unwrap_or_default();
        let (missed, more): (Vec<_>, Vec<_>) =
            (expected.difference(&seen).collect(), seen.difference(&expected).collect());
        assert!(
            missed.is_empty() && more.is_empty(),
            "{} {:?}: not seen to: {missed:?}; seen to, though it was not due: {more:?}",
            name(number),
            case.schedule
        );
    }
    check_tasks(&world, &cases, &noted).await;
}

/// Each due time has one task where work may overlap; where it may not, the first one's waits for ever and is the only one.
async fn check_tasks(world: &World, cases: &[Case], seen: &BTreeMap<String, BTreeSet<DateTime<Utc>>>) {
    let expected: usize = cases
        .iter()
        .enumerate()
        .filter_map(|(number, case)| Some((case, seen.get(&name(number))?)))
        .map(|(case, seen)| match case.schedule.overlap {
            Overlap::Allow => seen.len(),
            Overlap::Skip | Overlap::Queue => usize::from(!seen.is_empty()),
        })
        .sum();
    let tasks = world.number("select count(*) from task").await;
    assert_eq!(tasks, i64::try_from(expected).unwrap());
    let linked = "select count(distinct t.id) from task t join schedule_run r on r.task_id = t.id
         join schedule s on s.id = r.schedule_id where s.job_id = t.job_id and t.kind = s.kind";
    assert_eq!(world.number(linked).await, tasks, "a task stands for no due time of its job, or for two");
}

async fn define(world: &World, cases: &[Case], start: DateTime<Utc>) {
    let jobs: Vec<Value> =
        (0..cases.len()).map(|number| world.simulated_job(&name(number), &["disk-a"], &json!({}))).collect();
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let mut client = world.database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let stored = shared::db::job::all(&transaction).await.unwrap();
    let ids: BTreeMap<&str, _> = stored.iter().map(|stored| (stored.job.name.as_str(), stored.id)).collect();
    let defined: Vec<Defined<'_>> = cases
        .iter()
        .enumerate()
        .map(|(number, case)| Defined {
            kind: TaskKind::Backup,
            name: name(number),
            job: ids.get(name(number).as_str()).copied(),
            params: Params::from(&json!({})),
            spec: &case.schedule,
        })
        .collect();
    shared::db::schedule::upsert(&transaction, &defined, start).await.unwrap();
    transaction.commit().await.unwrap();
}

fn name(number: usize) -> String {
    format!("job-{number:04}")
}

/// Which due times were seen to, by job.
async fn noted(world: &World) -> BTreeMap<String, BTreeSet<DateTime<Utc>>> {
    let client = world.database.client().await.unwrap();
    let statement = "select name, due_at from schedule_run join schedule on id = schedule_id";
    let mut seen: BTreeMap<String, BTreeSet<DateTime<Utc>>> = BTreeMap::new();
    for row in client.query(statement, &[]).await.unwrap() {
        seen.entry(row.get(0)).or_default().insert(row.get(1));
    }
    seen
}

/// Longer than a dead leader is waited for.
const MARGIN: TimeDelta = TimeDelta::seconds(12);

struct Month<'a> {
    world: &'a World,
    producers: [Scheduler; PRODUCERS],
    dice: StdRng,
    now: DateTime<Utc>,
    /// How often producers looked alone, were killed while they looked, and looked as two leaders.
    done: [usize; 3],
}

impl Month<'_> {
    /// Sees to all that fires until a moment.
    async fn pass_until(&mut self, end: DateTime<Utc>) {
        let first = "select extract(epoch from min(fires_at))::bigint from schedule";
        loop {
            let next = DateTime::from_timestamp(self.world.number(first).await, 0).unwrap();
            let late = TimeDelta::milliseconds(self.dice.random_range(0..LATEST_LOOK));
            // What is overdue already was left by a producer that died.
            self.now = if next > self.now { next + late } else { self.now + TimeDelta::seconds(1) };
            if self.now > end - MARGIN {
                break;
            }
            self.look().await;
        }
        self.settle_at(end).await;
    }

    async fn look(&mut self) {
        let database = &self.world.database;
        let one = self.dice.random_range(0..PRODUCERS);
        match self.dice.random_range(0..20) {
            0 => {
                let patience = Duration::from_micros(self.dice.random_range(0..6000));
                _ = tokio::time::timeout(patience, self.producers[one].step(database, self.now)).await;
                self.producers[one] = Scheduler::default();
                self.done[1] += 1;
            }
            1 => {
                let [first, second, _] = &mut self.producers;
                // To the second, the first is silent for too long; the first does not know it.
                let later = self.now + TTL + TimeDelta::seconds(1);
                let (first, second) =
                    tokio::join!(first.step(database, self.now), second.step(database, later));
                first.unwrap();
                second.unwrap();
                self.now = later;
                self.done[2] += 1;
            }
            _ => {
                self.producers[one].step(database, self.now).await.unwrap();
                self.done[0] += 1;
            }
        }
    }

    /// Has everything seen to that fires at a moment.
    async fn settle_at(&mut self, now: DateTime<Utc>) {
        self.now = now;
        for producer in &mut self.producers {
            producer.step(&self.world.database, now).await.unwrap();
        }
        let client = self.world.database.client().await.unwrap();
        let left = "select count(*) from schedule where fires_at <= $1";
        let left: i64 = client.query_one(left, &[&now]).await.unwrap().get(0);
        assert_eq!(left, 0, "something that fires was not seen to");
    }
}
