//! Snapshots of jobs on targets.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::{Kept, MOMENT, UNTIL_JUDGED};

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Uuid)];

pub(super) static ENTITY: Entity = Entity {
    path: "restore-points",
    one: "restore point",
    about: "Snapshots of jobs' data on targets. Ids ascend with time, so that they are the order in which they were written.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: Some(Kept { name: "job-restore-points", lasting: UNTIL_JUDGED }),
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.restore_points"),
        one: Command::new("page.restore_points.one"),
        rows: "restore_point e",
        joins: "join job j on j.id = e.job_id join target t on t.id = e.target_id",
        fields: &[
            Field::new("id", Kind::Uuid, "e.id", "Its identity"),
            Field::new("job", Kind::Text, "j.name", "The job's name"),
            Field::new("target", Kind::Text, "t.name", "The target's name"),
            Field::new(
                "snapshot",
                Kind::Text,
                "e.snapshot",
                "Its id in the repository, or what the other system calls it",
            ),
            Field::new("data_time", Kind::Time, "e.data_time", "The moment whose data it holds"),
            Field::new("created_at", Kind::Time, "e.created_at", "When it was recorded"),
            Field::new("seconds", Kind::Float, "e.seconds", "How long it took to write"),
            Field::new("files", Kind::Int, "e.files", "Entries of the source"),
            Field::new("bytes", Kind::Int, "e.bytes", "Bytes of the source"),
            Field::new("bytes_added", Kind::Int, "e.bytes_added", "Bytes that were stored in addition"),
            Field::new(
                "source_errors",
                Kind::Int,
                "e.source_errors",
                "Entries that could not be read, and are missing",
            ),
            Field::new(
                "copied_from",
                Kind::Uuid,
                "e.copied_from",
                "The restore point that it was copied from",
            )
            .or_null(),
            Field::new("task", Kind::Uuid, "e.task_id", "The task that wrote it"),
            Field::new("reported", Kind::Bool, "e.reported", "Whether another system only reported it"),
            Field::new(
                "forgotten_at",
                Kind::Time,
                "e.forgotten_at",
                "When it was forgotten: its data is there no more",
            )
            .or_null(),
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
            Filter {
                name: "reported",
                by: By::Flag { yes: "e.reported", no: "not e.reported", default: None },
                about: "Only those that were reported, or were not",
            },
            Filter {
                name: "forgotten",
                by: By::Flag {
                    yes: "e.forgotten_at is not null",
                    no: "e.forgotten_at is null",
                    default: Some(false),
                },
                about: "Those that were forgotten instead of those that are there; `any` for both",
            },
            Filter {
                name: "from",
                by: By::Time("e.data_time >= {}"),
                about: "With data of this moment or later",
            },
            Filter { name: "to", by: By::Time("e.data_time < {}"), about: "With data of before this moment" },
        ],
        sorts: &[
            Sort { name: "id", by: KEY, needs: None },
            Sort {
                name: "data_time",
                by: &[("e.data_time", Kind::Time), ("e.id", Kind::Uuid)],
                needs: Some("job"),
            },
        ],
        from_end: true,
    },
};
