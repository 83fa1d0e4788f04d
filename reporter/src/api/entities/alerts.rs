//! What is wrong, and what was until lately.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::SEVERITIES;
use crate::api::Entity;
use crate::api::entity::Lasting;

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Int)];
const STATES: &[&str] = &["pending", "open", "resolved"];

pub(super) static ENTITY: Entity = Entity {
    path: "alerts",
    one: "alert",
    about: "What is wrong, and what was in the last 90 days.",
    role: Role::Viewer,
    lasting: Lasting::Version("alerts", Duration::from_mins(5)),
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.alerts"),
        one: Command::new("page.alerts.one"),
        rows: "alert e",
        joins: "left join job j on j.id = e.job_id left join target t on t.id = e.target_id",
        fields: &[
            Field::new("id", Kind::Int, "e.id", "Its number"),
            Field::new("cause", Kind::Text, "e.cause", "What is wrong: the rule, a slash, and with what"),
            Field::new("rule", Kind::Text, "e.rule", "By which rule"),
            Field::new("severity", Kind::Text, "e.severity", "How bad it is").of(SEVERITIES),
            Field::new("state", Kind::Text, "e.state", "Whether it is wrong").of(STATES),
            Field::new(
                "subject",
                Kind::Text,
                "e.subject",
                "With what it is: the name of a job, a target, a worker",
            ),
            Field::new("job", Kind::Text, "j.name", "The job's name").or_null(),
            Field::new("target", Kind::Text, "t.name", "The target's name").or_null(),
            Field::new("owner", Kind::Text, "e.owner", "Who answers for the job").or_null(),
            Field::new("group_key", Kind::Text, "e.group_key", "Alerts with the same key are told together"),
            Field::new("summary", Kind::Text, "e.summary", "What is wrong, in a sentence"),
            Field::new("detail", Kind::Text, "e.detail", "What else is known of it").or_null(),
            Field::new("since", Kind::Time, "e.since", "Since when it is wrong, as far as anybody looked"),
            Field::new("opened_at", Kind::Time, "e.opened_at", "When it was opened for the first time")
                .or_null(),
            Field::new("resolved_at", Kind::Time, "e.resolved_at", "When it was over").or_null(),
            Field::new("reopened", Kind::Int, "e.reopened", "How often it came back after that"),
            Field::new(
                "acknowledged_at",
                Kind::Time,
                "e.acknowledged_at",
                "When somebody said that they know",
            )
            .or_null(),
            Field::new("acknowledged_by", Kind::Text, "e.acknowledged_by", "Who knows about it").or_null(),
            Field::new("acknowledged_note", Kind::Text, "e.acknowledged_note", "What they said").or_null(),
            Field::new("acknowledged_until", Kind::Time, "e.acknowledged_until", "Until when").or_null(),
            Field::new("suppressed_by", Kind::Text, "e.suppressed_by", "Why nobody is told about it")
                .or_null(),
        ],
        key: KEY,
        filters: &[
            Filter {
                name: "state",
                by: By::Words { sql: "e.state", words: STATES, default: None },
                about: "Only in these states",
            },
            Filter {
                name: "severity",
                by: By::Words { sql: "e.severity", words: SEVERITIES, default: None },
                about: "Only as bad as one of these",
            },
            Filter { name: "rule", by: By::Text("e.rule = {}"), about: "Only by this rule" },
            Filter {
                name: "job",
                by: By::Text("e.job_id = (select id from job where name = {})"),
                about: "Only about this job",
            },
            Filter {
                name: "target",
                by: By::Text("e.target_id = (select id from target where name = {})"),
                about: "Only about this target",
            },
            Filter { name: "owner", by: By::Text("e.owner = {}"), about: "Only about jobs of this owner" },
            Filter {
                name: "acknowledged",
                by: By::Flag {
                    yes: "e.acknowledged_at is not null",
                    no: "e.acknowledged_at is null",
                    default: None,
                },
                about: "Only those that somebody knows about, or nobody",
            },
            Filter { name: "from", by: By::Time("e.since >= {}"), about: "Wrong since this moment or later" },
            Filter { name: "to", by: By::Time("e.since < {}"), about: "Wrong since before this moment" },
        ],
        sorts: &[
            Sort { name: "id", by: KEY, needs: None },
            Sort { name: "since", by: &[("e.since", Kind::Time), ("e.id", Kind::Int)], needs: None },
        ],
        from_end: true,
    },
};
