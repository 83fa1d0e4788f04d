//! How many workers there are to be, as the horizontal autoscaler of Kubernetes decides it with its defaults, also behind KEDA:
//! <https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details>.

use std::collections::VecDeque;

/// How often it decides, in seconds.
pub(super) const EVERY: u32 = 15;
/// It leaves everything as it is while the signal is so near to what there is.
const TOLERANCE: f64 = 0.1;
/// It takes workers away only when none of its decisions of so many seconds wanted more.
const STABLE: u32 = 300;
/// It starts at most as many as there are in one step, or so many.
const AT_ONCE: usize = 4;

/// The autoscaler of one pool.
#[derive(Debug)]
pub(super) struct Autoscaler {
    slots: f64,
    least: usize,
    most: usize,
    /// What it wanted lately, and when.
    wanted: VecDeque<(u32, usize)>,
}

impl Autoscaler {
    /// One for workers with so many slots each.
    pub(super) fn new(slots: usize, least: usize, most: usize) -> Self {
        Self { slots: slots as f64, least, most, wanted: VecDeque::new() }
    }

    /// How many workers there are to be instead of `workers`, at a time in seconds, when so many slots are needed.
    pub(super) fn decide(&mut self, now: u32, needed: f64, workers: usize) -> usize {
        let ratio = needed / (self.slots * workers as f64);
        let wanted = if (ratio - 1.0).abs() <= TOLERANCE { workers } else { whole(needed / self.slots) };
        let wanted = wanted.clamp(self.least, self.most);
        self.wanted.push_back((now, wanted));
        self.wanted.retain(|(then, _)| then + STABLE > now);
        if wanted > workers {
            return wanted.min(workers + workers.max(AT_ONCE));
        }
        let lately = self.wanted.iter().map(|(_, wanted)| *wanted).max();
        lately.map_or(workers, |lately| lately.min(workers))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn whole(value: f64) -> usize {
    value.ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_once_what_is_needed_but_at_most_doubles() {
        let mut autoscaler = Autoscaler::new(8, 1, 1000);
        assert_eq!(autoscaler.decide(0, 8.0 * 20.0, 1), 5);
        assert_eq!(autoscaler.decide(15, 8.0 * 20.0, 5), 10);
        assert_eq!(autoscaler.decide(30, 8.0 * 20.0, 10), 20);
        assert_eq!(autoscaler.decide(45, 8.0 * 20.0, 20), 20);
        assert_eq!(autoscaler.decide(60, f64::INFINITY, 800), 1000);
    }

    #[test]
    fn it_takes_away_only_what_was_not_wanted_for_five_minutes() {
        let mut autoscaler = Autoscaler::new(8, 1, 1000);
        assert_eq!(autoscaler.decide(0, 8.0 * 20.0, 20), 20);
        for now in (15..300).step_by(15) {
            assert_eq!(autoscaler.decide(now, 8.0 * 10.0, 20), 20, "after {now} s");
        }
        assert_eq!(autoscaler.decide(300, 8.0 * 10.0, 20), 10);
    }

    #[test]
    fn a_small_difference_changes_nothing() {
        let mut autoscaler = Autoscaler::new(8, 1, 1000);
        assert_eq!(autoscaler.decide(0, 8.0 * 21.9, 20), 20);
        assert_eq!(autoscaler.decide(15, 8.0 * 22.1, 20), 23);
    }
}
