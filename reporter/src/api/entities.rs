//! All that there are lists of, one file each.

mod alerts;
mod audit;
mod dead_tasks;
mod evidence;
mod executions;
mod jobs;
mod pools;
mod reports;
mod restore_points;
mod schedules;
mod targets;
mod verdicts;
mod workers;

use super::Entity;

/// All of them.
pub static ALL: &[&Entity] = &[
    &alerts::ENTITY,
    &audit::ENTITY,
    &dead_tasks::ENTITY,
    &evidence::ENTITY,
    &executions::ENTITY,
    &jobs::ENTITY,
    &pools::ENTITY,
    &reports::ENTITY,
    &restore_points::ENTITY,
    &schedules::ENTITY,
    &targets::ENTITY,
    &verdicts::ENTITY,
    &workers::ENTITY,
];

/// The kinds of tasks.
const KINDS: &[&str] =
    &["backup", "copy", "verify", "restore", "probe", "forget", "report", "maintain", "record"];
/// What comes of attempts.
const OUTCOMES: &[&str] = &["success", "warning", "failed", "timed_out", "cancelled", "lost"];
/// The five rules.
const RULES: &[&str] = &["3-copies", "2-media", "1-offsite", "1-isolated", "0-errors"];
/// What rules answer.
const ANSWERS: &[&str] = &["pass", "warning", "fail", "unknown"];
/// The reports.
const REPORTS: &[&str] = &["daily", "weekly", "monthly", "compliance", "audit"];
/// How bad alerts are.
const SEVERITIES: &[&str] = &["info", "warning", "critical"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shared::alert::Severity;
    use shared::compliance::{Answer, Rule};
    use shared::db::page::By;
    use shared::task::{Outcome, TaskKind};
    use shared::work::ReportKind;

    use super::*;

    #[test]
    fn words_are_those_of_the_types() {
        let sorted = |words: &[&'static str]| words.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(sorted(KINDS), TaskKind::ALL.iter().map(|kind| kind.as_str()).collect());
        assert_eq!(sorted(OUTCOMES), Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect());
        assert_eq!(sorted(RULES), Rule::ALL.iter().map(|rule| rule.as_str()).collect());
        assert_eq!(sorted(ANSWERS), Answer::ALL.iter().map(|answer| answer.as_str()).collect());
        assert_eq!(sorted(REPORTS), ReportKind::ALL.iter().map(|kind| kind.as_str()).collect());
        assert_eq!(sorted(SEVERITIES), Severity::ALL.iter().map(|severity| severity.as_str()).collect());
    }

    #[test]
    fn each_list_is_sorted_to_the_end_and_no_name_means_two_things() {
        for entity in ALL {
            let listing = &entity.listing;
            assert!(!listing.sorts.is_empty(), "{}", entity.path);
            for sort in listing.sorts {
                assert!(
                    sort.by.ends_with(listing.key),
                    "{} is not sorted to its key by {}",
                    entity.path,
                    sort.name
                );
                let needs = |name| listing.filters.iter().any(|filter| filter.name == name);
                assert!(sort.needs.is_none_or(needs), "{}: {}", entity.path, sort.name);
            }
            let fields: BTreeSet<&str> = listing.fields.iter().map(|field| field.name).collect();
            assert_eq!(fields.len(), listing.fields.len(), "{}", entity.path);
            let ours = ["limit", "after", "sort", "fields"];
            let filters: BTreeSet<&str> =
                listing.filters.iter().map(|filter| filter.name).chain(ours).collect();
            assert_eq!(filters.len(), listing.filters.len() + ours.len(), "{}", entity.path);
            for filter in listing.filters {
                let places = |sql: &str| sql.matches("{}").count();
                match &filter.by {
                    By::Text(sql) | By::Uuid(sql) | By::Time(sql) => assert_eq!(places(sql), 1, "{sql}"),
                    By::Words { words, default, .. } => {
                        assert!(default.is_none_or(|word| words.contains(&word)));
                    }
                    By::Flag { .. } => {}
                }
            }
        }
    }
}
