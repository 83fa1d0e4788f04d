//! How fast the child may read and write: each repository's traffic waits for its turn.
//!
//! The engine moves whole packs, so a turn is taken on credit: whatever goes through is paid off before the next begins, and
//! before the child ends. Over any stretch of time no more goes through than the speed allows and one piece for each thread of
//! the engine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::protocol::Speeds;

/// How often a turn that is waited for is looked at: the speed may have changed.
const EVERY: Duration = Duration::from_millis(100);
/// What an idle repository saves up, in seconds of its speed.
const SAVED: f64 = 0.2;

/// The throttles of this process by their repositories' locations.
static THROTTLES: Mutex<BTreeMap<String, Arc<Throttle>>> = Mutex::new(BTreeMap::new());

/// The traffic of one repository.
#[derive(Debug)]
pub struct Throttle(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Bytes a second; without end when absent.
    speed: Option<u64>,
    /// Bytes that may go through now; negative while something is paid off.
    credit: f64,
    at: Instant,
}

impl Throttle {
    fn new() -> Self {
        Self(Mutex::new(State { speed: None, credit: 0.0, at: Instant::now() }))
    }

    /// Waits until what went through before is paid off.
    pub fn wait(&self) {
        while let Some(wait) = self.lock().wait(Instant::now()) {
            thread::sleep(wait.min(EVERY));
        }
    }

    /// Notes what goes through.
    pub fn charge(&self, bytes: usize) {
        self.lock().credit -= bytes as f64;
    }

    fn set(&self, speed: Option<u64>) {
        let mut state = self.lock();
        state.wait(Instant::now());
        state.speed = speed;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long it takes until everything is paid off, if it is not.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.at, now)).as_secs_f64();
        let Some(speed) = self.speed.map(|speed| speed.max(1) as f64) else {
            self.credit = 0.0;
            return None;
        };
        self.credit = (self.credit + passed * speed).min(speed * SAVED);
        (self.credit < 0.0).then(|| Duration::try_from_secs_f64(-self.credit / speed).unwrap_or(EVERY))
    }
}

/// The throttle of a repository.
pub fn of(location: &str) -> Arc<Throttle> {
    throttles().entry(location.to_owned()).or_insert_with(|| Arc::new(Throttle::new())).clone()
}

/// Waits until everything that went through is paid off, so that many short operations are no faster than a long one.
pub fn settle() {
    let all: Vec<Arc<Throttle>> = throttles().values().cloned().collect();
    for throttle in all {
        throttle.wait();
    }
}

/// Sets all speeds; repositories that are not among them are as fast as they can be.
pub fn set(speeds: &Speeds) {
    for location in speeds.keys() {
        of(location);
    }
    for (location, throttle) in &*throttles() {
        throttle.set(speeds.get(location).copied());
    }
}

fn throttles() -> MutexGuard<'static, BTreeMap<String, Arc<Throttle>>> {
    THROTTLES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(speed: Option<u64>) -> (State, Instant) {
        let at = Instant::now();
        (State { speed, credit: 0.0, at }, at)
    }

    #[test]
    fn what_went_through_is_paid_off_before_more_does() {
        let (mut state, start) = state(Some(1000));
        assert_eq!(state.wait(start), None);
        state.credit -= 3000.0;
        assert_eq!(state.wait(start + SECOND), Some(2 * SECOND));
        assert_eq!(state.wait(start + 3 * SECOND), None);
    }

    #[test]
    fn a_pause_saves_up_no_more_than_a_moment() {
        let (mut state, start) = state(Some(1000));
        assert_eq!(state.wait(start + 1000 * SECOND), None);
        state.credit -= 1200.0;
        assert_eq!(state.wait(start + 1000 * SECOND), Some(SECOND));
    }

    #[test]
    fn another_speed_counts_from_now_on_and_none_forgives_the_rest() {
        let (mut state, start) = state(Some(1000));
        state.credit -= 10_000.0;
        state.speed = Some(10_000);
        assert_eq!(state.wait(start + SECOND / 2), Some(SECOND / 2));
        state.speed = None;
        assert_eq!(state.wait(start + SECOND / 2), None);
    }
}
