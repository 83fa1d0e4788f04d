//! Statements of migrations that break programs of the release before.

/// How such statements look, in small letters with single spaces.
///
/// Triggers and indexes may go: nobody names them. A constraint that is dropped allows more, as a default does that is set.
const PATTERNS: [&str; 8] = [
    "drop table ",
    "drop column ",
    "rename to ",
    "rename column ",
    " set not null",
    " set data type ",
    "drop view ",
    "drop function ",
];

/// The statements that take something away that the release before may use, or that demand what it does not give.
pub(super) fn statements(sql: &str) -> Vec<String> {
    split(sql).into_iter().filter(|statement| contracts(statement)).collect()
}

fn contracts(statement: &str) -> bool {
    if PATTERNS.iter().any(|pattern| statement.contains(pattern)) {
        return true;
    }
    statement.starts_with("alter table ") && statement.split(',').any(demands)
}

/// A column that has to be given, a type that changes, or a constraint that may not hold for what is written.
fn demands(part: &str) -> bool {
    let adds = part.contains("add column ");
    let required = adds && part.contains(" not null") && !part.contains(" default ");
    let retyped = part.contains("alter column ") && part.contains(" type ");
    let constrained = part.contains("add constraint ") || part.contains("add check ");
    required || retyped || constrained
}

/// The statements in small letters, without comments, each on one line. What stands between dollars belongs to its statement.
fn split(sql: &str) -> Vec<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join(" ").to_lowercase();
    let mut statements = vec![String::new()];
    for (place, piece) in text.split("$$").enumerate() {
        if place % 2 == 1 {
            // The body of a function names columns, and changes no table.
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
    ] {
        assert_eq!(statements(breaking).len(), 1, "{breaking}");
    }
    for adding in [
        "alter table job add column team text;",
        "alter table job add column n integer not null default 0, add column m text;",
        "create table team (id bigint not null); create index on team (id);",
        "drop index job_idx; -- drop table job;",
        "create function f() returns trigger language plpgsql as $$ begin drop table t; end $$;",
        "alter table job drop constraint job_check;",
    ] {
        assert!(statements(adding).is_empty(), "{adding}: {:?}", statements(adding));
    }
}
