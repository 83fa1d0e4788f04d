//! The scaling signal of a pool: how fast its tasks come and end, and how long its slots have to work on what waits.
//!
//! It is estimated from looks at the pool at intervals. Where no look can tell, it is nearer to too many slots than to too few.

use std::time::Duration;

/// The time over which rates are averaged: a look that is so old counts 1/e of the newest.
const MEMORY: Duration = Duration::from_mins(1);
/// The attempts over which their duration is averaged.
const ATTEMPTS: f64 = 200.0;
/// From this duration on an attempt says itself how long it holds a slot. Of shorter ones, claim and record are a part, and so
/// many end that counting them is precise.
const LONG: f64 = 60.0;
/// What an attempt is taken to last before the first one has ended.
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
    /// Slots of all workers, taken or not.
    pub slots: f64,
    /// Attempts that ended since the look before.
    pub ended: f64,
    /// How long these took together, in seconds.
    pub took: f64,
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
    /// For how many seconds slots have to work on what waits, all together; of what the pool's own limits hold back only as
    /// much as may start.
    pub work: f64,
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
    /// Attempts and how long they took together, the older ones forgotten.
    attempts: f64,
    took: f64,
    /// How long an attempt holds a slot, in seconds.
    hold: Option<f64>,
}

impl Estimator {
    /// Takes a look into account. The first one shows what is there, but not yet what comes.
    pub fn look(&mut self, look: &Look) -> Option<Signal> {
        self.learn_duration(look);
        let present = look.waiting + look.running;
        let before = self.present.replace(present)?;
        let seconds = look.elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        // What is there now and was not there before has come, and so has what ended.
        self.arrivals.add((present - before + look.ended) / seconds, look.elapsed);
        self.completions.add(look.ended / seconds, look.elapsed);
        self.running.add(look.running, look.elapsed);
        let hold = self.hold();
        // By Little's law no more than rate × duration are in work at once.
        let most = [look.cap, look.rate.map(|rate| rate * hold)].into_iter().flatten().reduce(f64::min);
        let may_start = most.map_or(f64::INFINITY, |most| (most - look.running).max(0.0));
        let slots = most.map_or(look.slots, |most| most.min(look.slots));
        Some(Signal {
            arrivals: self.arrivals.value().max(0.0),
            completions: self.completions.value(),
            work: look.waiting.min(may_start) * hold,
            drain: if look.waiting > 0.0 { look.waiting * hold / slots } else { 0.0 },
        })
    }

    fn learn_duration(&mut self, look: &Look) {
        if look.ended > 0.0 {
            let kept = (-look.ended / ATTEMPTS).exp();
            self.attempts = self.attempts * kept + look.ended;
            self.took = self.took * kept + look.took;
        }
    }

    /// How long an attempt holds a slot, in seconds: a short one by Little's law, from what ran and what ended.
    fn hold(&mut self) -> f64 {
        if self.attempts <= 0.0 {
            return UNKNOWN;
        }
        let took = self.took / self.attempts;
        let (running, completions) = (self.running.value(), self.completions.value());
        // In a time without any the last that was known holds.
        if took >= LONG {
            self.hold = Some(took);
        } else if completions * MEMORY.as_secs_f64() >= 1.0 {
            self.hold = Some((running / completions).clamp(took, LONG));
        }
        self.hold.unwrap_or(took)
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

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    /// Looks at the same pool for ten minutes.
    fn steady(look: Look) -> Signal {
        let mut estimator = Estimator::default();
        (0..60).fold(None, |_, _| estimator.look(&Look { elapsed: EVERY, ..look })).unwrap()
    }

    #[track_caller]
    fn assert_near(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 0.01 + 1e-9, "{value} instead of {expected}");
    }

