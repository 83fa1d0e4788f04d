-- Who asked for the end of a running task. The index holds only those, so that heartbeats stay heap-only updates.
alter table lease add column cancelled_by text;
create index on lease (worker_id) where cancelled_by is not null;

-- A dead task stays until long after a person has decided about it: an end is not undone by deleting its record.
alter table dead_task
    add column state        text not null default 'open' check (state in ('open', 'replayed', 'dropped')),
    add column settled_at   timestamptz,
    add column settled_by   text,
    -- The new task that does its work again.
    add column replayed_as  uuid unique,
    drop constraint dead_task_reason_check,
    add constraint dead_task_reason_check check (reason in ('failed', 'timed_out', 'refused', 'lost')),
    add check ((state = 'open') = (settled_at is null)),
    add check ((state = 'replayed') = (replayed_as is not null));
drop index dead_task_died_at_idx;
create index on dead_task (died_at, id) where state = 'open';

-- What a worker counted since its start, such as results that came after their lease was over.
alter table worker add column counters jsonb not null default '{}';
