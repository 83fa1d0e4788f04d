//! Jobs, as they are defined.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::Lasting;

const SOURCES: &[&str] = &["files", "reported", "simulated"];

pub(super) static ENTITY: Entity = Entity {
    path: "jobs",
    one: "job",
    about: "What is backed up, where its copies go, and which rules it must keep, as it is defined. How it stands is in `verdicts`.",
    role: Role::Viewer,
    lasting: Lasting::Version("definitions", Duration::from_mins(5)),
    of_job: None,
    single: None,
    item: Some("name"),
    listing: Listing {
        list: Command::new("page.jobs"),
        one: Command::new("page.jobs.one"),
        rows: "(select * from job where removed_at is null) e",
        joins: "",
        fields: &[
            Field::new("name", Kind::Text, "e.name", "Its name"),
            Field::new("owner", Kind::Text, "e.definition ->> 'owner'", "Who answers for it"),
            Field::new("active", Kind::Bool, "e.active", "Whether it takes tasks"),
            Field::new(
                "source",
                Kind::Text,
                "e.definition -> 'source' ->> 'kind'",
                "What kind of data it is",
            )
            .of(SOURCES),
            Field::new(
                "targets",
                Kind::Texts,
                "array(select jsonb_array_elements_text(e.definition -> 'targets'))",
                "Its targets: the first takes the backup, the others get copies of it",
            ),
            Field::new(
                "rpo",
                Kind::Text,
                "e.definition ->> 'rpo'",
                "How old its newest restore point may be",
            ),
            Field::new("rto", Kind::Text, "e.definition ->> 'rto'", "How long a restore may take").or_null(),
            Field::new("priority", Kind::Text, "e.definition ->> 'priority'", "The priority of its tasks")
                .of(&["high", "normal"]),
            Field::new(
                "tags",
                Kind::Texts,
                "array(select jsonb_array_elements_text(coalesce(e.definition -> 'tags', '[]')))",
                "Words by which it is grouped",
            ),
            Field::new("version", Kind::Int, "e.version", "How often it was changed, from 1"),
            Field::new("created_at", Kind::Time, "e.created_at", "When it was defined for the first time"),
            Field::new("updated_at", Kind::Time, "e.updated_at", "When it was changed last"),
            Field::new("definition", Kind::Json, "e.definition", "The whole definition, as it is stored")
                .large(),
        ],
        key: &[("e.name", Kind::Text)],
        filters: &[
            Filter {
                name: "owner",
                by: By::Text("e.definition ->> 'owner' = {}"),
                about: "Only of this owner",
            },
            Filter { name: "tag", by: By::Text("e.definition -> 'tags' ? {}"), about: "Only with this tag" },
            Filter {
                name: "target",
                by: By::Text("e.definition -> 'targets' ? {}"),
                about: "Only with copies on this target",
            },
            Filter {
                name: "source",
                by: By::Words { sql: "e.definition -> 'source' ->> 'kind'", words: SOURCES, default: None },
                about: "Only with sources of these kinds",
            },
            Filter {
                name: "active",
                by: By::Flag { yes: "e.active", no: "not e.active", default: None },
                about: "Only those that take tasks, or do not",
            },
        ],
        sorts: &[
            Sort { name: "name", by: &[("e.name", Kind::Text)], needs: None },
            Sort {
                name: "updated_at",
                by: &[("e.updated_at", Kind::Time), ("e.name", Kind::Text)],
                needs: None,
            },
            Sort {
                name: "created_at",
                by: &[("e.created_at", Kind::Time), ("e.name", Kind::Text)],
                needs: None,
            },
        ],
        from_end: false,
    },
};
