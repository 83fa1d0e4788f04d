-- Most jobs have no day on which a backup failed: the rule of success rates looks at the others only.
create index job_day_bad_idx on job_day (job_id) where bad > 0;

-- One reporter leads in everything. One of an earlier version, which led in these by themselves, must not while both run.
insert into leader (role, holder, term, expires_at)
select role, gen_random_uuid(), 1, 'infinity' from unnest(array['alerts', 'notifier']) as r(role)
on conflict (role) do update set holder = excluded.holder, term = leader.term + 1, expires_at = 'infinity';
