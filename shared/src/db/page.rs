//! Pages of lists: some rows in a closed order, from behind the last one of the page before.
//!
//! A list is described by constants ([`Listing`]): which rows there are, what each shows, by what it is narrowed and sorted. What a
//! caller asks for is put together of these texts alone; their values are parameters. So one statement reads a page, whatever is in
//! it, and none can be asked for that was not meant.

mod json;
mod position;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::Error;
use super::statement::Command;

pub use position::{Kind, Position};

/// So many rows are read for a page, whatever its length: the number stands in the statement, because a plan that is made without it would
/// sort a tenth of the table, and there are to be few statements.
const READ: [i64; 4] = [11, 51, 101, 501];

/// A list.
#[derive(Debug)]
pub struct Listing {
    /// The name of the statements that read pages.
    pub list: Command,
    /// The name of the statements that read one row.
    pub one: Command,
    /// The rows, called `e`.
    pub rows: &'static str,
    /// What belongs to each, joined to a page of them.
    pub joins: &'static str,
    /// What each shows.
    pub fields: &'static [Field],
    /// What makes each the one that it is.
    pub key: &'static [(&'static str, Kind)],
    /// By what it is narrowed.
    pub filters: &'static [Filter],
    /// By what it is sorted; the first is by default.
    pub sorts: &'static [Sort],
    /// Whether that is from the end by default.
    pub from_end: bool,
}

/// What a row shows.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name for callers.
    pub name: &'static str,
    /// What it is.
    pub sql: &'static str,
    /// Of which kind.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether lists show it only to who asks for it.
    pub large: bool,
    /// The words that it may be; any when there are none.
    pub words: &'static [&'static str],
    /// What it says, for people.
    pub about: &'static str,
}

impl Field {
    /// One that is always there.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, sql: &'static str, about: &'static str) -> Self {
        Self { name, sql, kind, nullable: false, large: false, words: &[], about }
    }

    /// It may be null.
    #[must_use]
    pub const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// Lists show it only to who asks for it.
    #[must_use]
    pub const fn large(self) -> Self {
        Self { large: true, ..self }
    }

    /// It is one of these words.
    #[must_use]
    pub const fn of(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }
}

/// By what a list is narrowed.
#[derive(Debug)]
pub struct Filter {
    /// Its name for callers.
    pub name: &'static str,
    /// What it compares.
    pub by: By,
    /// What it means, for people.
    pub about: &'static str,
}

/// What a filter compares; `{}` is the value's place.
#[derive(Debug)]
pub enum By {
    /// A text.
    Text(&'static str),
    /// An identity.
    Uuid(&'static str),
    /// A moment.
    Time(&'static str),
    /// One of some words, or several of them; these stand in the statement itself, so that plans and partial indexes know them.
    Words {
        /// What is one of them.
        sql: &'static str,
        /// All of them.
        words: &'static [&'static str],
        /// The one that is meant without another word; `any` means all.
        default: Option<&'static str>,
    },
    /// Yes or no.
    Flag {
        /// Where it is so.
        yes: &'static str,
        /// Where it is not.
        no: &'static str,
        /// What is meant without a word; `any` means both.
        default: Option<bool>,
    },
}

/// By what a list is sorted.
#[derive(Debug)]
pub struct Sort {
    /// Its name for callers.
    pub name: &'static str,
    /// The order; its end is the list's key, so that no two rows are equal.
    pub by: &'static [(&'static str, Kind)],
    /// A filter without which all rows would have to be sorted.
    pub needs: Option<&'static str>,
}

/// A value of a condition, of a key or of a position.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// A text.
    Text(String),
    /// An identity.
    Uuid(Uuid),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A moment.
    Time(DateTime<Utc>),
}

impl Param {
    fn value(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(value) => value,
            Self::Uuid(value) => value,
            Self::Int(value) => value,
            Self::Float(value) => value,
            Self::Time(value) => value,
        }
    }

    const fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Uuid(_) => "uuid",
            Self::Int(_) => "bigint",
            Self::Float(_) => "float8",
            Self::Time(_) => "timestamptz",
        }
    }
}

/// What rows have to be: a text of the list's description, and the value at its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// SQL, with `{}` where the value is.
    pub sql: String,
    /// The value.
    pub value: Option<Param>,
}

/// A page that is asked for.
#[derive(Debug)]
pub struct Asked {
    /// By what it is sorted.
    pub sort: &'static Sort,
    /// Whether from the end.
    pub descending: bool,
    /// Behind which row.
    pub after: Option<Position>,
    /// How many rows, from 1.
    pub limit: i64,
    /// What all of them are.
    pub conditions: Vec<Condition>,
    /// What is shown of each: indexes of the list's fields.
    pub fields: Vec<usize>,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// A JSON array of its rows.
    pub items: Vec<u8>,
    /// The last of them, where there are more behind it.
    pub next: Option<Position>,
}

