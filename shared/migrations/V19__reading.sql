-- Reading over HTTP ---------------------------------------------------------------------------------------------------

-- Who looks into who changed what, and changes nothing.
alter table api_token
    drop constraint api_token_role_check,
    add constraint api_token_role_check check (role in ('viewer', 'auditor', 'operator', 'admin'));

-- The history is read from its end, of all jobs and of one. Attempts of one transaction have one time, so that a tree of times alone
-- stays small: each time stands in it once, with a list of rows.
drop index execution_finished_at_idx;
create index execution_finished_at_idx on execution (finished_at);
create index execution_job_id_finished_at_idx on execution (job_id, finished_at);

-- Evidence has ids that ascend with time: by them it is found, named by verdicts, and read from its end.
create index evidence_id_idx on evidence (id);
create index evidence_job_id_id_idx on evidence (job_id, id);

-- How often what is kept in memory and read again and again has changed. Nothing that workers claim or record is counted here: they
-- would stand in line for the row.
create table cache_version (
    name     text primary key,
    version  bigint not null default 1,
    xact     xid8 not null default pg_current_xact_id()
) with (fillfactor = 50);
insert into cache_version (name) values ('alerts'), ('reports'), ('schedules');

create function count_change_of() returns trigger language plpgsql as $$
begin
    update cache_version set version = version + 1, xact = pg_current_xact_id()
        where name = tg_argv[0] and xact <> pg_current_xact_id();
    return null;
end $$;

create trigger count_change after insert or delete or update on alert
    for each statement execute function count_change_of('alerts');
create trigger count_change after insert or delete or update on report
    for each statement execute function count_change_of('reports');
create trigger count_change after insert or delete or update on schedule
    for each statement execute function count_change_of('schedules');
