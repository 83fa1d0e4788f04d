-- How long what is kept, as the producers were told: tasks that sweep have no settings of their own and go by it.
create table keeping (
    -- In seconds.
    id_window  bigint not null check (id_window > 0),
    history    bigint not null check (history > 0),
    told_at    timestamptz not null default now()
);
create unique index on keeping ((true));