/// Reads a page.
///
/// # Errors
/// The database's.
pub async fn list(client: &Client, listing: &'static Listing, asked: &Asked) -> Result<Page, Error> {
    let mut values = Values::default();
    let mut wheres = Vec::new();
    for condition in &asked.conditions {
        wheres.push(values.fill(condition));
    }
    let direction = if asked.descending { "desc" } else { "asc" };
    if let Some(after) = &asked.after {
        let beyond = if asked.descending { "<" } else { ">" };
        let columns: Vec<&str> = asked.sort.by.iter().map(|(sql, _)| *sql).collect();
        let places: Vec<String> = after.0.iter().map(|value| values.place(value)).collect();
        // The first column by itself: that of another table's index is not found through a comparison of rows.
        if let (Some(column), Some(place)) = (columns.first(), places.first()) {
            wheres.push(format!("{column} {beyond}= {place}"));
        }
        wheres.push(format!("({}) {beyond} ({})", columns.join(", "), places.join(", ")));
    }
    let order: Vec<String> = asked.sort.by.iter().map(|(sql, _)| format!("{sql} {direction}")).collect();
    let order = order.join(", ");
    let limit = READ.into_iter().find(|read| *read > asked.limit).unwrap_or(asked.limit + 1);
    let shows_large = asked.fields.iter().any(|&field| listing.fields[field].large);
    let shown = shown(listing, shows_large);
    let mut statement = format!("select {}", columns(listing, &shown));
    for (sql, _) in asked.sort.by {
        write!(statement, ", {sql}").ok();
    }
    write!(statement, " from (select e.* from {}", listing.rows).ok();
    if !wheres.is_empty() {
        write!(statement, " where {}", wheres.join(" and ")).ok();
    }
    write!(statement, " order by {order} limit {limit}) e {} order by {order}", listing.joins).ok();

    let rows = listing.list.query(client, &statement, &values.all).await?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let wanted: Vec<(usize, &str)> = asked
        .fields
        .iter()
        .filter_map(|field| Some((shown.iter().position(|one| one == field)?, listing.fields[*field].name)))
        .collect();
    let mut items = vec![b'['];
    for (number, row) in rows.iter().take(limit).enumerate() {
        if number > 0 {
            items.push(b',');
        }
        json::object(row, &wanted, &mut items)?;
    }
    items.push(b']');
    let next = match rows.get(limit.wrapping_sub(1)) {
        Some(last) if rows.len() > limit => Some(Position::of(last, shown.len(), asked.sort.by)?),
        _ => None,
    };
    Ok(Page { items, next })
}

/// Reads one row by its key, as a JSON object with some of its fields.
///
/// # Errors
/// The database's.
pub async fn one(
    client: &Client,
    listing: &'static Listing,
    key: &[Param],
    fields: &[usize],
) -> Result<Option<Vec<u8>>, Error> {
    let mut values = Values::default();
    let wheres: Vec<String> = listing
        .key
        .iter()
        .zip(key)
        .map(|((sql, _), value)| format!("{sql} = {}", values.place(value)))
        .collect();
    let shown = shown(listing, true);
    let statement = format!(
        "select {} from (select e.* from {} where {} limit 1) e {}",
        columns(listing, &shown),
        listing.rows,
        wheres.join(" and "),
        listing.joins
    );
    let rows = listing.one.query(client, &statement, &values.all).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let wanted: Vec<(usize, &str)> =
        fields.iter().map(|&field| (field, listing.fields[field].name)).collect();
    let mut item = Vec::new();
    json::object(row, &wanted, &mut item)?;
    Ok(Some(item))
}

/// The fields that are read, in their order.
fn shown(listing: &Listing, large: bool) -> Vec<usize> {
    (0..listing.fields.len()).filter(|&field| large || !listing.fields[field].large).collect()
}

fn columns(listing: &Listing, shown: &[usize]) -> String {
    let columns: Vec<&str> = shown.iter().map(|&field| listing.fields[field].sql).collect();
    columns.join(", ")
}

/// The parameters of a statement that is being put together.
#[derive(Default)]
struct Values<'a> {
    all: Vec<&'a (dyn ToSql + Sync)>,
}

impl<'a> Values<'a> {
    fn place(&mut self, value: &'a Param) -> String {
        self.all.push(value.value());
        format!("${}::{}", self.all.len(), value.type_name())
    }

    fn fill(&mut self, condition: &'a Condition) -> String {
        match &condition.value {
            Some(value) => condition.sql.replace("{}", &self.place(value)),
            None => condition.sql.clone(),
        }
    }
}
