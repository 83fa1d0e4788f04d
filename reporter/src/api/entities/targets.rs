//! Targets, without where exactly they are.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::Lasting;

const STATES: &[&str] = &["attached", "detaching", "detached"];
const MEDIA: &[&str] = &["disk", "nas", "object", "tape", "removable"];

pub(super) static ENTITY: Entity = Entity {
    path: "targets",
    one: "target",
    about: "Places that hold copies.",
    role: Role::Viewer,
    lasting: Lasting::Version("definitions", Duration::from_mins(5)),
    of_job: None,
    single: None,
    item: Some("name"),
    listing: Listing {
        list: Command::new("page.targets"),
        one: Command::new("page.targets.one"),
        rows: "(select * from target where removed_at is null) e",
        joins: "",
        fields: &[
            Field::new("name", Kind::Text, "e.name", "Its name"),
            Field::new("state", Kind::Text, "e.state", "Whether workers may use it now").of(STATES),
            Field::new("media", Kind::Text, "e.definition -> 'place' ->> 'media'", "The class of medium")
                .of(MEDIA),
            Field::new("site", Kind::Text, "e.definition -> 'place' ->> 'site'", "The building"),
            Field::new("region", Kind::Text, "e.definition -> 'place' ->> 'region'", "The cloud region")
                .or_null(),
            Field::new(
                "failure_domain",
                Kind::Text,
                "e.definition -> 'place' ->> 'failure_domain'",
                "What fails together",
            ),
            Field::new(
                "isolation",
                Kind::Text,
                "e.definition ->> 'isolation'",
                "How it is kept out of reach",
            )
            .of(&["none", "immutable", "detached"]),
            Field::new("version", Kind::Int, "e.version", "How often it was changed, from 1"),
            Field::new("created_at", Kind::Time, "e.created_at", "When it was defined for the first time"),
        ],
        key: &[("e.name", Kind::Text)],
        filters: &[
            Filter {
                name: "state",
                by: By::Words { sql: "e.state", words: STATES, default: None },
                about: "Only in these states",
            },
            Filter {
                name: "media",
                by: By::Words { sql: "e.definition -> 'place' ->> 'media'", words: MEDIA, default: None },
                about: "Only of these media",
            },
            Filter {
                name: "site",
                by: By::Text("e.definition -> 'place' ->> 'site' = {}"),
                about: "Only at this site",
            },
        ],
        sorts: &[Sort { name: "name", by: &[("e.name", Kind::Text)], needs: None }],
        from_end: false,
    },
};
