-- Definitions -----------------------------------------------------------------------------------------------

create table job (
    id          integer generated always as identity primary key,
    name        text not null unique,
    -- The whole definition as it was applied; the columns beside it are what statements filter by.
    definition  jsonb not null,
    active      boolean not null,
    version     integer not null default 1,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table target (
    id             integer generated always as identity primary key,
    name           text not null unique,
    definition     jsonb not null,
    state          text not null default 'attached' check (state in ('attached', 'detaching', 'detached')),
    -- The id inside the repository once it was created: from then on another one at the same place is refused.
    repository_id  text,
    version        integer not null default 1,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now()
);

create table job_target (
    job_id     integer not null references job,
    target_id  integer not null references target,
    position   smallint not null,
    primary key (job_id, target_id)
);
create index on job_target (target_id);

-- Counts the transactions that changed definitions: caches in the processes are valid for one value.
create table definitions_version (
    value  bigint not null,
    xact   xid8 not null
);
create unique index on definitions_version ((true));
insert into definitions_version values (1, pg_current_xact_id());

create function count_definitions_change() returns trigger language plpgsql as $$
begin
    update definitions_version set value = value + 1, xact = pg_current_xact_id()
        where xact <> pg_current_xact_id();
    return null;
end $$;

create trigger count_change after insert or delete or update of definition, active on job
    for each statement execute function count_definitions_change();
create trigger count_change after insert or delete or update of definition on target
    for each statement execute function count_definitions_change();
create trigger count_change after insert or delete or update on job_target
    for each statement execute function count_definitions_change();

-- Tasks: a row is in `task` while it waits and in `lease` while it runs, never in both -------------------------

create table known_id (
    id   uuid primary key,
    day  date not null default current_date
);
create index on known_id using brin (day);

create table task (
    id            uuid primary key,
    kind          text not null,
    priority      text not null check (priority in ('high', 'normal')),
    job_id        integer references job,
    params        jsonb not null,
    requested_by  text not null,
    enqueued_at   timestamptz not null,
    -- Not to be claimed earlier; 'infinity' waits for `waiting_for`.
    run_at        timestamptz not null,
    waiting_for   text,
    -- When the relay publishes it (again), and how often it did.
    publish_at    timestamptz not null,
    publication   integer not null default 0,
    -- Publications that the broker confirmed since the row was last put off.
    confirmed     integer not null default 0,
    -- Attempts that counted, rescues, and owners so far.
    attempt       integer not null default 0,
    rescues       integer not null default 0,
    epoch         bigint not null default 0,
    last_error    text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
create index on task (publish_at);
create index on task (waiting_for) where waiting_for is not null;

create table lease (
    task_id       uuid primary key,
    kind          text not null,
    priority      text not null,
    job_id        integer references job,
    params        jsonb not null,
    requested_by  text not null,
    enqueued_at   timestamptz not null,
    attempt       integer not null,
    rescues       integer not null,
    epoch         bigint not null,
    worker_id     uuid not null,
    started_at    timestamptz not null default now(),
    -- Not indexed, so that a heartbeat stays a heap-only update.
    lease_until   timestamptz not null,
    progress      jsonb
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table dead_task (
    id            uuid primary key,
    kind          text not null,
    priority      text not null,
    job_id        integer references job,
    params        jsonb not null,
    requested_by  text not null,
    enqueued_at   timestamptz not null,
    attempts      integer not null,
    rescues       integer not null,
    reason        text not null check (reason in ('failed', 'refused', 'lost')),
    last_error    text not null,
    died_at       timestamptz not null default now()
);
create index on dead_task (died_at);

create table worker (
    id          uuid primary key,
    name        text not null,
    version     text not null,
    -- Per pool: slots, busy slots; and the counts of batches and rows by stage since the start.
    pools       jsonb not null,
    batches     jsonb not null,
    started_at  timestamptz not null default now(),
    seen_at     timestamptz not null default now()
);

create table repository_lock (
    target_id   integer not null references target,
    task_id     uuid not null,
    epoch       bigint not null,
    exclusive   boolean not null,
    expires_at  timestamptz not null,
    primary key (target_id, task_id)
);

-- History ---------------------------------------------------------------------------------------------------

create table execution (
    task_id        uuid not null,
    epoch          bigint not null,
    attempt        integer not null,
    kind           text not null,
    job_id         integer,
    target_id      integer,
    outcome        text not null
        check (outcome in ('success', 'warning', 'failed', 'timed_out', 'cancelled', 'lost')),
    requested_by   text not null,
    enqueued_at    timestamptz not null,
    started_at     timestamptz not null,
    finished_at    timestamptz not null default now(),
    seconds        double precision not null,
    bytes          bigint not null default 0,
    bytes_added    bigint not null default 0,
    files          bigint not null default 0,
    source_errors  bigint not null default 0,
    error          text,
    detail         jsonb,
    worker_id      uuid,
    -- Rows below the oldest running transaction are complete: readers follow this, not the time.
    xact           xid8 not null default pg_current_xact_id()
) partition by range (finished_at);
create index on execution (job_id, finished_at desc);
create index on execution (task_id);
create index on execution (xact);
create table execution_default partition of execution default;

create table manifest (
    id          uuid primary key,
    job_id      integer not null references job,
    created_at  timestamptz not null default now(),
    files       bigint not null,
    bytes       bigint not null,
    sha256      text not null,
    -- Compressed JSON lines.
    content     bytea not null
);
alter table manifest alter column content set storage external;

create table restore_point (
    id             uuid primary key,
    job_id         integer not null references job,
    target_id      integer not null references target,
    snapshot       text not null,
    -- The moment whose data it holds; a copy keeps that of its original.
    data_time      timestamptz not null,
    created_at     timestamptz not null default now(),
    seconds        double precision not null,
    files          bigint not null,
    bytes          bigint not null,
    bytes_added    bigint not null,
    source_errors  bigint not null,
    copied_from    uuid references restore_point,
    manifest_id    uuid references manifest,
    task_id        uuid not null
);
create index on restore_point (job_id, target_id, data_time desc);

create table evidence (
    id           uuid not null,
    job_id       integer not null,
    target_id    integer not null,
    task_id      uuid not null,
    kind         text not null,
    observed_at  timestamptz not null,
    finding      jsonb not null,
    -- The job's chain: SHA-256 over the link before and this row.
    position     bigint not null,
    hash         bytea not null
) partition by range (observed_at);
create index on evidence (job_id, observed_at desc);
create index on evidence (id);
create table evidence_default partition of evidence default;

-- The newest facts about a job's data on a target: a fold over its evidence.
create table copy (
    job_id     integer not null references job,
    target_id  integer not null references target,
    facts      jsonb not null,
    primary key (job_id, target_id)
) with (fillfactor = 80);

-- One row a job: whoever records evidence locks it first.
create table compliance (
    job_id          integer primary key references job,
    chain_length    bigint not null default 0,
    chain_head      bytea not null default '',
    policy_version  integer not null default 0,
    evaluated_at    timestamptz not null default now(),
    -- When time alone can change an answer next.
    due_at          timestamptz,
    compliant       boolean not null default false,
    verdicts        jsonb not null default '[]'
) with (fillfactor = 80);

create view verdict as
    select c.job_id, v.rule, v.answer, v.reason, v.evidence, v.expires_at, c.policy_version, c.evaluated_at
    from compliance c,
         jsonb_to_recordset(c.verdicts)
             as v(rule text, answer text, reason text, evidence uuid[], expires_at timestamptz);

create table verdict_change (
    job_id      integer not null references job,
    rule        text not null,
    previous    text,
    answer      text not null,
    reason      text not null,
    evidence    uuid[] not null,
    changed_at  timestamptz not null
);
create index on verdict_change (job_id, changed_at desc);

create table report (
    id            uuid primary key,
    kind          text not null,
    period_start  timestamptz not null,
    period_end    timestamptz not null,
    html          text not null,
    content       jsonb not null,
    sha256        text not null,
    task_id       uuid not null,
    created_at    timestamptz not null default now()
);
create index on report (kind, created_at desc);

create table alert (
    id               uuid primary key,
    rule             text not null,
    severity         text not null check (severity in ('info', 'warning', 'critical')),
    job_id           integer references job,
    target_id        integer references target,
    summary          text not null,
    opened_at        timestamptz not null default now(),
    acknowledged_at  timestamptz,
    acknowledged_by  text,
    resolved_at      timestamptz
);
create index on alert (opened_at) where acknowledged_at is null and resolved_at is null;
