//! What all workers can run of each kind, and what is before them.

use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing, Sort};
use shared::db::statement::Command;

use super::KINDS;
use crate::api::Entity;
use crate::api::entity::MOMENT;

const STATES: &[&str] = &["running", "paused", "draining"];

pub(super) static ENTITY: Entity = Entity {
    path: "pools",
    one: "pool",
    about: "The pools of all workers, by the kind of their tasks: slots, what runs, what waits, and what people told them.",
    role: Role::Viewer,
    lasting: MOMENT,
    of_job: None,
    single: None,
    item: Some("kind"),
    listing: Listing {
        list: Command::new("page.pools"),
        one: Command::new("page.pools.one"),
        rows: "(select k.kind, coalesce(w.workers, 0) as workers, coalesce(w.slots, 0) as slots, coalesce(w.busy, 0) as busy, \
                coalesce(t.waiting, 0) as waiting, coalesce(l.running, 0) as running, \
                coalesce(s.state, 'running') as state, s.slots as told_slots, s.set_by, s.set_at \
            from unnest(array['backup', 'copy', 'verify', 'restore', 'probe', 'forget', 'report', 'maintain', 'record']) as k(kind) \
            left join (select p.key as kind, count(*) as workers, sum((p.value ->> 'slots')::bigint)::bigint as slots, \
                    sum((p.value ->> 'busy')::bigint)::bigint as busy \
                from worker, jsonb_each(pools) p where seen_at > now() - interval '60 seconds' group by p.key) w using (kind) \
            left join (select kind, count(*) as waiting from task group by kind) t using (kind) \
            left join (select kind, count(*) as running from lease group by kind) l using (kind) \
            left join pool_setting s on s.kind = k.kind and s.worker = '') e",
        joins: "",
        fields: &[
            Field::new("kind", Kind::Text, "e.kind", "The kind of its tasks").of(KINDS),
            Field::new("state", Kind::Text, "e.state", "What the pools of all workers are told to do")
                .of(STATES),
            Field::new(
                "workers",
                Kind::Int,
                "e.workers",
                "Workers that have such a pool and were heard of in the last minute",
            ),
            Field::new("slots", Kind::Int, "e.slots", "How many tasks they can run at once"),
            Field::new("busy", Kind::Int, "e.busy", "How many slots are in use, as the workers say"),
            Field::new("waiting", Kind::Int, "e.waiting", "Tasks that wait in the database, whatever for"),
            Field::new("running", Kind::Int, "e.running", "Tasks that run"),
            Field::new(
                "told_slots",
                Kind::Int,
                "e.told_slots",
                "How many tasks the pool of each worker is told to run at once",
            )
            .or_null(),
            Field::new("set_by", Kind::Text, "e.set_by", "By whose hand").or_null(),
            Field::new("set_at", Kind::Time, "e.set_at", "Since when").or_null(),
        ],
        key: &[("e.kind", Kind::Text)],
        filters: &[Filter {
            name: "state",
            by: By::Words { sql: "e.state", words: STATES, default: None },
            about: "Only those that are told this",
        }],
        sorts: &[Sort { name: "kind", by: &[("e.kind", Kind::Text)], needs: None }],
        from_end: false,
    },
};
