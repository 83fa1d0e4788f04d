//! A fleet in virtual time: tasks come, wait for a slot, run and end; an autoscaler starts and stops workers by a signal.
//!
//! It goes on in steps of a second. The signal is the reporter's own estimate, as late as it is in reality: the reporter looks at
//! intervals, Prometheus asks at intervals, and a new worker takes its time until it has slots.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reporter::signal::{Estimator, Look, Recent};

use super::load::Arrivals;
use super::rule::{self, Autoscaler};

/// How often the reporter looks, in seconds: its default.
const LOOK: u32 = 10;
/// How often its figures are fetched, in seconds: Prometheus's default in most set-ups.
const SCRAPE: u32 = 15;
/// From the decision to a worker that claims, in seconds.
const START: u32 = 40;
/// When a lost worker's tasks are queued again, in seconds: the default lease.
const LEASE: u32 = 300;

/// What the autoscaler goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The slots that are needed, as the reporter shows them.
    Signal,
    /// The tasks that wait in the queue, as where running tasks are not known.
    QueueDepth,
}

/// What is simulated.
#[derive(Clone)]
pub(super) struct World<'c> {
    /// What comes.
    pub(super) arrivals: Arrivals,
    /// For how long, in seconds.
    pub(super) seconds: u32,
    /// Slots of each worker.
    pub(super) slots: usize,
    /// The most workers.
    pub(super) most: usize,
    /// What decides how many there are.
    pub(super) by: By,
    /// How long what runs may go on in a worker that stops, in seconds.
    pub(super) grace: u32,
    /// When half of all workers die at once, in seconds.
    pub(super) disaster: Option<u32>,
    /// How many tasks a second all workers together can claim and record, by how many they are.
    pub(super) capacity: &'c dyn Fn(usize) -> f64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outcome {
    /// How long each attempt had waited for its slot, in seconds.
    pub(super) waits: Vec<u32>,
    /// Attempts that a worker that stopped gave back unfinished, with what they had worked already, in seconds.
    pub(super) handed_back: usize,
    pub(super) wasted: f64,
    /// Attempts whose worker died.
    pub(super) lost: usize,
    /// Worker-seconds and slot-seconds, all together.
    pub(super) worker_seconds: f64,
    pub(super) busy_seconds: f64,
    /// Tasks that had ended by the end.
    pub(super) done: usize,
    /// Changes of the number of workers, and those that undid the one before within ten minutes.
    pub(super) changes: usize,
    pub(super) reversals: usize,
    /// The fleet at the end of each minute.
    pub(super) minutes: Vec<Minute>,
}

/// The fleet at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Minute {
    pub(super) workers: usize,
    pub(super) busy: usize,
    pub(super) waiting: usize,
}

/// Within how many seconds a change that undoes the one before it is a reversal.
const FLAP: u32 = 600;

#[derive(Debug, Clone, Copy)]
struct Task {
    since: u32,
    lasts: u32,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    /// Which attempt.
    attempt: u64,
    began: u32,
    task: Task,
}

#[derive(Debug)]
struct Worker {
    ready_at: u32,
    running: Vec<Running>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// It takes nothing more, and gives back at this time what has not ended.
    Stopping(u32),
    /// What it had is queued again at this time.
    Dead(u32),
    Gone,
}

struct Simulation<'w> {
    world: &'w World<'w>,
    random: SmallRng,
    now: u32,
    waiting: VecDeque<Task>,
    workers: Vec<Worker>,
    /// Those that are not gone, the oldest first.
    present: Vec<usize>,
    /// A worker for each of its free slots; one that is not up any more is passed over.
    free: Vec<usize>,
    ends: BinaryHeap<Reverse<(u32, usize, u64)>>,
    attempts: u64,
    estimator: Estimator,
    /// Tasks that left, and attempts that ended, since the last look, and how long the last of those took.
    left: f64,
    ended: f64,
    took: Recent,
    /// Slots that are needed, as the reporter shows it, and as the autoscaler has read it.
    shown: Option<f64>,
    read: Option<f64>,
    /// When the number of workers was changed last, and whether it grew.
    last_change: Option<(u32, bool)>,
    outcome: Outcome,
}

