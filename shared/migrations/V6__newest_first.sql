-- A unique index looks at all versions of a row before it takes the next one in. While somebody holds an old snapshot a
-- job has thousands, and each judgement would cost more than the one before. A plain index does not; and without lists of
-- equal keys it is read from its end, where the newest version stands.
alter table compliance drop constraint compliance_pkey;
create index on compliance (job_id) with (deduplicate_items = off);

-- One row a job: whoever brings a second one writes nothing, as with `on conflict do nothing`.
create function keep_first_compliance() returns trigger language plpgsql as $$
begin
    -- Whoever waits here sees the other's row afterwards.
    perform from job where id = new.job_id for no key update;
    if exists (select from compliance where job_id = new.job_id) then
        return null;
    end if;
    return new;
end
$$;
create trigger keep_first before insert on compliance for each row execute function keep_first_compliance();
