-- Which line of a key has had the least is asked at each call, and when a line is opened: a key may have thousands of them.
create index line_served_idx on line (waiting_for, kind, served);

-- The parts of limited rates that a worker has taken. Whoever takes more sees to it, under a lock, that those of all workers that were
-- heard of within a lease are no more than the whole.
alter table worker drop column view, add column shares jsonb not null default '{}';
