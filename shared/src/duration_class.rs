//! Classes of duration: a histogram that is merged by adding counts, with percentiles that are off by 5 % at the most.
//!
//! The classes are logarithmic, those of `DDSketch` (Masson, Rim and Lee: "A Fast and Fully-Mergeable Quantile Sketch with
//! Relative-Error Guarantees", VLDB 2019): with a relative error of α, class i holds what is above γ^(i-1) and up to γ^i, where
//! γ = (1 + α) / (1 - α), and stands for 2 γ^i / (γ + 1). Here α is 1/20, and lengths are counted in milliseconds: up to one
//! they are in class 0. A week is in class 203.

use std::collections::BTreeMap;

use crate::name::id_type;

/// The ratio of the ends of a class: (1 + 1/20) / (1 - 1/20).
const GAMMA: f64 = 21.0 / 19.0;
/// The upper end of class 0, in seconds.
const LEAST: f64 = 0.001;

/// The class of a duration `seconds` in SQL; what is no length of time, or longer than 30 years, is taken for 30 years.
pub(crate) const IN_SQL: &str = "case when seconds > 0.001
     then ceil(ln(least(seconds, 1e9) / 0.001) / ln(21::float8 / 19))::smallint else 0::smallint end";

id_type! {
    /// A class of duration, from 0.
    DurationClass(i16)
}

impl DurationClass {
    /// What the class stands for, in seconds: each duration in it differs by 5 % at the most. Those of class 0 count as a millisecond.
    #[must_use]
    pub fn seconds(self) -> f64 {
        if self.0 <= 0 { LEAST } else { LEAST * 2.0 * GAMMA.powi(i32::from(self.0)) / (GAMMA + 1.0) }
    }
}

/// How many attempts there are in each class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<DurationClass, u64>);

impl Histogram {
    /// Counts so many more attempts in a class.
    pub fn add(&mut self, class: DurationClass, count: u64) {
        *self.0.entry(class).or_default() += count;
    }

    /// The duration that a share of all attempts does not exceed, in seconds, to within 5 %; the share is from 0 to 1. `None` without
    /// attempts.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let all: u64 = self.0.values().sum();
        let rank = (share.clamp(0.0, 1.0) * all as f64).ceil().max(1.0);
        let mut below = 0;
        let class = self.0.iter().find(|(_, count)| {
            below += **count;
            below as f64 >= rank
        });
        class.map(|(class, _)| class.seconds())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The class of a duration, as the database computes it.
    fn class(seconds: f64) -> DurationClass {
        let class = if seconds > LEAST { ((seconds / LEAST).ln() / GAMMA.ln()).ceil() } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a class of less than 30 years is below 300")]
        DurationClass(class as i16)
    }

    fn histogram(seconds: &[f64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &seconds in seconds {
            histogram.add(class(seconds), 1);
        }
        histogram
    }

    /// The smallest duration that the share does not exceed.
    fn exact(seconds: &mut [f64], share: f64) -> f64 {
        seconds.sort_by(f64::total_cmp);
        let rank = (share * seconds.len() as f64).ceil().max(1.0);
        let below = |(place, _): &(usize, &f64)| (*place as f64) + 1.0 >= rank;
        *seconds.iter().enumerate().find(below).unwrap().1
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_5_percent_of_the_exact_one(
            logarithms in prop::collection::vec(-6.9_f64..16.0, 1..200), share in 0.0_f64..=1.0,
        ) {
            let mut seconds: Vec<f64> = logarithms.iter().map(|logarithm| logarithm.exp()).collect();
            let found = histogram(&seconds).percentile(share).unwrap();
            let exact = exact(&mut seconds, share);
            prop_assert!((found - exact).abs() <= 0.050_001 * exact, "{found} for {exact}");
        }

        #[test]
        fn histograms_are_merged_by_adding_counts(seconds in prop::collection::vec(0.0_f64..1e6, 2..50)) {
            let (some, others) = seconds.split_at(seconds.len() / 2);
            let mut merged = histogram(some);
            for (class, count) in histogram(others).0 {
                merged.add(class, count);
            }
            prop_assert_eq!(merged, histogram(&seconds));
        }
    }

    #[test]
    fn without_attempts_there_is_no_percentile() {
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn what_takes_less_than_a_millisecond_counts_as_one() {
        assert_eq!(histogram(&[0.0, 0.000_01, 0.001]).percentile(1.0), Some(LEAST));
    }

    #[test]
    fn the_classes_are_those_of_the_statement() {
        assert!(IN_SQL.contains("> 0.001") && IN_SQL.contains("21::float8 / 19"), "{IN_SQL}");
        assert_eq!((class(0.001_001), class(7.0 * 86_400.0)), (DurationClass(1), DurationClass(203)));
    }
}
