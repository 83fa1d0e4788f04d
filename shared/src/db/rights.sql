-- What the roles `holdfast_worker` and `holdfast_reporter` may do, where there are such roles. The owner of the tables, as whom producers
-- and whoever maintains the database come, needs no rights: it makes and drops months.
do $$
declare
    role text;
    own record;
begin
    foreach role in array array['holdfast_worker', 'holdfast_reporter'] loop
        continue when not exists (select from pg_roles where rolname = role);
        execute format('grant usage on schema %I to %I', current_schema(), role);
        for own in select oid::regclass as name from pg_class
            where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and pg_has_role(relowner, 'usage')
        loop
            execute format('revoke all on %s from %I', own.name, role);
            execute format('grant select on %s to %I', own.name, role);
        end loop;
        -- Answers to requests are the producer's alone.
        execute format('revoke all on idempotency from %I', role);
    end loop;

    if exists (select from pg_roles where rolname = 'holdfast_worker') then
        -- It takes messages and reads people's data: it sees no tokens, and can change neither definitions nor the record.
        revoke all on api_token from holdfast_worker;
        grant insert, update, delete on task, lease, line, cap, token, worker, dead_task, manifest, repository_lock to holdfast_worker;
        grant insert on known_id, execution, evidence, verdict_change, report, report_file, notification to holdfast_worker;
        grant insert, update on restore_point to holdfast_worker;
        grant update on compliance, cache_version to holdfast_worker;
        grant update (repository_id, pruned_at) on target to holdfast_worker;
        -- To lock its row, so that definitions stay as they are while tasks are judged.
        grant update on definitions_version to holdfast_worker;
    end if;

    if exists (select from pg_roles where rolname = 'holdfast_reporter') then
        -- It tells: tasks, definitions and evidence it only reads. A rebuild of rollups numbers attempts anew.
        grant insert, update, delete on alert, alert_event, alert_evaluation, notification, notification_event, delivery, leader to holdfast_reporter;
        grant insert, update, delete on rollup, rollup_state, job_health, job_day, target_health, compliance_hour to holdfast_reporter;
        grant insert on verdict_change to holdfast_reporter;
        grant update on compliance, cache_version to holdfast_reporter;
        grant update (xact) on execution to holdfast_reporter;
    end if;
end $$;