    #[test]
    fn what_comes_is_what_ended_and_what_there_is_more() {
        let mut estimator = Estimator::default();
        let mut signal = None;
        for n in 0..60_u32 {
            let waiting = 20.0 * f64::from(n);
            signal = estimator.look(&Look {
                elapsed: EVERY,
                waiting,
                running: 4.0,
                ended: 30.0,
                ..Look::default()
            });
        }
        let signal = signal.unwrap();
        assert_near(signal.arrivals, 5.0);
        assert_near(signal.completions, 3.0);
    }

    #[test]
    fn the_first_look_says_nothing_of_rates() {
        let look = Look { elapsed: EVERY, waiting: 1e6, slots: 1.0, ..Look::default() };
        assert_eq!(Estimator::default().look(&look), None);
    }

    #[test]
    fn a_short_attempt_holds_its_slot_for_longer_than_its_work_takes() {
        // 100 a second, of which 8 are in work at any moment: 80 ms each, of 10 ms of work.
        let look =
            Look { waiting: 1000.0, running: 8.0, slots: 8.0, ended: 1000.0, took: 10.0, ..Look::default() };
        let signal = steady(look);
        assert_near(signal.work, 80.0);
        assert_near(signal.drain, 10.0);
    }

    #[test]
    fn long_attempts_are_known_by_those_that_ended() {
        // One of two hours in ten minutes or so: what ended in the last minute says nothing.
        let mut estimator = Estimator::default();
        let mut signal = None;
        for n in 0..600 {
            let ended = f64::from(u8::from(n % 60 == 0));
            let took = ended * 7200.0;
            let look = Look {
                elapsed: EVERY,
                waiting: 3.0,
                running: 12.0,
                slots: 12.0,
                ended,
                took,
                ..Look::default()
            };
            signal = estimator.look(&look);
        }
        let signal = signal.unwrap();
        assert_near(signal.work, 21_600.0);
        assert_near(signal.drain, 1_800.0);
    }

    #[test]
    fn a_pause_does_not_make_it_forget_how_long_attempts_take() {
        let mut estimator = Estimator::default();
        let busy =
            Look { elapsed: EVERY, running: 10.0, slots: 10.0, ended: 50.0, took: 90.0, ..Look::default() };
        for _ in 0..60 {
            estimator.look(&busy);
        }
        let idle = Look { elapsed: EVERY, slots: 10.0, ..Look::default() };
        for _ in 0..100_000 {
            estimator.look(&idle);
        }
        let signal = estimator.look(&Look { waiting: 100.0, ..idle }).unwrap();
        assert_near(signal.work, 200.0);
        assert_near(signal.drain, 20.0);
    }

    #[test]
    fn before_any_attempt_has_ended_each_is_worth_a_slot_for_a_minute() {
        let signal = steady(Look { waiting: 7.0, slots: 2.0, ..Look::default() });
        assert_near(signal.work, 7.0 * 60.0);
        assert_near(signal.drain, 210.0);
    }

    #[test]
    fn what_a_limit_of_the_pool_holds_back_is_no_work_for_more_slots() {
        let waiting = Look {
            waiting: 500.0,
            running: 20.0,
            slots: 100.0,
            ended: 100.0,
            took: 200.0,
            ..Look::default()
        };
        // Each holds a slot for 2 s.
        assert_near(steady(waiting).work, 1000.0);
        let capped = steady(Look { cap: Some(20.0), ..waiting });
        assert_near(capped.work, 0.0);
        assert_near(capped.drain, 50.0);
        let roomy = steady(Look { cap: Some(25.0), ..waiting });
        assert_near(roomy.work, 10.0);
        // Ten a second keep no more than twenty slots busy.
        assert_near(steady(Look { rate: Some(10.0), ..waiting }).work, 0.0);
        assert_near(steady(Look { rate: Some(15.0), ..waiting }).work, 20.0);
    }

    #[test]
    fn without_slots_nothing_drains() {
        let signal = steady(Look { waiting: 5.0, ..Look::default() });
        assert!(signal.drain.is_infinite());
        assert_near(steady(Look::default()).drain, 0.0);
    }
}
