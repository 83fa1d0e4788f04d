//! Whoever fails to show a good token again and again is not heard for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Failures after which somebody is locked out.
pub const MOST_FAILURES: u32 = 10;
/// How long: from the last failure on.
pub const LOCKED: Duration = Duration::from_mins(5);
/// The most that are remembered: beyond that, those that failed longest ago are forgotten.
const MOST_REMEMBERED: usize = 10_000;

/// Who fails: an address, and the token that it claims to have. So a wrong secret locks out neither the token's holder elsewhere nor
/// other tokens behind the same gateway.
pub type Claimant = (IpAddr, Uuid);

/// Failures so far, in this process.
#[derive(Debug, Default)]
pub struct Lockout(Mutex<HashMap<Claimant, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Lockout {
    /// How long somebody is still not heard.
    pub fn remaining(&self, who: &Claimant, now: Instant) -> Option<Duration> {
        let failures = *self.lock().get(who)?;
        let ends = failures.last + LOCKED;
        (failures.count >= MOST_FAILURES && ends > now).then(|| ends - now)
    }

    /// Notes a failure.
    pub fn failed(&self, who: Claimant, now: Instant) {
        let mut all = self.lock();
        if all.len() >= MOST_REMEMBERED && !all.contains_key(&who) {
            all.retain(|_, failures| failures.last + LOCKED > now);
            let oldest = all.iter().min_by_key(|(_, failures)| failures.last).map(|(who, _)| *who);
            if let Some(oldest) = oldest.filter(|_| all.len() >= MOST_REMEMBERED) {
                all.remove(&oldest);
            }
        }
        let failures = all.entry(who).or_insert(Failures { count: 0, last: now });
        if failures.last + LOCKED <= now {
            failures.count = 0;
        }
        *failures = Failures { count: failures.count + 1, last: now };
    }

    /// Forgets the failures of somebody who has shown a good token.
    pub fn succeeded(&self, who: &Claimant) {
        self.lock().remove(who);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Claimant, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn claimant(number: u8, token: Uuid) -> Claimant {
        (Ipv4Addr::new(10, 0, 0, number).into(), token)
    }

    #[test]
    fn after_too_many_failures_nobody_is_heard_for_a_while_but_others_are() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        let token = Uuid::now_v7();
        for _ in 1..MOST_FAILURES {
            lockout.failed(claimant(1, token), now);
            assert_eq!(lockout.remaining(&claimant(1, token), now), None);
        }
        lockout.failed(claimant(1, token), now);
        assert_eq!(lockout.remaining(&claimant(1, token), now), Some(LOCKED));
        for other in [claimant(2, token), claimant(1, Uuid::now_v7())] {
            assert_eq!(lockout.remaining(&other, now), None);
        }
        let later = now + LOCKED;
        assert_eq!(lockout.remaining(&claimant(1, token), later), None);
        lockout.failed(claimant(1, token), later);
        assert_eq!(lockout.remaining(&claimant(1, token), later), None, "it counts anew");
    }

    #[test]
    fn a_good_token_ends_the_count() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for _ in 1..MOST_FAILURES {
            lockout.failed(claimant(1, Uuid::nil()), now);
        }
        lockout.succeeded(&claimant(1, Uuid::nil()));
        lockout.failed(claimant(1, Uuid::nil()), now);
        assert_eq!(lockout.remaining(&claimant(1, Uuid::nil()), now), None);
    }

    #[test]
    fn only_so_many_are_remembered_and_those_that_failed_last_are() {
        let (lockout, now) = (Lockout::default(), Instant::now());
        for number in 0..MOST_REMEMBERED + 10 {
            let at = now + Duration::from_micros(number as u64);
            lockout.failed(claimant(1, Uuid::from_u128(number as u128)), at);
        }
        assert_eq!(lockout.lock().len(), MOST_REMEMBERED);
        assert!(!lockout.lock().contains_key(&claimant(1, Uuid::from_u128(0))));
    }
}
