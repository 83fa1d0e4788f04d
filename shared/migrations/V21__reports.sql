-- Reports -----------------------------------------------------------------------------------------------------------

-- What a report is written as, each with the hash of what is downloaded.
create table report_file (
    report_id  uuid not null references report on delete cascade,
    format     text not null check (format in ('html', 'pdf', 'csv', 'json')),
    sha256     text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    bytes      bigint not null generated always as (octet_length(content)) stored,
    content    bytea not null,
    primary key (report_id, format)
);
insert into report_file (report_id, format, sha256, content)
    select id, 'html', encode(sha256(convert_to(html, 'UTF8')), 'hex'), convert_to(html, 'UTF8') from report
    union all
    select id, 'json', encode(sha256(convert_to(content::text, 'UTF8')), 'hex'), convert_to(content::text, 'UTF8') from report;
alter table report drop column html, drop column content, drop column sha256;

-- What it is called, how things stand in a sentence, and the text of the mail; and whom it is about, where that is not everybody.
alter table report
    add column title     text not null default 'Daily report',
    add column headline  text not null default '',
    add column summary   text not null default '',
    add column job       text,
    add column owner     text;
alter table report alter column title drop default, alter column headline drop default, alter column summary drop default;

-- A task makes one report, however often it is tried.
delete from report r using report o
    where o.task_id = r.task_id and (o.created_at, o.id) > (r.created_at, r.id);
create unique index report_task_id_idx on report (task_id);
create index report_created_at_idx on report (created_at, id);

-- A notification tells alerts, or brings a report: each channel gets it once.
alter table notification add column report_id uuid references report on delete cascade;
create unique index notification_report_id_channel_idx on notification (report_id, channel) where report_id is not null;
