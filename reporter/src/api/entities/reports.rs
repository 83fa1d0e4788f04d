//! Reports that were made. Their files are read by [`crate::api::report_file`].

use std::time::Duration;

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::REPORTS;
use crate::api::Entity;
use crate::api::entity::Lasting;

const KEY: &[(&str, Kind)] = &[("e.id", Kind::Uuid)];

pub(super) static ENTITY: Entity = Entity {
    path: "reports",
    one: "report",
    about: "Reports that were made within the last 90 days. `reports/{id}/{format}` is the file in one of its formats.",
    role: Role::Viewer,
    lasting: Lasting::Version("reports", Duration::from_mins(10)),
    of_job: None,
    single: None,
    item: Some("id"),
    listing: Listing {
        list: Command::new("page.reports"),
        one: Command::new("page.reports.one"),
        rows: "report e",
        joins: "",
        fields: &[
            Field::new("id", Kind::Uuid, "e.id", "Its identity"),
            Field::new("kind", Kind::Text, "e.kind", "Which one").of(REPORTS),
            Field::new("title", Kind::Text, "e.title", "What it is called, with its period"),
            Field::new("created_at", Kind::Time, "e.created_at", "When it was made"),
            Field::new("period_start", Kind::Time, "e.period_start", "The first moment that it covers"),
            Field::new("period_end", Kind::Time, "e.period_end", "The first moment after it"),
            Field::new(
                "headline",
                Kind::Text,
                "case when e.kind <> 'audit' then e.headline end",
                "How things stand, in a sentence; of an audit report, null: its file needs another role",
            )
            .or_null(),
            Field::new(
                "summary",
                Kind::Text,
                "case when e.kind <> 'audit' then e.summary end",
                "What matters, in some lines of text; likewise",
            )
            .or_null()
            .large(),
            Field::new("job", Kind::Text, "e.job", "The only job that it is about").or_null(),
            Field::new("owner", Kind::Text, "e.owner", "The owner of the only jobs that it is about")
                .or_null(),
            Field::new(
                "files",
                Kind::Json,
                "(select coalesce(json_agg(json_build_object('format', f.format, 'sha256', f.sha256, 'bytes', f.bytes) \
                     order by f.format), '[]') from report_file f where f.report_id = e.id)",
                "Its formats, each with the SHA-256 and the length of its file",
            ),
            Field::new("task", Kind::Uuid, "e.task_id", "The task that made it"),
        ],
        key: KEY,
        filters: &[
            Filter {
                name: "kind",
                by: By::Words { sql: "e.kind", words: REPORTS, default: None },
                about: "Of this kind, or one of these",
            },
            Filter { name: "job", by: By::Text("e.job = {}"), about: "About this job alone" },
            Filter { name: "owner", by: By::Text("e.owner = {}"), about: "About this owner's jobs alone" },
            Filter {
                name: "from",
                by: By::Time("e.created_at >= {}"),
                about: "Made at this moment or later",
            },
            Filter { name: "to", by: By::Time("e.created_at < {}"), about: "Made before this moment" },
        ],
        sorts: &[Sort {
            name: "created_at",
            by: &[("e.created_at", Kind::Time), ("e.id", Kind::Uuid)],
            needs: None,
        }],
        from_end: true,
    },
};