/// Runs a world to its end.
pub(super) fn run(world: &World<'_>) -> Outcome {
    let mut simulation = Simulation {
        world,
        random: SmallRng::seed_from_u64(7),
        now: 0,
        waiting: VecDeque::new(),
        workers: Vec::new(),
        present: Vec::new(),
        free: Vec::new(),
        ends: BinaryHeap::new(),
        attempts: 0,
        estimator: Estimator::default(),
        left: 0.0,
        ended: 0.0,
        took: Recent::new(200.0),
        shown: None,
        read: None,
        last_change: None,
        outcome: Outcome::default(),
    };
    simulation.start_workers(1, 0);
    let mut autoscaler = Autoscaler::new(world.slots, 1, world.most);
    let mut arrivals = world.arrivals.iter().peekable();
    for now in 0..world.seconds {
        simulation.now = now;
        while let Some(arrival) = arrivals.next_if(|arrival| arrival.at <= now) {
            simulation.waiting.push_back(Task { since: now, lasts: arrival.lasts });
        }
        if world.disaster == Some(now) {
            simulation.kill_half();
        }
        simulation.end_attempts();
        simulation.end_workers();
        simulation.begin_attempts();
        if now % LOOK == 0 {
            simulation.look();
        }
        if now % SCRAPE == SCRAPE / 2 {
            simulation.read = simulation.shown;
        }
        if now % rule::EVERY == 0 {
            simulation.scale(&mut autoscaler);
        }
        simulation.account();
    }
    simulation.outcome
}

