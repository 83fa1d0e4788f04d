-- Commands over HTTP ------------------------------------------------------------------------------------------------

-- Who may call: only the hash of a token's secret is here.
create table api_token (
    id             uuid primary key,
    name           text not null,
    role           text not null check (role in ('viewer', 'operator', 'admin')),
    holder         text not null check (holder in ('person', 'machine')),
    secret_sha256  bytea not null,
    created_at     timestamptz not null default now(),
    created_by     text not null,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    revoked_by     text
);
-- A name means one token, but may be given again after it was revoked.
create unique index api_token_name_idx on api_token (name) where revoked_at is null;

-- What people and other systems changed: only ever added to.
create table audit (
    id        bigint generated always as identity primary key,
    at        timestamptz not null default now(),
    actor     text not null,
    token_id  uuid,
    action    text not null,
    subject   text not null,
    name      text not null,
    before    json,
    after     json
);
create index audit_at_idx on audit using brin (at);

-- Answers to requests that may come again, by what their callers call them.
create table idempotency (
    token_id      uuid not null,
    key           text not null,
    fingerprint   bytea not null,
    status        smallint,
    answer        json,
    at            timestamptz not null default now(),
    primary key (token_id, key)
);
create index idempotency_at_idx on idempotency using brin (at);
