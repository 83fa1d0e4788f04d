-- Limits ----------------------------------------------------------------------------------------------------------

-- What the definitions say of a key, and what a person has put in its place until it is cleared.
create table limit_setting (
    key      text not null,
    origin   text not null check (origin in ('definitions', 'live')),
    setting  jsonb not null,
    set_by   text not null,
    set_at   timestamptz not null default now(),
    primary key (key, origin)
);
-- Workers keep limits in memory for one value of `definitions_version`, as they do with jobs.
create trigger count_change after insert or delete or update on limit_setting
    for each statement execute function count_definitions_change();

-- The keys whose concurrency is limited, and how many run under each. Whoever begins or ends a lease counts here, in the
-- same transaction.
create table cap (
    key      text primary key,
    most     integer not null check (most > 0),
    running  integer not null check (running >= 0)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The keys that a running task was counted under.
alter table lease add column caps text[];

-- Waiting for a limit ---------------------------------------------------------------------------------------------

-- A task that waits for a limit stands in a line with those of its kind, owner and priority, the oldest first. A line that has
-- no row here is empty. `served` is how much the line has had, divided by its weight: the line that has had the least is next.
create table line (
    waiting_for  text not null,
    kind         text not null,
    owner        text not null,
    priority     text not null,
    served       double precision not null,
    primary key (waiting_for, kind, owner, priority)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

alter table task
    add column owner          text,
    add column waiting_since  timestamptz;
drop index task_waiting_for_idx;
create index task_waiting_for_idx on task (waiting_for, kind, owner, priority, waiting_since) where waiting_for is not null;

-- Tokens of strict limits: the time of the last one that was given.
create table token (
    key   text primary key,
    last  timestamptz not null
) with (fillfactor = 50);

-- Which fleet a worker has taken into account in its share of rates: a number for who is there with how many slots.
alter table worker add column view bigint;

-- Pools -----------------------------------------------------------------------------------------------------------

-- What people told pools while they run: those of a kind on all workers, or the one of the worker with a name.
create table pool_setting (
    kind    text not null,
    worker  text not null default '',
    slots   integer check (slots between 1 and 30000),
    state   text check (state in ('running', 'paused', 'draining')),
    set_by  text not null,
    set_at  timestamptz not null default now(),
    primary key (kind, worker)
);
create trigger count_change after insert or delete or update on pool_setting
    for each statement execute function count_definitions_change();
