//! Who changed what.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::Lasting;

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Int)];

pub(super) static ENTITY: Entity = Entity {
    path: "audit",
    one: "change",
    about: "Who changed what, over HTTP and from the command line.",
    role: Role::Auditor,
    // Whoever looks here wants to know for certain.
    lasting: Lasting::Never,
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.audit"),
        one: Command::new("page.audit.one"),
        rows: "audit e",
        joins: "",
        fields: &[
            Field::new("id", Kind::Int, "e.id", "Its number"),
            Field::new("at", Kind::Time, "e.at", "When"),
            Field::new("actor", Kind::Text, "e.actor", "The name of a token, or of a user of the machine"),
            Field::new("token", Kind::Uuid, "e.token_id", "The token's id, where it came over HTTP")
                .or_null(),
            Field::new("action", Kind::Text, "e.action", "What was done"),
            Field::new("subject", Kind::Text, "e.subject", "To what kind of thing"),
            Field::new("name", Kind::Text, "e.name", "To which"),
            Field::new("before", Kind::Json, "e.before", "What it was").or_null().large(),
            Field::new("after", Kind::Json, "e.after", "What it is").or_null().large(),
        ],
        key: KEY,
        filters: &[
            Filter { name: "actor", by: By::Text("e.actor = {}"), about: "Only by this one" },
            Filter { name: "action", by: By::Text("e.action = {}"), about: "Only this" },
            Filter { name: "subject", by: By::Text("e.subject = {}"), about: "Only to things of this kind" },
            Filter { name: "name", by: By::Text("e.name = {}"), about: "Only to what is named so" },
            Filter { name: "from", by: By::Time("e.at >= {}"), about: "At this moment or later" },
            Filter { name: "to", by: By::Time("e.at < {}"), about: "Before this moment" },
        ],
        sorts: &[Sort { name: "id", by: KEY, needs: None }],
        from_end: true,
    },
};
