-- Notifications -----------------------------------------------------------------------------------------------------

-- What the definitions say of who is told of alerts, and how.
create table channel (
    name        text primary key,
    definition  jsonb not null
);
create table route (
    name        text primary key,
    definition  jsonb not null
);

-- A transition is routed once, in the transaction that writes the notifications of it.
alter table alert_event add column routed_at timestamptz;
create index alert_event_unrouted_idx on alert_event (id) where routed_at is null;

-- What is to be told by a channel, and was. Its id is the same at each attempt, and receivers know it.
create table notification (
    id          uuid primary key,
    channel     text not null,
    group_key   text not null,
    state       text not null default 'waiting' check (state in ('waiting', 'delivered', 'given_up')),
    -- Begun ones. As long as there is none, more of the group is added.
    attempts    integer not null default 0,
    -- When the next attempt begins; while one is under way, when it is taken for lost.
    next_at     timestamptz,
    created_at  timestamptz not null default clock_timestamp(),
    ended_at    timestamptz,
    last_error  text,
    check ((state = 'waiting') = (next_at is not null)),
    check ((state = 'waiting') = (ended_at is null))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index notification_waiting_idx on notification (channel, group_key, created_at, id) where state = 'waiting';
create index notification_created_at_idx on notification (created_at);

-- The transitions that it tells: each once by a channel, and again only where a route says that it is repeated.
create table notification_event (
    channel          text not null,
    event_id         bigint not null,
    repetition       integer not null default 0,
    notification_id  uuid not null references notification on delete cascade,
    alert_id         bigint not null,
    told             text not null check (told in ('opened', 'reopened', 'escalated', 'repeated', 'resolved')),
    content          json not null,
    primary key (channel, event_id, repetition)
);
create index notification_event_notification_id_idx on notification_event (notification_id);
create index notification_event_alert_id_idx on notification_event (alert_id, channel, event_id, repetition);

-- Attempts to deliver, and what came of them: nothing is known of one whose process is gone.
create table delivery (
    notification_id  uuid not null references notification on delete cascade,
    attempt          integer not null,
    at               timestamptz not null default now(),
    seconds          double precision,
    outcome          text check (outcome in ('delivered', 'failed', 'refused')),
    -- Of the answer, where there was one: of HTTP or SMTP.
    status           integer,
    error            text,
    primary key (notification_id, attempt)
);
