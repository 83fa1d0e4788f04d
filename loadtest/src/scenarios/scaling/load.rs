//! What comes in a day.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Exp, LogNormal};

/// A day, in seconds.
pub(super) const DAY: u32 = 86_400;
const HOUR: u32 = 3600;

/// A task that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When, in seconds since the beginning.
    pub(super) at: u32,
    /// How long an attempt takes, in seconds, from 1.
    pub(super) lasts: u32,
}

/// What comes, in order.
pub(super) type Arrivals = Vec<Arrival>;

/// A day of an organisation: in each of nine hours of the night the same number of backups, all within a minute, of which
/// half take no more than 90 s and one of a thousand an hour or longer, and fifty that take about three hours; 5000 short tasks at
/// each full hour; and in the day tasks that people ask for, most of them at noon.
pub(super) fn day(nightly: u32) -> Arrivals {
    // Each run is to have the same day.
    let mut random = SmallRng::seed_from_u64(3_2_1_1_0);
    let mut arrivals = Vec::new();
    let night = (0..4).chain(19..24);
    for hour in night {
        for _ in 0..nightly / 9 {
            arrivals.push(Arrival {
                at: hour * HOUR + random.random_range(0..60),
                lasts: log_normal(&mut random, 90.0, 1.2),
            });
        }
    }
    arrivals.extend(
        (0..50).map(|n| Arrival { at: 22 * HOUR + n, lasts: log_normal(&mut random, 10_800.0, 0.3) }),
    );
    for hour in 0..24 {
        for _ in 0..5000 {
            arrivals.push(Arrival {
                at: hour * HOUR + random.random_range(0..30),
                lasts: log_normal(&mut random, 15.0, 0.5),
            });
        }
    }
    for second in 0..DAY {
        let noon = f64::from(second) / f64::from(DAY) * std::f64::consts::TAU;
        let per_second = 2.0 - 2.0 * noon.cos();
        arrivals.extend(
            (0..poisson(&mut random, per_second))
                .map(|_| Arrival { at: second, lasts: log_normal(&mut random, 10.0, 0.7) }),
        );
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

/// Tasks that come independently of each other, so many a second in the mean, each of which takes about half a minute.
pub(super) fn steady(per_second: f64, seconds: u32) -> Arrivals {
    let mut random = SmallRng::seed_from_u64(1);
    let mut arrivals = Vec::new();
    for at in 0..seconds {
        let come = poisson(&mut random, per_second);
        arrivals.extend((0..come).map(|_| Arrival { at, lasts: log_normal(&mut random, 25.0, 0.6) }));
    }
    arrivals
}

/// How many come in a second: by the times between them.
fn poisson(random: &mut SmallRng, per_second: f64) -> usize {
    let Ok(between) = Exp::new(per_second) else { return 0 };
    let (mut at, mut come) = (between.sample(random), 0);
    while at < 1.0 {
        (at, come) = (at + between.sample(random), come + 1);
    }
    come
}

/// A duration whose median is `median`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a day")]
fn log_normal(random: &mut SmallRng, median: f64, sigma: f64) -> u32 {
    let seconds = LogNormal::new(median.ln(), sigma).map_or(median, |lasts| lasts.sample(random));
    seconds.clamp(1.0, f64::from(DAY)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_load_has_the_rate_that_it_is_to_have() {
        let arrivals = steady(20.0, 10_000);
        assert!((195_000..205_000).contains(&arrivals.len()), "{}", arrivals.len());
        let seconds: u64 = arrivals.iter().map(|arrival| u64::from(arrival.lasts)).sum();
        let mean = seconds as f64 / arrivals.len() as f64;
        assert!((28.0..32.0).contains(&mean), "{mean}");
    }

    #[test]
    fn a_day_has_all_its_tasks_and_is_the_same_each_time() {
        let arrivals = day(90_000);
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let people = arrivals.len() - 90_000 - 50 - 24 * 5000;
        assert!((165_000..180_000).contains(&people), "{people}");
        assert_eq!(arrivals, day(90_000));
    }
}
