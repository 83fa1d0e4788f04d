//! The scaling signal of a pool: how fast its tasks come and end, how many slots they need, and how long they wait.
//!
//! It is estimated from looks at the pool at intervals. Where no look can tell, it is nearer to too many slots than to too few.

use std::time::Duration;

/// Within which time all that waits is to have begun, in seconds.
pub const WITHIN: f64 = 300.0;
/// The time over which rates are averaged: a look that is so old counts 1/e of the newest.
const MEMORY: Duration = Duration::from_mins(1);
/// From this duration on an attempt says itself how long it holds a slot, in seconds. Of shorter ones claim and record are a part,
/// and so many end that counting them is precise.
const LONG: f64 = 5.0;
/// What an attempt is taken to last before the first one has ended, in seconds.
const UNKNOWN: f64 = 60.0;

/// What a pool is like at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Look {
    /// Since the look before.
    pub elapsed: Duration,
    /// Tasks that wait for a slot.
    pub waiting: f64,
    /// Tasks that run.
    pub running: f64,
    /// Slots of all workers that may be given out, taken or not.
    pub slots: f64,
    /// Tasks that left the pool since the look before, in whatever way.
    pub left: f64,
    /// Attempts among them that came to an end of their own.
    pub ended: f64,
    /// How long the last of these took in the mean, in seconds.
    pub took: Option<f64>,
    /// People let new workers start tasks.
    pub open: bool,
    /// How many may run at once, whatever slots there are.
    pub cap: Option<f64>,
    /// How many may start in a second.
    pub rate: Option<f64>,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    /// Tasks that come to wait for a slot, in a second.
    pub arrivals: f64,
    /// Attempts that end, in a second.
    pub completions: f64,
    /// The slots that are needed: those in which tasks run, and as many more as have all that waits begin within [`WITHIN`], at
    /// most one for each task. What the pool's own limits, or people, hold back needs none.
    pub needed: f64,
    /// In how many seconds the last that waits now has begun, with the slots that there are; infinite without any.
    pub drain: f64,
}

/// Averages over looks.
#[derive(Debug, Clone, Default)]
pub struct Estimator {
    /// Tasks that waited or ran at the last look.
    present: Option<f64>,
    arrivals: Average,
    completions: Average,
    running: Average,
    /// How long a short attempt held a slot when that was known last, in seconds.
    hold: Option<f64>,
}

impl Estimator {
    /// Takes a look into account. The first one shows what is there, but not yet what comes.
    pub fn look(&mut self, look: &Look) -> Option<Signal> {
        let present = look.waiting + look.running;
        let before = self.present.replace(present)?;
        let seconds = look.elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        // What is there now and was not there before has come, and so has what left. An estimate that was corrected has not.
        self.arrivals.add(((present - before + look.left) / seconds).max(0.0), look.elapsed);
        self.completions.add(look.ended / seconds, look.elapsed);
        self.running.add(look.running, look.elapsed);
        let hold = self.hold(look.took);
        // By Little's law no more than rate × duration are in work at once.
        let most = [look.cap, look.rate.map(|rate| rate * hold)].into_iter().flatten().reduce(f64::min);
        let room = most.map_or(f64::INFINITY, |most| (most - look.running).max(0.0));
        let more = if look.open { look.waiting.min(room) * (hold / WITHIN).min(1.0) } else { 0.0 };
        let slots = most.map_or(look.slots, |most| most.min(look.slots));
        let drain = match look.waiting {
            waiting if waiting <= 0.0 => 0.0,
            _ if slots <= 0.0 => f64::INFINITY,
            waiting => waiting * hold / slots,
        };
        Some(Signal {
            arrivals: self.arrivals.value(),
            completions: self.completions.value(),
            needed: look.running + more,
            drain,
        })
    }

