//! Arbitrary settings of alerts.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use shared::alert::{Rule, Threshold};

use super::{merged, name, present, text};

/// Settings of some of these rules.
pub(super) fn settings(rules: impl Iterator<Item = Rule>) -> BoxedStrategy<Value> {
    let rules: Vec<Rule> = rules.collect();
    let settings: Vec<_> = rules.iter().map(|rule| option::weighted(0.2, setting(*rule))).collect();
    settings
        .prop_map(move |settings| {
            let there =
                rules.iter().zip(settings).filter_map(|(rule, setting)| Some((rule.to_string(), setting?)));
            Value::Object(there.collect())
        })
        .boxed()
}

fn setting(rule: Rule) -> BoxedStrategy<Value> {
    let severity = option::of(select(vec!["info", "warning", "critical"]));
    let thresholds: Vec<_> = rule.thresholds().iter().map(|known| option::of(threshold(*known))).collect();
    (any::<Option<bool>>(), severity, option::of(length()), option::of(length()), thresholds)
        .prop_map(move |(enabled, severity, pending, cooldown, thresholds)| {
            let mut setting = present([
                ("enabled", json!(enabled)),
                ("severity", json!(severity)),
                ("for", json!(pending)),
                ("cooldown", json!(cooldown)),
            ]);
            for (threshold, value) in rule.thresholds().iter().zip(thresholds) {
                if let Some(value) = value {
                    setting[threshold.as_str()] = value;
                }
            }
            setting
        })
        .boxed()
}

fn threshold(threshold: Threshold) -> BoxedStrategy<Value> {
    match threshold {
        Threshold::Failures => (1..=100_u32).prop_map(|failures| json!(failures)).boxed(),
        Threshold::Tasks => (1..=10_000_u32).prop_map(|tasks| json!(tasks)).boxed(),
        Threshold::Below => (0.001..=1.0).prop_map(|share| json!(share)).boxed(),
        Threshold::Spreads => (1.0..=1000.0).prop_map(|spreads| json!(spreads)).boxed(),
        Threshold::ShrunkTo => (0.0..1.0).prop_map(|share| json!(share)).boxed(),
        Threshold::By | Threshold::After | Threshold::Waiting => {
            length().prop_map(|time| json!(time)).boxed()
        }
    }
}

/// No longer than a month.
fn length() -> BoxedStrategy<String> {
    (0..=30 * 24 * 60_u32).prop_map(|minutes| format!("{minutes}m")).boxed()
}

/// Windows for some of these jobs and targets.
pub(super) fn windows(jobs: &[Value], targets: &[Value]) -> BoxedStrategy<Value> {
    let names =
        |definitions: &[Value]| definitions.iter().map(|definition| definition["name"].clone()).collect();
    let (jobs, targets): (Vec<Value>, Vec<Value>) = (names(jobs), names(targets));
    let window = (cron(), 1..7 * 24_u32, any::<bool>(), vec(matcher(jobs, targets), 0..3));
    btree_map(name(), window, 0..3)
        .prop_map(|windows| {
            let written = windows.into_iter().map(|(name, (cron, hours, berlin, matches))| {
                let zone = berlin.then_some("Europe/Berlin");
                let own =
                    json!({ "name": name, "cron": cron, "for": format!("{hours}h"), "matches": matches });
                merged([own, present([("timezone", json!(zone))])])
            });
            written.collect()
        })
        .boxed()
}

fn cron() -> BoxedStrategy<&'static str> {
    select(vec!["0 2 * * *", "@daily", "30 0 2 1 * *"]).boxed()
}

fn matcher(jobs: Vec<Value>, targets: Vec<Value>) -> BoxedStrategy<Value> {
    let owner = text().prop_filter("is a label", |owner| owner.parse::<shared::limit::Label>().is_ok());
    let job = if jobs.is_empty() { Just(None).boxed() } else { option::of(select(jobs)).boxed() };
    let rest = (option::of(owner), option::of(name()), option::of(select(vec!["info", "critical"])));
    (job, option::of(select(targets)), select(Rule::ALL), rest)
        .prop_map(|(job, target, rule, (owner, tag, severity))| {
            present([
                ("job", json!(job)),
                ("target", json!(target)),
                ("rule", json!(rule)),
                ("owner", json!(owner)),
                ("tag", json!(tag)),
                ("severity", json!(severity)),
            ])
        })
        .boxed()
}
