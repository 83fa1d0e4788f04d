//! Metrics: what a process measures is declared once, with its name, its labels and what it means. From that come the classes of
//! histograms, what scrapers are told, and the list for people (`docs/metrics.md`).
//!
//! Names end with their unit: `_seconds`, `_bytes`; those of counters with `_total`. A label has few values that are known before, and the
//! name of a job or a target only where a setting bounds their number. No task's id is a label.

use linkme::distributed_slice;
use metrics::{describe_counter, describe_gauge, describe_histogram};
use serde_json::{Value, json};

#[doc(hidden)]
pub use linkme;

/// All metrics of the program. Use [`all`], which is sorted.
#[distributed_slice]
pub static METRICS: [&'static Metric];

/// All metrics of the crates that are linked into this program, by name.
#[must_use]
pub fn all() -> Vec<&'static Metric> {
    let mut all: Vec<&Metric> = METRICS.iter().copied().collect();
    all.sort_unstable_by_key(|metric| metric.name);
    all
}

/// The upper ends of classes for what lasts from a moment to a day, in seconds.
pub const LONG: [f64; 20] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0,
    7_200.0, 14_400.0, 43_200.0, 86_400.0,
];
/// The same from what nobody notices to a day, in seconds.
pub const WAIT: [f64; 20] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3_600.0, 14_400.0, 86_400.0,
];
/// The same for what is to be over in moments, in seconds.
pub const SHORT: [f64; 13] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];
/// The same for transactions of many rows, in seconds.
pub const BATCH: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// The upper ends of classes for how many there are in a batch.
pub const SIZES: [f64; 10] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 500.0, 1_000.0, 2_000.0, 3_000.0];

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// How often something happened, since the process began: it only grows.
    Counter,
    /// How something is at this moment.
    Gauge,
    /// How values are spread over classes, with these upper ends.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As Prometheus calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A metric. [`metric!`](crate::metric!) declares it.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its numbers say.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it is, in a sentence.
    pub meaning: &'static str,
    module: &'static str,
}

impl Metric {
    /// How often something happened.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, meaning, module: "" }
    }

    /// How something is.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [&'static str], meaning: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, labels, meaning, module: "" }
    }

    /// How values are spread over classes with these upper ends.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        labels: &'static [&'static str],
        classes: &'static [f64],
        meaning: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Histogram(classes), labels, meaning, module: "" }
    }

    /// Declared there: for [`metric!`](crate::metric!).
    #[must_use]
    pub const fn declared_in(self, module: &'static str) -> Self {
        Self { module, ..self }
    }

    /// The crate that measures it: `shared` for what every process does.
    #[must_use]
    pub fn declared_by(&self) -> &'static str {
        self.module.split("::").next().unwrap_or_default()
    }
}

/// Declares a metric: its name becomes a constant, and it is in [`all`].
///
/// ```
/// use shared::metric::Metric;
///
/// shared::metric!(pub TEAS: Metric::counter("holdfast_teas_total", &["kind"], "Teas that were made, by kind"));
/// assert_eq!(TEAS, "holdfast_teas_total");
/// assert!(shared::metric::all().iter().any(|metric| metric.name == TEAS));
/// ```
#[macro_export]
macro_rules! metric {
    ($(#[$attribute:meta])* $visibility:vis $constant:ident: $metric:expr) => {
        $(#[$attribute])*
        #[doc = "The name of a metric; it is declared with what it means."]
        $visibility const $constant: &str = {
            const METRIC: $crate::metric::Metric = $metric;
            METRIC.name
        };
        const _: () = {
            static METRIC: $crate::metric::Metric = $metric.declared_in(::std::module_path!());
            #[expect(unsafe_code, reason = "the linker gathers the list: no metric can be left out of it")]
            #[$crate::metric::linkme::distributed_slice($crate::metric::METRICS)]
            #[linkme(crate = $crate::metric::linkme)]
            static LISTED: &$crate::metric::Metric = &METRIC;
        };
    };
}

/// Says to the recorder of this process what everything means.
pub fn describe() {
    for metric in all() {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.meaning),
            Kind::Gauge => describe_gauge!(metric.name, metric.meaning),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.meaning),
        }
    }
}

/// What this program measures, for machines: a list of objects with `name`, `kind`, `labels`, `meaning`, and `program`, which is `shared`
/// for what every program measures.
#[must_use]
pub fn document() -> Value {
    let of = |metric: &Metric| {
        let Metric { name, kind, labels, meaning, .. } = metric;
        let program = metric.declared_by();
        json!({ "name": name, "kind": kind.as_str(), "labels": labels, "meaning": meaning, "program": program })
    };
    all().into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_ends_with_what_it_counts_and_every_label_is_a_word() {
        let is_word =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
        for metric in all() {
            let Metric { name, kind, labels, meaning, .. } = metric;
            assert!(is_word(name) && labels.iter().all(|label| is_word(label)), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!meaning.is_empty() && !meaning.ends_with('.'), "{name}");
            if let Kind::Histogram(classes) = kind {
                assert!(classes.is_sorted_by(|one, next| one < next), "{name}");
                assert!(name.ends_with("_seconds") || name.ends_with("_tasks"), "{name}");
            }
        }
    }

    #[test]
    fn no_name_is_declared_twice() {
        let names: Vec<&str> = all().iter().map(|metric| metric.name).collect();
        assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
    }
}
