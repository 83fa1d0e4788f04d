-- Indexes: only those that a statement, a constraint or a foreign key of ours uses (docs/tables.md) -----------------

-- The history is read by its time, by the transactions that wrote it, and by task. The first two lie in the order of
-- the rows, so that a summary of each range of pages does, and writing costs next to nothing. The last range of a month
-- is never full, hence never summarised and always read: it is to be small.
drop index execution_job_id_finished_at_idx;
create index execution_finished_at_idx on execution using brin (finished_at) with (pages_per_range = 16);
drop index execution_xact_idx;
-- PostgreSQL has no BRIN for xid8 itself.
create index execution_xact_idx on execution using brin ((xact::text::bigint)) with (pages_per_range = 16);

-- Nothing reads these by them.
drop index evidence_job_id_observed_at_idx;
drop index evidence_id_idx;
drop index verdict_change_job_id_changed_at_idx;
drop index alert_opened_at_idx;
drop index job_target_target_id_idx;
-- The space of a day that was forgotten is filled again, so that a range of pages comes to hold all days.
drop index known_id_day_idx;

-- Evidence that outlives its month --------------------------------------------------------------------------------

-- Rows of dropped partitions that a job's facts or verdicts name still: a lock may be read once and last for years.
create table evidence_kept (like evidence, primary key (id));

-- Vacuum ----------------------------------------------------------------------------------------------------------

-- A vacuum of what waits and runs must not be slowed down to the pace of large tables.
alter table task set (autovacuum_vacuum_cost_delay = 0);
alter table lease set (autovacuum_vacuum_cost_delay = 0);
-- A heartbeat extends all leases of a page at once: each needs room for its next version beside it.
alter table lease set (fillfactor = 50);
-- A seventh of it goes each day: its space is to be found again on the same day.
alter table known_id set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05);

-- What is only ever added to is frozen at its first vacuum, instead of all at once years later. That vacuum also
-- summarises the new pages, so it comes often. Partitions that are created later get the same (db/partition.rs).
do $$
declare
    leaf regclass;
begin
    for leaf in select inhrelid from pg_inherits where inhparent in ('execution'::regclass, 'evidence'::regclass) loop
        execute format('alter table %s set (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0.05)', leaf);
    end loop;
end $$;