impl Simulation<'_> {
    fn start_workers(&mut self, workers: usize, after: u32) {
        for _ in 0..workers {
            let ready_at = self.now + after;
            self.present.push(self.workers.len());
            self.workers.push(Worker { ready_at, running: Vec::new(), state: State::Up });
            if after == 0 {
                self.free.extend(std::iter::repeat_n(self.workers.len() - 1, self.world.slots));
            }
        }
    }

    fn up(&self) -> impl Iterator<Item = usize> {
        self.present.iter().copied().filter(|number| self.workers[*number].state == State::Up)
    }

    fn end_attempts(&mut self) {
        while let Some(Reverse((at, number, attempt))) = self.ends.peek().copied() {
            if at > self.now {
                break;
            }
            self.ends.pop();
            let worker = &mut self.workers[number];
            // What was lost or given back ends elsewhere.
            let place = worker.running.iter().position(|running| running.attempt == attempt);
            let Some(place) = place.filter(|_| !matches!(worker.state, State::Dead(_) | State::Gone)) else {
                continue;
            };
            let running = worker.running.swap_remove(place);
            if worker.state == State::Up {
                self.free.push(number);
            }
            self.outcome.done += 1;
            self.left += 1.0;
            self.ended += 1.0;
            self.took.add(1.0, f64::from(running.task.lasts));
        }
    }

    /// Workers whose time has come are gone, and new ones are ready.
    fn end_workers(&mut self) {
        for number in self.present.clone() {
            let worker = &mut self.workers[number];
            let back = match worker.state {
                State::Stopping(_) if worker.running.is_empty() => Vec::new(),
                State::Stopping(at) if at <= self.now => {
                    let back = std::mem::take(&mut worker.running);
                    self.outcome.handed_back += back.len();
                    self.outcome.wasted +=
                        back.iter().map(|running| f64::from(self.now - running.began)).sum::<f64>();
                    back
                }
                State::Dead(at) if at <= self.now => {
                    let back = std::mem::take(&mut worker.running);
                    self.outcome.lost += back.len();
                    self.left += back.len() as f64;
                    back
                }
                State::Up => {
                    if worker.ready_at == self.now && self.now > 0 {
                        self.free.extend(std::iter::repeat_n(number, self.world.slots));
                    }
                    continue;
                }
                _ => continue,
            };
            worker.state = State::Gone;
            self.waiting.extend(back.into_iter().map(|running| Task { since: self.now, ..running.task }));
        }
        self.present.retain(|number| self.workers[*number].state != State::Gone);
    }

    fn begin_attempts(&mut self) {
        let workers = self.up().count();
        let mut left = (self.world.capacity)(workers);
        while left >= 1.0 && !self.waiting.is_empty() && !self.free.is_empty() {
            let free = self.random.random_range(0..self.free.len());
            let number = self.free.swap_remove(free);
            if self.workers[number].state != State::Up {
                continue;
            }
            let Some(task) = self.waiting.pop_front() else { break };
            self.attempts += 1;
            self.workers[number].running.push(Running { attempt: self.attempts, began: self.now, task });
            self.ends.push(Reverse((self.now + task.lasts, number, self.attempts)));
            self.outcome.waits.push(self.now - task.since);
            left -= 1.0;
        }
    }

    /// Leases that are held: also those of workers that died, until they expire.
    fn running(&self) -> usize {
        self.present.iter().map(|number| self.workers[*number].running.len()).sum()
    }

    fn look(&mut self) {
        let slots =
            self.up().filter(|worker| self.workers[*worker].ready_at <= self.now).count() * self.world.slots;
        let (waiting, running) = (self.waiting.len() as f64, self.running() as f64);
        let look = Look {
            elapsed: Duration::from_secs(LOOK.into()),
            waiting,
            running,
            slots: slots as f64,
            left: std::mem::take(&mut self.left),
            ended: std::mem::take(&mut self.ended),
            took: self.took.mean(),
            open: true,
            cap: None,
            rate: None,
        };
        let signal = self.estimator.look(&look);
        self.shown = match self.world.by {
            By::Signal => signal.map(|signal| signal.needed),
            By::QueueDepth => Some(waiting),
        };
    }

    fn scale(&mut self, autoscaler: &mut Autoscaler) {
        let Some(needed) = self.read else { return };
        let workers = self.up().count();
        let wanted = autoscaler.decide(self.now, needed, workers);
        if wanted == workers {
            return;
        }
        let grows = wanted > workers;
        if grows {
            self.start_workers(wanted - workers, START);
        } else {
            // The newest first, as Kubernetes does.
            let newest: Vec<usize> = self.up().collect();
            for number in newest.into_iter().rev().take(workers - wanted) {
                self.workers[number].state = State::Stopping(self.now + self.world.grace);
            }
        }
        self.outcome.changes += 1;
        let undone = self.last_change.is_some_and(|(at, grew)| grew != grows && at + FLAP > self.now);
        self.outcome.reversals += usize::from(undone);
        self.last_change = Some((self.now, grows));
    }

    fn kill_half(&mut self) {
        let up: Vec<usize> = self.up().collect();
        let lost: Vec<usize> = up.into_iter().step_by(2).collect();
        for number in &lost {
            self.workers[*number].state = State::Dead(self.now + LEASE);
        }
        // Whoever is to see to their number starts as many anew.
        self.start_workers(lost.len(), START);
    }

    fn account(&mut self) {
        let workers = self.up().count();
        // A worker that stops is there as long as it has something to do; one that died is not.
        let alive = |number: &&usize| matches!(self.workers[**number].state, State::Up | State::Stopping(_));
        let alive: Vec<usize> = self.present.iter().filter(alive).copied().collect();
        let busy: usize = alive.iter().map(|number| self.workers[*number].running.len()).sum();
        self.outcome.worker_seconds += alive.len() as f64;
        self.outcome.busy_seconds += busy as f64;
        if self.now % 60 == 59 {
            self.outcome.minutes.push(Minute { workers, busy, waiting: self.waiting.len() });
        }
    }
}

#[cfg(test)]
mod tests;
