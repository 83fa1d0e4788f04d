//! What the reporter says of itself.

use std::collections::BTreeMap;

/// What a reporter had counted at some time.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads `name{labels} value`, line by line; what is no such line is left out.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with("holdfast_"));
        let values = lines.filter_map(|line| line.rsplit_once(' '));
        Self(values.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect())
    }

    /// What was counted since, in all series of this beginning that have all of these labels.
    fn since(&self, earlier: &Self, name: &str, labels: &[&str]) -> f64 {
        let ours = self.0.iter().filter(|(series, _)| {
            series.split('{').next() == Some(name) && labels.iter().all(|label| series.contains(label))
        });
        ours.map(|(series, value)| value - earlier.0.get(series).copied().unwrap_or_default()).sum()
    }

    /// The share of answers that were kept in memory, of those that are kept at all; `None` where nobody looked.
    pub(super) fn hit_rate(&self, earlier: &Self) -> Option<f64> {
        let count = |labels: &[&str]| self.since(earlier, "holdfast_cache_requests_total", labels);
        let all = count(&["tier=\"memory\""]);
        (all > 0.0).then(|| count(&["tier=\"memory\"", "result=\"hit\""]) / all)
    }

    /// How many milliseconds 95 of 100 statements by which lists and single things are read took at most, between the bounds of the histogram as
    /// Prometheus reckons it; `None` where there were none.
    pub(super) fn statements_p95(&self, earlier: &Self) -> Option<f64> {
        let mut bounds: BTreeMap<u64, f64> = BTreeMap::new();
        for series in self.0.keys().filter(|series| series.starts_with("holdfast_statement_seconds_bucket{"))
        {
            if !series.contains("statement=\"page.") {
                continue;
            }
            let bound = series.split("le=\"").nth(1)?.split('"').next()?;
            let bound: f64 = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            let count = self.0.get(series)? - earlier.0.get(series).copied().unwrap_or_default();
            // The bits of numbers that are not negative are in the order of the numbers.
            *bounds.entry(bound.to_bits()).or_default() += count;
        }
        let bounds = bounds.into_iter().map(|(bits, count)| (f64::from_bits(bits) * 1e3, count));
        quantile(0.95, &bounds.collect::<Vec<_>>())
    }
}

/// As Prometheus reckons it: evenly spread within each class. `bounds` are upper ends, each with how many are at or below it.
fn quantile(share: f64, bounds: &[(f64, f64)]) -> Option<f64> {
    let (_, all) = *bounds.last()?;
    let wanted = share * all;
    let place = bounds.iter().position(|(_, count)| *count >= wanted && *count > 0.0)?;
    let (below, before) = if place == 0 { (0.0, 0.0) } else { bounds[place - 1] };
    let (bound, count) = bounds[place];
    if bound.is_infinite() {
        return Some(below);
    }
    Some(below + (bound - below) * (wanted - before) / (count - before).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE holdfast_cache_requests_total counter
holdfast_cache_requests_total{entity=\"jobs\",tier=\"memory\",result=\"hit\"} 10
holdfast_statement_seconds_bucket{statement=\"page.jobs\",le=\"0.01\"} 100\n";
    const AFTER: &str = "HTTP/1.1 200 OK
holdfast_cache_requests_total{entity=\"jobs\",tier=\"memory\",result=\"hit\"} 16
holdfast_cache_requests_total{entity=\"jobs\",tier=\"memory\",result=\"miss\"} 2
holdfast_cache_requests_total{entity=\"jobs\",tier=\"redis\",result=\"hit\"} 2
holdfast_statement_seconds_bucket{statement=\"page.jobs\",le=\"0.01\"} 190
holdfast_statement_seconds_bucket{statement=\"page.jobs\",le=\"0.02\"} 200
holdfast_statement_seconds_bucket{statement=\"page.jobs\",le=\"+Inf\"} 200
holdfast_statement_seconds_bucket{statement=\"rollup.add\",le=\"+Inf\"} 200\n";

    #[test]
    fn what_was_counted_since_is_what_counts() {
        let (before, after) = (Metrics::read(BEFORE), Metrics::read(AFTER));
        assert!((after.hit_rate(&before).unwrap() - 0.75).abs() < 1e-9);
        assert_eq!(after.hit_rate(&after), None);
    }

    #[test]
    fn a_quantile_lies_within_its_class() {
        let after = Metrics::read(AFTER);
        let p95 = after.statements_p95(&Metrics::default()).unwrap();
        assert!((p95 - 10.0).abs() < 1e-9, "{p95}");
        let p95 = quantile(0.95, &[(10.0, 90.0), (20.0, 100.0), (f64::INFINITY, 100.0)]).unwrap();
        assert!((p95 - 15.0).abs() < 1e-9, "{p95}");
        assert_eq!(quantile(0.95, &[(10.0, 0.0), (f64::INFINITY, 0.0)]), None);
    }
}
