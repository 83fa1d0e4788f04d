//! What is enqueued again and again.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::KINDS;
use crate::api::Entity;
use crate::api::entity::Lasting;

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Int)];

pub(super) static ENTITY: Entity = Entity {
    path: "schedules",
    one: "schedule",
    about: "What is enqueued again and again, and when it is due next.",
    role: Role::Viewer,
    lasting: Lasting::Version("schedules", Duration::from_mins(5)),
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.schedules"),
        one: Command::new("page.schedules.one"),
        rows: "schedule e",
        joins: "left join job j on j.id = e.job_id",
        fields: &[
            Field::new("id", Kind::Int, "e.id", "Its number"),
            Field::new("kind", Kind::Text, "e.kind", "The kind of its tasks").of(KINDS),
            Field::new("name", Kind::Text, "e.name", "Its name, which no other schedule of the kind has"),
            Field::new("job", Kind::Text, "j.name", "The job's name").or_null(),
            Field::new("next_due", Kind::Time, "e.next_due", "When it is due next").or_null(),
            Field::new("fires_at", Kind::Time, "e.fires_at", "When it starts then, with its jitter")
                .or_null(),
            Field::new("paused_by", Kind::Text, "e.paused_by", "Who has paused it").or_null(),
            Field::new("paused_at", Kind::Time, "e.paused_at", "Since when it is paused").or_null(),
            Field::new("last_task", Kind::Uuid, "e.last_task", "What was enqueued last").or_null(),
            Field::new("spec", Kind::Json, "e.spec", "When it is due, as it is defined"),
            Field::new("params", Kind::Json, "e.params", "With which parameters its tasks are enqueued")
                .large(),
        ],
        key: KEY,
        filters: &[
            Filter {
                name: "kind",
                by: By::Words { sql: "e.kind", words: KINDS, default: None },
                about: "Only of these kinds",
            },
            Filter { name: "name", by: By::Text("e.name = {}"), about: "Only of this name" },
            Filter {
                name: "job",
                by: By::Text("e.job_id = (select id from job where name = {})"),
                about: "Only of this job",
            },
            Filter {
                name: "paused",
                by: By::Flag { yes: "e.paused_at is not null", no: "e.paused_at is null", default: None },
                about: "Only those that are paused, or are not",
            },
        ],
        sorts: &[
            Sort { name: "name", by: &[("e.name", Kind::Text), ("e.id", Kind::Int)], needs: None },
            Sort {
                name: "next_due",
                by: &[
                    ("coalesce(e.next_due, '9999-12-31T00:00:00Z'::timestamptz)", Kind::Time),
                    ("e.id", Kind::Int),
                ],
                needs: None,
            },
        ],
        from_end: false,
    },
};
