//! The processes that run, as they say themselves.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::MOMENT;

const PRESENT: &str = "e.seen_at > now() - interval '60 seconds'";

pub(super) static ENTITY: Entity = Entity {
    path: "workers",
    one: "worker",
    about: "Workers, as they say of themselves. One that ends as it should is not there any more.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.workers"),
        one: Command::new("page.workers.one"),
        rows: "worker e",
        joins: "",
        fields: &[
            Field::new("id", Kind::Uuid, "e.id", "Its process"),
            Field::new("name", Kind::Text, "e.name", "What people call it"),
            Field::new("version", Kind::Text, "e.version", "Its program's version"),
            Field::new("present", Kind::Bool, PRESENT, "Whether it was heard of in the last minute"),
            Field::new("started_at", Kind::Time, "e.started_at", "When it began"),
            Field::new("seen_at", Kind::Time, "e.seen_at", "When it was heard of last"),
            Field::new("pools", Kind::Json, "e.pools", "Its pools by kind: slots, and how many are busy"),
            Field::new(
                "batches",
                Kind::Json,
                "e.batches",
                "Its transactions by stage, and the tasks in them",
            )
            .large(),
            Field::new("counters", Kind::Json, "e.counters", "What else it counted since its start").large(),
        ],
        key: &[("e.id", Kind::Uuid)],
        filters: &[
            Filter { name: "name", by: By::Text("e.name = {}"), about: "Only those of this name" },
            Filter {
                name: "present",
                by: By::Flag {
                    yes: PRESENT,
                    no: "e.seen_at <= now() - interval '60 seconds'",
                    default: None,
                },
                about: "Only those that were heard of in the last minute, or were not",
            },
        ],
        sorts: &[
            Sort { name: "name", by: &[("e.name", Kind::Text), ("e.id", Kind::Uuid)], needs: None },
            Sort {
                name: "started_at",
                by: &[("e.started_at", Kind::Time), ("e.id", Kind::Uuid)],
                needs: None,
            },
        ],
        from_end: false,
    },
};
