-- A target that comes or goes is a change as well: what executors need to know of a job's targets is kept in memory
-- for one value of `definitions_version`.
drop trigger count_change on target;
create trigger count_change after insert or delete or update of definition, state on target
    for each statement execute function count_definitions_change();

-- What is written for each task is kept lean. A claim finds the job in the same transaction and jobs are never deleted,
-- so that looking again for each row only takes a lock on the job's row that all claims would share.
alter table task drop constraint task_job_id_fkey;
alter table lease drop constraint lease_job_id_fkey;

-- Whoever records evidence locks the job's row of `compliance` first: the facts that this guards live in the same row,
-- by the target's number, with the answers apart from the long reasons, so that both are had with the lock. The verdicts
-- come last: while they stay as they are, the log of an update leaves them out.
drop view verdict;
alter table compliance rename column verdicts to former;
alter table compliance
    add column facts     jsonb not null default '{}',
    add column answers   jsonb not null default '[]',
    add column verdicts  jsonb not null default '[]';
update compliance c set
    facts = coalesce((select jsonb_object_agg(k.target_id, k.facts) from copy k where k.job_id = c.job_id), '{}'),
    answers = jsonb_path_query_array(former, '$[*].answer'),
    verdicts = former;
alter table compliance drop column former;
drop table copy;
create view verdict as
    select c.job_id, v.rule, v.answer, v.reason, v.evidence, v.expires_at, c.policy_version, c.evaluated_at
    from compliance c,
         jsonb_to_recordset(c.verdicts)
             as v(rule text, answer text, reason text, evidence uuid[], expires_at timestamptz);
-- Each judgement is an update of the whole row: there must be room for the next version beside it.
alter table compliance set (fillfactor = 50);
