//! Finished attempts.

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::{KINDS, OUTCOMES};
use crate::api::Entity;
use crate::api::entity::{Kept, Lasting, MOMENT};

const KEY: &[(&str, Kind)] = &[("e.task_id", Kind::Uuid), ("e.epoch", Kind::Int)];

/// What has ended stays as it is; only the name of its worker is forgotten some day.
const ONE: Kept = Kept { name: "execution", lasting: Lasting::Settled(Duration::from_mins(10)) };

pub(super) static ENTITY: Entity = Entity {
    path: "executions",
    one: "execution",
    about: "Finished attempts of tasks. One is named by its task and its number among the owners of the task, `TASK.EPOCH`.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: None,
    single: Some(ONE),
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.executions"),
        one: Command::new("page.executions.one"),
        rows: "execution e",
        joins: "left join job j on j.id = e.job_id left join target t on t.id = e.target_id \
            left join worker w on w.id = e.worker_id",
        fields: &[
            Field::new(
                "id",
                Kind::Text,
                "e.task_id::text || '.' || e.epoch::text",
                "The attempt: its task and its epoch",
            ),
            Field::new("task", Kind::Uuid, "e.task_id", "Which task"),
            Field::new("kind", Kind::Text, "e.kind", "The task's kind").of(KINDS),
            Field::new("job", Kind::Text, "j.name", "The job's name").or_null(),
            Field::new("target", Kind::Text, "t.name", "The name of the target that it worked on").or_null(),
            Field::new("outcome", Kind::Text, "e.outcome", "What came of it").of(OUTCOMES),
            Field::new("attempt", Kind::Int, "e.attempt", "The number of the attempt, from 1"),
            Field::new("requested_by", Kind::Text, "e.requested_by", "Who asked for the task"),
            Field::new("enqueued_at", Kind::Time, "e.enqueued_at", "When the task was asked for"),
            Field::new("started_at", Kind::Time, "e.started_at", "When the attempt began"),
            Field::new("finished_at", Kind::Time, "e.finished_at", "When it was recorded"),
            Field::new("seconds", Kind::Float, "e.seconds", "How long it took"),
            Field::new("bytes", Kind::Int, "e.bytes", "Bytes of the source"),
            Field::new("bytes_added", Kind::Int, "e.bytes_added", "Bytes that were stored in addition"),
            Field::new("files", Kind::Int, "e.files", "Entries of the source"),
            Field::new("source_errors", Kind::Int, "e.source_errors", "Entries that could not be read"),
            Field::new("error", Kind::Text, "e.error", "Why it failed").or_null(),
            Field::new(
                "worker",
                Kind::Text,
                "coalesce(w.name, e.worker_id::text)",
                "Who ran it: the worker's name while it is known, then its number",
            )
            .or_null(),
            Field::new("traceparent", Kind::Text, "e.traceparent", "The trace that it belongs to")
                .or_null()
                .large(),
            Field::new("detail", Kind::Json, "e.detail", "What else was kept").or_null().large(),
        ],
        key: KEY,
        filters: &[
            Filter {
                name: "job",
                by: By::Text("e.job_id = (select id from job where name = {})"),
                about: "Only this job's",
            },
            Filter {
                name: "target",
                by: By::Text("e.target_id = (select id from target where name = {})"),
                about: "Only on this target",
            },
            Filter { name: "task", by: By::Uuid("e.task_id = {}"), about: "Only of this task" },
            Filter {
                name: "kind",
                by: By::Words { sql: "e.kind", words: KINDS, default: None },
                about: "Only of these kinds",
            },
            Filter {
                name: "outcome",
                by: By::Words { sql: "e.outcome", words: OUTCOMES, default: None },
                about: "Only with these outcomes",
            },
            Filter {
                name: "from",
                by: By::Time("e.finished_at >= {}"),
                about: "Recorded at this moment or later",
            },
            Filter { name: "to", by: By::Time("e.finished_at < {}"), about: "Recorded before this moment" },
        ],
        sorts: &[Sort {
            name: "finished_at",
            by: &[("e.finished_at", Kind::Time), ("e.task_id", Kind::Uuid), ("e.epoch", Kind::Int)],
            needs: None,
        }],
        from_end: true,
    },
};
