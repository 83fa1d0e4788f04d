-- Schedules ---------------------------------------------------------------------------------------------------------

-- What is to be enqueued again and again. `next_due` is the next time that the schedule names, and all before it are done; with
-- its jitter it fires at `fires_at`. Both are absent while there is no next time.
create table schedule (
    id         integer generated always as identity primary key,
    kind       text not null,
    -- The job's name, or the schedule's own where the kind works on no job.
    name       text not null,
    job_id     integer references job,
    params     json not null default '{}',
    spec       jsonb not null,
    next_due   timestamptz,
    fires_at   timestamptz,
    paused_by  text,
    paused_at  timestamptz,
    last_task  uuid,
    unique (kind, name),
    check ((next_due is null) = (fires_at is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index schedule_fires_at_idx on schedule (fires_at) where paused_at is null;

-- Each due time that was seen to, once: `task_id` is absent where it was passed over.
create table schedule_run (
    schedule_id  integer not null references schedule on delete cascade,
    due_at       timestamptz not null,
    task_id      uuid,
    seen_at      timestamptz not null default now(),
    primary key (schedule_id, due_at)
);
create index schedule_run_seen_at_idx on schedule_run using brin (seen_at);

-- Who does what only one of several processes is to do, and until when that holds without another word. Each change of hands
-- is another term.
create table leader (
    role        text primary key,
    holder      uuid not null,
    term        bigint not null,
    expires_at  timestamptz not null
) with (fillfactor = 50);
