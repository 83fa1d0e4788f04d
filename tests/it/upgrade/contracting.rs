//! Statements of migrations that break programs of the release before.

use std::collections::BTreeSet;

/// What takes something away wherever it stands, also in a text that is executed, in small letters with single spaces.
///
/// Triggers and indexes may go: nobody names them. A constraint that is dropped allows more, as a default does that is set.
const PATTERNS: [&str; 12] = [
    "drop table ",
    "drop column ",
    "drop view ",
    "drop materialized view ",
    "drop function ",
    "drop type ",
    "drop schema ",
    "drop sequence ",
    "rename to ",
    "rename column ",
    " set not null",
    " set data type ",
];

/// What begins a part of `alter table` that takes something away or allows less.
const PARTS: [&str; 10] = [
    "add constraint ",
    "add check",
    "add unique",
    "add foreign key",
    "add primary key",
    "add exclude",
    "drop ",
    "rename ",
    "set schema ",
    "enable row level security",
];

/// What begins a part that does not, although it begins with one of those.
const HARMLESS: [&str; 2] = ["drop constraint ", "rename constraint "];

/// The statements that take something away that the release before may use, or that demand what it does not give.
///
/// Tables that the same migration makes are nobody's yet. What a trigger refuses, or a text that is put together in pieces, is not seen.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let statements = split(sql);
    let made: BTreeSet<String> =
        statements.iter().filter_map(|statement| named(statement, "create table ")).collect();
    statements.into_iter().filter(|statement| contracts(statement, &made)).collect()
}

fn contracts(statement: &str, made: &BTreeSet<String>) -> bool {
    if PATTERNS.iter().any(|pattern| statement.contains(pattern)) {
        return true;
    }
    let of_others = |name: Option<String>| name.is_some_and(|name| !made.contains(&name));
    if let Some((_, index)) = statement.split_once("create unique index ") {
        let table =
            if index.starts_with("on ") { Some(index) } else { index.split_once(" on ").map(|(_, on)| on) };
        return of_others(
            table
                .and_then(|table| table.trim_start_matches("on ").split([' ', '(']).next())
                .map(str::to_owned),
        );
    }
    let Some((_, altered)) = statement.split_once("alter table ") else { return false };
    if !of_others(named(statement, "alter table ")) {
        return false;
    }
    let altered = altered.trim_start_matches("if exists ").trim_start_matches("only ");
    let (_, parts) = altered.split_once(' ').unwrap_or_default();
    parts_of(parts).iter().any(|part| demands(part.trim()))
}

/// The name behind some words, without what may stand before it.
fn named(statement: &str, words: &str) -> Option<String> {
    let (_, mut rest) = statement.split_once(words)?;
    for word in ["if not exists ", "if exists ", "only "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.split([' ', '(']).next().map(str::to_owned)
}

/// A column that goes or has to be given, a type that changes, or a constraint that may not hold for what is written.
fn demands(part: &str) -> bool {
    if HARMLESS.iter().any(|harmless| part.starts_with(harmless)) {
        return false;
    }
    let begins = PARTS.iter().any(|begin| part.starts_with(begin));
    let given = part.contains(" default ") || part.contains(" generated ");
    let required = part.starts_with("add ") && part.contains(" not null") && !given;
    let retyped = part.starts_with("alter ") && part.contains(" type ");
    begins || required || retyped
}

/// What stands between commas, except for those in brackets and in texts.
fn parts_of(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted) = (0_i32, false);
    let separates = |c: char| {
        match c {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        c == ',' && !quoted && depth == 0
    };
    text.split(separates).collect()
}

/// The statements in small letters, without comments, each on one line. What stands between dollars belongs to its statement, except for what
/// is done at once.
fn split(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join(" ").to_lowercase();
    let mut statements = vec![String::new()];
    for (place, piece) in between_dollars(&text).into_iter().enumerate() {
        let done = statements.last().is_some_and(|statement| statement.trim_start().starts_with("do "));
        if place % 2 == 1 {
            // The body of a function names columns, and changes no table.
            if done {
                statements.extend(piece.split(';').map(str::to_owned));
            }
            continue;
        }
        let mut parts = piece.split(';');
        if let (Some(last), Some(first)) = (statements.last_mut(), parts.next()) {
            last.push_str(first);
        }
        statements.extend(parts.map(str::to_owned));
    }
    let tidy = |statement: String| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    statements.into_iter().map(tidy).filter(|statement| !statement.is_empty()).collect()
}

/// What stands outside of dollars and within them, in turns: `$$..$$` and `$name$..$name$`.
fn between_dollars(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('$') {
        let Some(length) = rest[begin + 1..].find('$') else { break };
        let mark = &rest[begin..=begin + 1 + length];
        let body = &rest[begin + mark.len()..];
        let Some(end) = body.find(mark) else { break };
        pieces.extend([&rest[..begin], &body[..end]]);
        rest = &body[end + mark.len()..];
    }
    pieces.push(rest);
    pieces
}

#[test]
fn each_way_to_break_the_release_before_is_found_and_what_only_adds_is_not() {
    for breaking in [
        "drop table job;",
        "ALTER TABLE job\n    DROP COLUMN owner;",
        "alter table job rename column owner to team;",
        "alter table job rename to work;",
        "alter table job alter column owner set not null;",
        "alter table job alter column id type text;",
        "alter table job add column team text not null;",
        "alter table job add constraint few check (id < 7);",
        "create unique index on job (owner);",
        "create unique index concurrently if not exists job_owner on job (owner) where owner <> '';",
        "alter table job add unique (owner);",
        "alter table job add foreign key (owner) references team;",
        "alter table job add primary key (id);",
        "alter table job drop owner;",
        "alter table only job drop if exists owner;",
        "alter table job rename owner to team;",
        "alter table job alter id type text;",
        "alter table job alter owner set not null;",
        "alter table job add n numeric(10,2) not null;",
        "alter table job add column n numeric(10,2) not null;",
        "alter table job add column m text default 'a, b', add column n numeric(10,2) not null;",
        "do $$ begin alter table job drop owner; end $$;",
        "do $body$ begin execute format('alter table %s add column n int not null', 'job'); end $body$;",
        "do $$ begin if true then drop table job; end if; end $$;",
    ] {
        assert_eq!(statements(breaking).len(), 1, "{breaking}: {:?}", statements(breaking));
    }
    for adding in [
        "alter table job add column team text;",
        "alter table job add column n integer not null default 0, add column m text;",
        "alter table job add n numeric(10,2) not null default 0, add m numeric(10, 2);",
        "alter table job add column n bigint not null generated always as identity;",
        "alter table job alter column owner drop default, alter column owner drop not null;",
        "create table team (id bigint not null); create index on team (id);",
        "create table team (id bigint not null); create unique index on team (id); alter table team add unique (id);",
        "drop index job_idx; -- drop table job;",
        "create function f() returns trigger language plpgsql as $$ begin drop table t; end $$;",
        "create function f() returns trigger as $f$ begin alter table t drop a; end $f$ language plpgsql;",
        "do $$ begin alter table job add column team text; end $$; create index on job (team);",
        "alter table job drop constraint job_check;",
    ] {
        assert!(statements(adding).is_empty(), "{adding}: {:?}", statements(adding));
    }
}
