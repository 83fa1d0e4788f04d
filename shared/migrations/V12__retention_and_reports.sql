-- Retention ---------------------------------------------------------------------------------------------------------

-- What was forgotten stays on record and is offered to nobody: those that are still there are found by an index of them alone.
alter table restore_point add column forgotten_at timestamptz;
drop index restore_point_job_id_target_id_data_time_idx;
create index restore_point_job_id_target_id_data_time_idx on restore_point (job_id, target_id, data_time desc)
    where forgotten_at is null;
-- A manifest goes with the last restore point of its backup.
create index restore_point_manifest_id_idx on restore_point (manifest_id) where manifest_id is not null;

-- When the repository was last rid of what nothing needs any more.
alter table target add column pruned_at timestamptz;

-- Reports -----------------------------------------------------------------------------------------------------------

-- Another system's word for a restore point of its own: nothing of it can be read.
alter table restore_point add column reported boolean not null default false;
