//! Observations, each job's in a chain.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use crate::api::Entity;
use crate::api::entity::{Kept, MOMENT, UNTIL_JUDGED};

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Uuid)];
const FINDINGS: &[&str] = &[
    "restore_point",
    "reported",
    "listing",
    "inventory",
    "detached",
    "reached",
    "structure",
    "read",
    "restore_test",
    "lock",
    "delete_probe",
];

pub(super) static ENTITY: Entity = Entity {
    path: "evidence",
    one: "piece of evidence",
    about: "What was observed of copies. Ids ascend with time, so that they are the order in which it was observed.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: Some(Kept { name: "job-evidence", lasting: UNTIL_JUDGED }),
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.evidence"),
        one: Command::new("page.evidence.one"),
        // What verdicts rest on outlives its month.
        rows: "(select * from evidence union all select * from evidence_kept) e",
        joins: "left join job j on j.id = e.job_id left join target t on t.id = e.target_id",
        fields: &[
            Field::new("id", Kind::Uuid, "e.id", "Its identity, by which verdicts name it"),
            Field::new("job", Kind::Text, "j.name", "The job's name").or_null(),
            Field::new("target", Kind::Text, "t.name", "The name of the target that holds the copy")
                .or_null(),
            Field::new("task", Kind::Uuid, "e.task_id", "The task that observed it"),
            Field::new("kind", Kind::Text, "e.kind", "What was looked at").of(FINDINGS),
            Field::new("observed_at", Kind::Time, "e.observed_at", "When, on the database's clock"),
            Field::new("finding", Kind::Json, "e.finding", "What was found"),
            Field::new("position", Kind::Int, "e.position", "Its place in the job's chain, from 1"),
            Field::new("hash", Kind::Text, "encode(e.hash, 'hex')", "The chain's SHA-256 up to here"),
        ],
        key: KEY,
        filters: &[
            Filter {
                name: "job",
                by: By::Text("e.job_id = (select id from job where name = {})"),
                about: "Only about this job",
            },
            Filter {
                name: "target",
                by: By::Text("e.target_id = (select id from target where name = {})"),
                about: "Only about copies on this target",
            },
            Filter {
                name: "kind",
                by: By::Words { sql: "e.kind", words: FINDINGS, default: None },
                about: "Only of these kinds",
            },
            Filter {
                name: "from",
                by: By::Time("e.observed_at >= {}"),
                about: "Observed at this moment or later",
            },
            Filter { name: "to", by: By::Time("e.observed_at < {}"), about: "Observed before this moment" },
        ],
        sorts: &[Sort { name: "id", by: KEY, needs: None }],
        from_end: true,
    },
};
