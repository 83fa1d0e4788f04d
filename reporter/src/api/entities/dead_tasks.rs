//! What will not be tried again by itself.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::KINDS;
use crate::api::Entity;
use crate::api::entity::MOMENT;

const STATES: &[&str] = &["open", "replayed", "dropped"];
const REASONS: &[&str] = &["failed", "timed_out", "refused", "lost"];

pub(super) static ENTITY: Entity = Entity {
    path: "dead-tasks",
    one: "dead task",
    about: "Tasks that will not be tried again by themselves, and what people decided about them.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.dead_tasks"),
        one: Command::new("page.dead_tasks.one"),
        rows: "dead_task e",
        joins: "left join job j on j.id = e.job_id",
        fields: &[
            Field::new("id", Kind::Uuid, "e.id", "The task's id"),
            Field::new("kind", Kind::Text, "e.kind", "The task's kind").of(KINDS),
            Field::new("priority", Kind::Text, "e.priority", "Its queue").of(&["high", "normal"]),
            Field::new("job", Kind::Text, "j.name", "The job's name").or_null(),
            Field::new("target", Kind::Text, "e.params ->> 'target'", "The target that it names").or_null(),
            Field::new("reason", Kind::Text, "e.reason", "Why it died").of(REASONS),
            Field::new("last_error", Kind::Text, "e.last_error", "What its last attempt said"),
            Field::new("attempts", Kind::Int, "e.attempts", "How often it was tried"),
            Field::new("rescues", Kind::Int, "e.rescues", "Rescues from lost workers"),
            Field::new("requested_by", Kind::Text, "e.requested_by", "Who asked for it"),
            Field::new("enqueued_at", Kind::Time, "e.enqueued_at", "When it was asked for"),
            Field::new("died_at", Kind::Time, "e.died_at", "When it died"),
            Field::new("state", Kind::Text, "e.state", "What was decided about it").of(STATES),
            Field::new("settled_at", Kind::Time, "e.settled_at", "When that was").or_null(),
            Field::new("settled_by", Kind::Text, "e.settled_by", "Who decided").or_null(),
            Field::new("replayed_as", Kind::Uuid, "e.replayed_as", "The task that does its work now")
                .or_null(),
            Field::new("params", Kind::Json, "e.params", "What it needs beside the job").large(),
        ],
        key: &[("e.id", Kind::Uuid)],
        filters: &[
            Filter {
                name: "state",
                by: By::Words { sql: "e.state", words: STATES, default: Some("open") },
                about: "In these states instead of those that nobody has decided about; `any` for all",
            },
            Filter {
                name: "kind",
                by: By::Words { sql: "e.kind", words: KINDS, default: None },
                about: "Only of these kinds",
            },
            Filter {
                name: "reason",
                by: By::Words { sql: "e.reason", words: REASONS, default: None },
                about: "Only those that died for these reasons",
            },
            Filter {
                name: "job",
                by: By::Text("e.job_id = (select id from job where name = {})"),
                about: "Only of this job",
            },
            Filter {
                name: "from",
                by: By::Time("e.died_at >= {}"),
                about: "Dead since this moment or later",
            },
            Filter { name: "to", by: By::Time("e.died_at < {}"), about: "Dead since before this moment" },
        ],
        sorts: &[Sort {
            name: "died_at",
            by: &[("e.died_at", Kind::Time), ("e.id", Kind::Uuid)],
            needs: None,
        }],
        from_end: true,
    },
};