    /// How long an attempt holds a slot, in seconds: a short one by Little's law, from what ran and what ended.
    fn hold(&mut self, took: Option<f64>) -> f64 {
        let Some(took) = took else { return UNKNOWN };
        if took >= LONG {
            self.hold = None;
            return took;
        }
        let (running, completions) = (self.running.value(), self.completions.value());
        // In a time without any the last that was known holds.
        if completions * MEMORY.as_secs_f64() >= 1.0 {
            self.hold = Some(running / completions);
        }
        self.hold.unwrap_or(took).clamp(took, LONG)
    }
}

/// An exponentially weighted average over time that does not lean towards zero at its beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Average {
    sum: f64,
    weight: f64,
}

impl Average {
    fn add(&mut self, value: f64, elapsed: Duration) {
        let kept = (-elapsed.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.sum = self.sum * kept + value * (1.0 - kept);
        self.weight = self.weight * kept + (1.0 - kept);
    }

    fn value(&self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// A mean over about the last so many things, however many came together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recent {
    most: f64,
    weight: f64,
    sum: f64,
}

impl Recent {
    /// Over about the last `most`.
    #[must_use]
    pub const fn new(most: f64) -> Self {
        Self { most, weight: 0.0, sum: 0.0 }
    }

    /// Adds some with their mean.
    pub fn add(&mut self, number: f64, mean: f64) {
        let number = number.min(self.most);
        let kept = (-number / self.most).exp();
        self.weight = self.weight * kept + number;
        self.sum = self.sum * kept + number * mean;
    }

    /// Their mean; `None` before there was any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);
    const POOL: Look = Look {
        elapsed: EVERY,
        waiting: 0.0,
        running: 0.0,
        slots: 0.0,
        left: 0.0,
        ended: 0.0,
        took: None,
        open: true,
        cap: None,
        rate: None,
    };

    /// Looks at the same pool for ten minutes.
    fn steady(look: Look) -> Signal {
        let mut estimator = Estimator::default();
        (0..60).fold(None, |_, _| estimator.look(&look)).unwrap()
    }

    #[track_caller]
    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 0.01 + 1e-9, "{value} instead of {expected}");
    }

    #[test]
    fn what_comes_is_what_left_and_what_there_is_more() {
        let mut estimator = Estimator::default();
        let mut signal = None;
        for n in 0..60_u32 {
            let waiting = 20.0 * f64::from(n);
            signal = estimator.look(&Look { waiting, running: 4.0, left: 30.0, ended: 25.0, ..POOL });
        }
        let signal = signal.unwrap();
        assert_near(signal.arrivals, 5.0);
        assert_near(signal.completions, 2.5);
    }

    #[test]
    fn an_estimate_that_was_corrected_hides_no_arrivals() {
        let mut estimator = Estimator::default();
        let mut arrivals = 0.0;
        for n in 0..60 {
            // Half of the way through, the messages turn out to hold less than was thought.
            let waiting = if n < 30 { 1e6 } else { 10.0 };
            let signal = estimator.look(&Look { waiting, left: 50.0, ended: 50.0, ..POOL });
            arrivals = signal.map_or(0.0, |signal| signal.arrivals);
        }
        assert_near(arrivals, 5.0);
    }

    #[test]
    fn the_first_look_says_nothing_of_rates() {
        let look = Look { waiting: 1e6, slots: 1.0, ..POOL };
        assert_eq!(Estimator::default().look(&look), None);
    }

    #[test]
    fn a_short_attempt_holds_its_slot_for_longer_than_its_work_takes() {
        // 100 a second, of which 8 are in work at any moment: 80 ms each, of 10 ms of work.
        let signal = steady(Look {
            waiting: 30_000.0,
            running: 8.0,
            slots: 8.0,
            ended: 1000.0,
            took: Some(0.01),
            ..POOL
        });
        assert_near(signal.needed, 8.0 + 8.0);
        assert_near(signal.drain, 300.0);
    }

