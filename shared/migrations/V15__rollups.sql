-- Rollups -----------------------------------------------------------------------------------------------------------

-- Attempts by the hour and the day (UTC) in which they were recorded. The class of their duration is one more dimension, so that
-- a histogram is merged as everything else is: by adding rows. Sums are numeric, because what other systems report has no bound
-- that a sum of bigint would keep.
create table rollup (
    span           text not null check (span in ('hour', 'day')),
    at             timestamptz not null,
    job_id         integer,
    kind           text not null,
    outcome        text not null,
    target_id      integer,
    bucket         smallint not null,
    count          bigint not null,
    microseconds   numeric not null,
    bytes          numeric not null,
    bytes_added    numeric not null,
    files          numeric not null,
    source_errors  numeric not null
) with (fillfactor = 80);
create unique index on rollup (span, at, job_id, kind, outcome, target_id, bucket) nulls not distinct;

-- Attempts of all transactions below `xact` are rolled up, and no others: whoever rolls up locks this row. Months of attempts that
-- ended before `whole_since` were dropped, so that nothing before it can be counted again.
create table rollup_state (
    xact         xid8 not null,
    moved_at     timestamptz not null default now(),
    whole_since  timestamptz
) with (fillfactor = 50);
create unique index on rollup_state ((true));
insert into rollup_state (xact) values ('0');

-- How many of the active jobs complied, once an hour.
create table compliance_hour (
    at         timestamptz primary key,
    jobs       bigint not null check (jobs > 0),
    compliant  bigint not null check (compliant between 0 and jobs)
);
