-- Most jobs have no day on which a backup failed: the rule of success rates looks at the others only.
create index job_day_bad_idx on job_day (job_id) where bad > 0;