    #[test]
    fn a_task_needs_no_more_than_one_slot_however_long_it_takes() {
        let long = Look { waiting: 3.0, running: 12.0, slots: 12.0, ended: 0.2, took: Some(7200.0), ..POOL };
        let signal = steady(long);
        assert_near(signal.needed, 15.0);
        assert_near(signal.drain, 1_800.0);
        // Nor more than may run at once.
        assert_near(steady(Look { waiting: 500.0, cap: Some(20.0), ..long }).needed, 20.0);
    }

    #[test]
    fn a_pause_does_not_make_it_forget_how_long_attempts_take() {
        let mut estimator = Estimator::default();
        let busy = Look { running: 10.0, slots: 10.0, ended: 50.0, took: Some(1.8), ..POOL };
        for _ in 0..60 {
            estimator.look(&busy);
        }
        let idle = Look { slots: 10.0, took: Some(1.8), ..POOL };
        for _ in 0..100_000 {
            estimator.look(&idle);
        }
        let signal = estimator.look(&Look { waiting: 150.0, ..idle }).unwrap();
        assert_near(signal.needed, 1.0);
        assert_near(signal.drain, 30.0);
        // What is longer now is not taken for shorter than it is.
        let longer = estimator.look(&Look { waiting: 150.0, took: Some(50.0), ..idle }).unwrap();
        assert_near(longer.drain, 750.0);
    }

    #[test]
    fn before_any_attempt_has_ended_each_is_worth_a_slot_for_a_minute() {
        let signal = steady(Look { waiting: 10.0, slots: 2.0, ..POOL });
        assert_near(signal.needed, 2.0);
        assert_near(signal.drain, 300.0);
    }

    #[test]
    fn what_a_limit_of_the_pool_holds_back_needs_no_slots() {
        // Each holds a slot for 2 s.
        let waiting =
            Look { waiting: 3000.0, running: 20.0, slots: 100.0, ended: 100.0, took: Some(2.0), ..POOL };
        assert_near(steady(waiting).needed, 40.0);
        let capped = steady(Look { cap: Some(20.0), ..waiting });
        assert_near(capped.needed, 20.0);
        assert_near(capped.drain, 300.0);
        assert_near(steady(Look { cap: Some(170.0), ..waiting }).needed, 21.0);
        // Ten a second keep no more than twenty slots busy.
        assert_near(steady(Look { rate: Some(10.0), ..waiting }).needed, 20.0);
        assert_near(steady(Look { rate: Some(85.0), ..waiting }).needed, 21.0);
    }

    #[test]
    fn a_closed_pool_needs_what_runs_and_drains_with_the_slots_that_are_open_all_the_same() {
        let one_goes_on = Look {
            open: false,
            waiting: 50.0,
            running: 4.0,
            slots: 4.0,
            ended: 20.0,
            took: Some(2.0),
            ..POOL
        };
        let signal = steady(one_goes_on);
        assert_near(signal.needed, 4.0);
        assert_near(signal.drain, 25.0);
    }

    #[test]
    fn without_slots_nothing_drains_whatever_is_known() {
        for took in [None, Some(0.0), Some(10.0)] {
            assert!(steady(Look { waiting: 5.0, took, ..POOL }).drain.is_infinite());
            assert_near(steady(Look { took, ..POOL }).drain, 0.0);
        }
    }

    #[test]
    fn a_mean_of_the_last_ones_forgets_a_long_history_as_soon_as_a_short_one() {
        for history in [1_000.0, 1e9] {
            let mut recent = Recent::new(200.0);
            assert_eq!(recent.mean(), None);
            recent.add(history, 50.0);
            assert_eq!(recent.mean(), Some(50.0));
            for _ in 0..1000 {
                recent.add(1.0, 1.0);
            }
            let mean = recent.mean().unwrap();
            assert!((1.0..2.0).contains(&mean), "{mean} after {history}");
        }
    }
}
