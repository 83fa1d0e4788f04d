-- A unique index looks at all versions of a row before it takes the next one in. While somebody holds an old snapshot a
-- job has thousands, and each judgement would cost more than the one before. That there is one row a job is kept by the
-- job's row: whoever writes a definition locks it before this row is made.
alter table compliance drop constraint compliance_pkey;
create index on compliance (job_id);
