//! How strict the rules of alerts are, as users write it.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::alert::{Rule, Setting, Threshold};

use super::fields::{Fields, Located};
use super::node::Value;
use super::values::{count, duration, number, parsed, truth};

/// Reads a mapping from rules to their settings, each with its place; only these rules may be there.
pub(super) fn read(
    mut fields: Fields<'_, '_>,
    rules: impl Fn(Rule) -> bool,
) -> Vec<(Located<Rule>, Setting)> {
    let mut settings = Vec::new();
    for &rule in Rule::ALL.iter().filter(|rule| rules(**rule)) {
        if let Some(below) = fields.optional_below(rule.as_str()) {
            let at = below.at().clone();
            settings.extend(setting(below, rule).map(|setting| (Located { value: rule, at }, setting)));
        }
    }
    fields.finish();
    settings
}

/// Reads what a job says of the rules that are about jobs.
pub(super) fn of_job(fields: Fields<'_, '_>) -> BTreeMap<Rule, Setting> {
    let settings = read(fields, Rule::is_of_jobs).into_iter();
    settings.map(|(rule, setting)| (rule.value, setting)).collect()
}

fn setting(mut fields: Fields<'_, '_>, rule: Rule) -> Option<Setting> {
    let before = fields.problems();
    let mut setting = Setting {
        enabled: fields.optional("enabled", truth),
        severity: fields.optional("severity", parsed),
        pending: fields.optional("for", time),
        cooldown: fields.optional("cooldown", time),
        ..Setting::default()
    };
    for threshold in rule.thresholds() {
        let key = threshold.as_str();
        match threshold {
            Threshold::Failures => setting.failures = fields.optional(key, failures),
            Threshold::Below => setting.below = fields.optional(key, below),
            Threshold::Tasks => setting.tasks = fields.optional(key, tasks),
            Threshold::Spreads => setting.spreads = fields.optional(key, spreads),
            Threshold::ShrunkTo => setting.shrunk_to = fields.optional(key, shrunk_to),
            Threshold::By => setting.by = fields.optional(key, time),
            Threshold::After => setting.after = fields.optional(key, time),
            Threshold::Waiting => setting.waiting = fields.optional(key, time),
        }
    }
    let fine = fields.problems() == before;
    fields.finish();
    fine.then_some(setting)
}

fn time(value: &Value) -> Result<Duration, String> {
    let time = duration(value)?;
    if time > Setting::LONGEST { Err("is longer than 30d".to_owned()) } else { Ok(time) }
}

fn failures(value: &Value) -> Result<u32, String> {
    let failures = count(value)?;
    if (1..=100).contains(&failures) { Ok(failures) } else { Err("is not from 1 to 100".to_owned()) }
}

fn tasks(value: &Value) -> Result<u32, String> {
    let tasks = count(value)?;
    if (1..=10_000).contains(&tasks) { Ok(tasks) } else { Err("is not from 1 to 10000".to_owned()) }
}

fn below(value: &Value) -> Result<f64, String> {
    let share = number(value)?;
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err("is not above 0 and up to 1".to_owned()) }
}

fn spreads(value: &Value) -> Result<f64, String> {
    let spreads = number(value)?;
    if (1.0..=1000.0).contains(&spreads) { Ok(spreads) } else { Err("is not from 1 to 1000".to_owned()) }
}

fn shrunk_to(value: &Value) -> Result<f64, String> {
    let share = number(value)?;
    if (0.0..1.0).contains(&share) { Ok(share) } else { Err("is not from 0 to less than 1".to_owned()) }
}
