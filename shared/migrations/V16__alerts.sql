-- Alerts ------------------------------------------------------------------------------------------------------------

-- Nothing ever wrote the first table of this name.
drop table alert;

-- What is, or was, wrong. One that is pending has not lasted for long enough yet; if it goes before that, its row goes too.
create table alert (
    id                  bigint generated always as identity primary key,
    -- What is wrong: the rule, a slash, and with what.
    cause               text not null,
    rule                text not null,
    severity            text not null check (severity in ('info', 'warning', 'critical')),
    state               text not null check (state in ('pending', 'open', 'resolved')),
    -- With what it is, for people: the name of a job, a target, a worker.
    subject             text not null,
    job_id              integer references job,
    target_id           integer references target,
    owner               text,
    -- Alerts of one group are told together: the rule, and an owner or a target.
    group_key           text not null,
    summary             text not null,
    detail              text,
    since               timestamptz not null,
    opened_at           timestamptz,
    resolved_at         timestamptz,
    -- How often it came back after it had been resolved.
    reopened            integer not null default 0,
    acknowledged_at     timestamptz,
    acknowledged_by     text,
    acknowledged_note   text,
    -- The acknowledgement ends then; without it, when the alert is resolved or gets worse.
    acknowledged_until  timestamptz,
    -- It is followed but not told: `alert:CAUSE`, `silence:ID`, `maintenance:NAME`.
    suppressed_by       text,
    check ((state = 'pending') = (opened_at is null)),
    check ((state = 'resolved') = (resolved_at is not null)),
    check ((acknowledged_at is null) = (acknowledged_by is null)),
    check (acknowledged_at is not null or (acknowledged_note is null and acknowledged_until is null))
);
create unique index alert_cause_idx on alert (cause) where state <> 'resolved';
create index alert_resolved_at_idx on alert (resolved_at) where state = 'resolved';

-- Each change of an alert's life, in the transaction that makes it: the alert's history, and what notifications are made of.
create table alert_event (
    id             bigint generated always as identity primary key,
    alert_id       bigint not null references alert on delete cascade,
    transition     text not null check (transition in ('opened', 'reopened', 'escalated', 'resolved', 'acknowledged',
                       'unacknowledged', 'suppressed', 'released')),
    at             timestamptz not null default now(),
    -- What the alert was and said then.
    severity       text not null check (severity in ('info', 'warning', 'critical')),
    summary        text not null,
    -- Who did it; nobody where it came by itself.
    by             text,
    note           text,
    suppressed_by  text
);
create index alert_event_alert_id_idx on alert_event (alert_id, id);

-- Alerts that nobody wants to be told of for a while: those that match all that is given.
create table silence (
    id          bigint generated always as identity primary key,
    rule        text,
    job         text,
    target      text,
    owner       text,
    tag         text,
    severity    text check (severity in ('info', 'warning', 'critical')),
    starts_at   timestamptz not null default now(),
    ends_at     timestamptz not null,
    created_at  timestamptz not null default now(),
    created_by  text not null,
    why         text not null,
    check (num_nonnulls(rule, job, target, owner, tag, severity) > 0),
    check (ends_at > starts_at and ends_at <= starts_at + interval '366 days')
);

-- What the definitions say of rules, and when they say that nobody is to be told.
create table alert_setting (
    rule     text primary key,
    setting  jsonb not null
);
create table maintenance (
    name        text primary key,
    definition  jsonb not null
);

-- What alerts rest on -----------------------------------------------------------------------------------------------

-- How the backups of a job went, folded from its executions. A task counts once, when it has come to its end. Like executions,
-- these name jobs and targets without a reference: neither is ever deleted.
create table job_health (
    job_id           integer primary key,
    -- Of the last one.
    outcome          text not null,
    task_id          uuid not null,
    finished_at      timestamptz not null,
    error            text,
    failed_in_a_row  integer not null,
    failing_since    timestamptz,
    succeeded_at     timestamptz,
    -- Of the last good ones, the newest first: 21 at most.
    seconds          double precision[] not null default '{}',
    bytes            bigint[] not null default '{}',
    check ((failed_in_a_row > 0) = (failing_since is not null))
) with (fillfactor = 70);

-- How many ended well and how many did not, by day in UTC, for 31 days.
create table job_day (
    job_id  integer not null,
    day     date not null,
    good    integer not null default 0,
    bad     integer not null default 0,
    primary key (job_id, day)
) with (fillfactor = 70);

-- How the tasks on a target went, of whatever job, folded from the same executions.
create table target_health (
    target_id        integer primary key,
    finished_at      timestamptz not null,
    error            text,
    failed_in_a_row  integer not null,
    failing_since    timestamptz,
    -- Whose tasks those that failed in a row were: five jobs at most.
    failing_jobs     integer[] not null default '{}',
    succeeded_at     timestamptz,
    -- A probe could not reach it, and nothing has since.
    unreachable_at   timestamptz,
    check ((failed_in_a_row > 0) = (failing_since is not null))
) with (fillfactor = 70);

-- The transaction up to which executions are folded, absent before the first time; and when the rules were looked at last, and
-- for how long.
create table alert_evaluation (
    folded        xid8,
    evaluated_at  timestamptz,
    seconds       double precision
);
create unique index alert_evaluation_expr_idx on alert_evaluation ((true));
insert into alert_evaluation default values;

-- When what a running task says of its progress was new for the last time.
alter table lease add column progressed_at timestamptz;
