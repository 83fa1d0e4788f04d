//! Several runs as one figure.

use std::fmt;

/// The median of some runs, with the least and the most of them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of an even number of runs the median is the mean of the middle two; of none everything is 0.
    pub(crate) fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        let mut runs: Vec<f64> = runs.into_iter().collect();
        runs.sort_by(f64::total_cmp);
        let (Some(&least), Some(&most)) = (runs.first(), runs.last()) else {
            return Self { median: 0.0, least: 0.0, most: 0.0 };
        };
        let (low, high) = (runs[(runs.len() - 1) / 2], runs[runs.len() / 2]);
        Self { median: f64::midpoint(low, high), least, most }
    }
}

/// `21,432 (20,100 to 22,801)`; figures below 100 keep two places.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to {})", number(self.median), number(self.least), number(self.most))
    }
}

/// A number for people.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_and_an_even_number_of_runs_have_a_median() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of([]), Spread { median: 0.0, least: 0.0, most: 0.0 });
    }

    #[test]
    fn large_numbers_are_grouped_and_small_ones_keep_two_places() {
        let spread = Spread { median: 21_432.4, least: 0.816, most: 1_000_000.0 };
        assert_eq!(spread.to_string(), "21,432 (0.82 to 1,000,000)");
        assert_eq!(number(-1_234.0), "-1,234");
    }
}
