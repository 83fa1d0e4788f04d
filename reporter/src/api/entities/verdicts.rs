//! What the five rules say of each active job.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::{ANSWERS, RULES};
use crate::api::Entity;
use crate::api::entity::{Kept, MOMENT, UNTIL_JUDGED};

const KEY: &[(&str, Kind)] = &[("e.job", Kind::Text), ("e.rule", Kind::Text)];

pub(super) static ENTITY: Entity = Entity {
    path: "verdicts",
    one: "verdict",
    about: "What each of the five rules says of each active job, with what it rests on and until when that holds.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: Some(Kept { name: "job-verdicts", lasting: UNTIL_JUDGED }),
    single: None,
    item: None,
    listing: Listing {
        list: Command::new("page.verdicts"),
        one: Command::new("page.verdicts.one"),
        rows: "(select j.name as job, j.definition ->> 'owner' as owner, c.compliant, c.evaluated_at, v.* \
            from job j join compliance c on c.job_id = j.id \
            cross join lateral json_to_recordset(c.verdicts) \
                as v(rule text, answer text, reason text, evidence uuid[], expires_at timestamptz) \
            where j.active) e",
        joins: "",
        fields: &[
            Field::new("job", Kind::Text, "e.job", "The job's name"),
            Field::new("owner", Kind::Text, "e.owner", "Who answers for the job"),
            Field::new("rule", Kind::Text, "e.rule", "Which rule").of(RULES),
            Field::new("answer", Kind::Text, "e.answer", "Its answer").of(ANSWERS),
            Field::new("reason", Kind::Text, "e.reason", "Why, for people"),
            Field::new("evidence", Kind::Uuids, "e.evidence", "The evidence that it rests on"),
            Field::new("expires_at", Kind::Time, "e.expires_at", "When the earliest of it expires").or_null(),
            Field::new("compliant", Kind::Bool, "e.compliant", "Whether the job keeps all five rules"),
            Field::new("evaluated_at", Kind::Time, "e.evaluated_at", "When the job was judged"),
        ],
        key: KEY,
        filters: &[
            Filter { name: "job", by: By::Text("e.job = {}"), about: "Only of this job" },
            Filter { name: "owner", by: By::Text("e.owner = {}"), about: "Only of this owner's jobs" },
            Filter {
                name: "rule",
                by: By::Words { sql: "e.rule", words: RULES, default: None },
                about: "Only of these rules",
            },
            Filter {
                name: "answer",
                by: By::Words { sql: "e.answer", words: ANSWERS, default: None },
                about: "Only with these answers",
            },
            Filter {
                name: "compliant",
                by: By::Flag { yes: "e.compliant", no: "not e.compliant", default: None },
                about: "Only of jobs that keep all five rules, or do not",
            },
        ],
        sorts: &[Sort { name: "job", by: KEY, needs: None }],
        from_end: false,
    },
};
