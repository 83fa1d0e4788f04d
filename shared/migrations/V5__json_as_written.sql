-- JSON that is written with every task and read whole stays the text that it is: `jsonb` would take each value apart
-- on its way in and put it together again on its way out. Whoever looks into one, converts it then.
drop view verdict;
alter table compliance
    alter column facts drop default, alter column answers drop default, alter column verdicts drop default,
    alter column facts type json, alter column answers type json, alter column verdicts type json,
    alter column facts set default '{}', alter column answers set default '[]', alter column verdicts set default '[]';
create view verdict as
    select c.job_id, v.rule, v.answer, v.reason, v.evidence, v.expires_at, c.policy_version, c.evaluated_at
    from compliance c,
         jsonb_to_recordset(c.verdicts::jsonb)
             as v(rule text, answer text, reason text, evidence uuid[], expires_at timestamptz);
alter table evidence alter column finding type json;
alter table evidence_kept alter column finding type json;
alter table task alter column params type json;
alter table lease alter column params type json;
alter table dead_task alter column params type json;
