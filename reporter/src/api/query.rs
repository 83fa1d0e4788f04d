//! What a list is asked for: pages, fields, filters and order, each refused by its name.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use shared::db::page::{Asked, By, Condition, Kind, Listing, Param, Position, Sort};
use shared::http::Problem;
use uuid::Uuid;

use super::Entity;

/// Rows of a page unless another number is asked for.
pub(super) const USUAL: i64 = 50;
/// The most rows of a page.
pub(super) const MOST: i64 = 500;
/// What every list takes.
const COMMON: [&str; 4] = ["limit", "after", "sort", "fields"];
/// The word for all that a filter leaves out without another one.
pub(super) const ANY: &str = "any";

/// A query, in the order of its names.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads the query of a URL.
    ///
    /// # Errors
    /// A parameter comes twice, or holds what no text has.
    pub(super) fn read(query: Option<&str>) -> Result<Self, Problem> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if value.contains('\0') || value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(wrong(&name, "is no text in UTF-8"));
            }
            if all.contains_key(&*name) {
                return Err(wrong(&name, "comes twice"));
            }
            all.insert(name.into_owned(), value.into_owned());
        }
        Ok(Self(all))
    }

    /// The same text for the same query, whatever the order of its parts.
    #[must_use]
    pub(super) fn canonical(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// The job to which it narrows a list, if it does to one.
    #[must_use]
    pub(super) fn job(&self) -> Option<&str> {
        self.0.get("job").map(String::as_str)
    }

    /// The query of the page behind this one.
    #[must_use]
    pub(super) fn behind(&self, cursor: &str) -> String {
        let others = self.0.iter().filter(|(name, _)| *name != "after");
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("after", cursor)
            .finish()
    }

    /// What it asks of a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn asks(&self, entity: &'static Entity) -> Result<Asked, Problem> {
        let listing = &entity.listing;
        let known = COMMON.into_iter().chain(listing.filters.iter().map(|filter| filter.name));
        self.only(&known.collect::<Vec<_>>())?;
        let (sort, descending) = self.sort(listing)?;
        let after =
            self.0.get("after").map(|text| read_cursor(text, entity, sort, descending)).transpose()?;
        let conditions = listing.filters.iter().map(|filter| self.condition(filter.name, &filter.by));
        let conditions = conditions.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        self.ordered()?;
        let fields = self.fields(listing, false)?;
        Ok(Asked { sort, descending, after, limit: self.limit()?, conditions, fields })
    }

    /// Which fields it asks for of one thing: all of them unless it names some.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn fields_of_one(&self, entity: &'static Entity) -> Result<Vec<usize>, Problem> {
        self.only(&["fields"])?;
        self.fields(&entity.listing, true)
    }

    /// Refuses all but some parameters.
    ///
    /// # Errors
    /// There is another one.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) if known.is_empty() => Err(wrong(unknown, "is unknown: nothing is asked for here")),
            Some(unknown) => Err(wrong(unknown, &format!("is unknown: use {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    fn ordered(&self) -> Result<(), Problem> {
        let at = |name| self.0.get(name).and_then(|text| moment(text));
        match (at("from"), at("to")) {
            (Some(from), Some(to)) if from > to => Err(wrong("to", "is before from")),
            _ => Ok(()),
        }
    }

    fn limit(&self) -> Result<i64, Problem> {
        let Some(text) = self.0.get("limit") else { return Ok(USUAL) };
        let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
        number.ok_or_else(|| wrong("limit", &format!("is no number from 1 to {MOST}")))
    }

    fn sort(&self, listing: &'static Listing) -> Result<(&'static Sort, bool), Problem> {
        let (name, descending) = match self.0.get("sort") {
            None => (listing.sorts.first().map_or("", |sort| sort.name), listing.from_end),
            Some(text) => text.strip_prefix('-').map_or((text.as_str(), false), |name| (name, true)),
        };
        let Some(sort) = listing.sorts.iter().find(|sort| sort.name == name) else {
            let names: Vec<&str> = listing.sorts.iter().map(|sort| sort.name).collect();
            let why = format!("{name:?} is unknown: use {}, with - before it from the end", names.join(", "));
            return Err(wrong("sort", &why));
        };
        match sort.needs {
            Some(filter) if !self.0.contains_key(filter) => {
                Err(wrong("sort", &format!("by {name} only together with {filter}")))
            }
            _ => Ok((sort, descending)),
        }
    }

    fn fields(&self, listing: &Listing, all: bool) -> Result<Vec<usize>, Problem> {
        let fields = listing.fields;
        let Some(text) = self.0.get("fields") else {
            return Ok((0..fields.len()).filter(|&field| all || !fields[field].large).collect());
        };
        let mut asked = Vec::new();
        for name in text.split(',').map(str::trim) {
            let Some(field) = fields.iter().position(|field| field.name == name) else {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                return Err(wrong("fields", &format!("{name:?} is unknown: use {}", names.join(", "))));
            };
            if !asked.contains(&field) {
                asked.push(field);
            }
        }
        asked.sort_unstable();
        Ok(asked)
    }

    fn condition(&self, name: &str, by: &By) -> Result<Option<Condition>, Problem> {
        let text = self.0.get(name).map(String::as_str);
        let with = |sql: &str, value| Ok(Some(Condition { sql: sql.to_owned(), value: Some(value) }));
        match (by, text) {
            (By::Text(_) | By::Uuid(_) | By::Time(_), None) => Ok(None),
            (By::Text(sql), Some(text)) => with(sql, Param::Text(text.to_owned())),
            (By::Uuid(sql), Some(text)) => match Uuid::try_parse(text) {
                Ok(id) => with(sql, Param::Uuid(id)),
                Err(_) => Err(wrong(name, "is no UUID")),
            },
            (By::Time(sql), Some(text)) => match moment(text) {
                Some(moment) => with(sql, Param::Time(moment)),
                None => Err(wrong(
                    name,
                    "is no moment such as 2026-11-26T02:00:00Z, and no date such as 2026-11-26",
                )),
            },
            (By::Words { sql, words, default }, text) => match text.or(*default) {
                None => Ok(None),
                Some(ANY) if default.is_some() => Ok(None),
                Some(text) => words_of(name, sql, words, text).map(Some),
            },
            (By::Flag { yes, no, default }, text) => {
                let wanted = match text {
                    None => *default,
                    Some("true") => Some(true),
                    Some("false") => Some(false),
                    Some(ANY) => None,
                    Some(_) => return Err(wrong(name, "is neither true nor false, nor any")),
                };
                let sql = wanted.map(|wanted| if wanted { yes } else { no });
                Ok(sql.map(|sql| Condition { sql: (*sql).to_owned(), value: None }))
            }
        }
    }
}

/// The words stand in the statement itself: they are our own, never the caller's.
fn words_of(name: &str, sql: &str, words: &'static [&'static str], text: &str) -> Result<Condition, Problem> {
    let mut asked: Vec<&'static str> = Vec::new();
    for word in text.split(',').map(str::trim) {
        let Some(own) = words.iter().find(|own| **own == word) else {
            return Err(wrong(name, &format!("{word:?} is unknown: use {}", words.join(", "))));
        };
        asked.push(own);
    }
    asked.sort_unstable();
    asked.dedup();
    let sql = match asked[..] {
        [one] => format!("{sql} = '{one}'"),
        _ => format!("{sql} in ('{}')", asked.join("', '")),
    };
    Ok(Condition { sql, value: None })
}

/// A moment, or the first one of a day in UTC, within the years that databases and people count in.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let day = |text: &str| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc());
    // Whoever forgets to encode a plus sends a blank.
    let moment = DateTime::parse_from_rfc3339(&text.replace(' ', "+")).ok().map(|moment| moment.to_utc());
    let moment = moment.or_else(|| day(text))?;
    (0..253_402_300_800).contains(&moment.timestamp()).then_some(moment)
}

/// A position as callers hand it on: nothing that they need to understand.
#[must_use]
pub(super) fn cursor(entity: &Entity, sort: &Sort, descending: bool, position: &Position) -> String {
    let text = serde_json::json!([order(entity, sort, descending), position.to_json()]).to_string();
    URL_SAFE_NO_PAD.encode(text)
}

fn read_cursor(text: &str, entity: &Entity, sort: &Sort, descending: bool) -> Result<Position, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let value: Option<serde_json::Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(value) = value.filter(|value| value.as_array().is_some_and(|parts| parts.len() == 2)) else {
        return Err(wrong("after", "is nothing that came as `next` from here"));
    };
    if value[0] != order(entity, sort, descending) {
        return Err(wrong("after", "came from another list, or from another order of this one"));
    }
    let position = Position::from_json(&value[1], sort.by);
    position.ok_or_else(|| wrong("after", "is nothing that came as `next` from here"))
}

fn order(entity: &Entity, sort: &Sort, descending: bool) -> String {
    format!("{}:{}{}", entity.path, if descending { "-" } else { "" }, sort.name)
}

/// The key of one thing, as its path names it; `None` if nothing can be named so.
#[must_use]
pub(super) fn key(listing: &Listing, text: &str) -> Option<Vec<Param>> {
    let parts: Vec<&str> = match listing.key {
        [_] => vec![text],
        _ => text.splitn(listing.key.len(), '.').collect(),
    };
    if parts.len() != listing.key.len() {
        return None;
    }
    let param = |(part, (_, kind)): (&&str, &(&str, Kind))| {
        Some(match kind {
            Kind::Uuid => Param::Uuid(Uuid::try_parse(part).ok()?),
            Kind::Int => Param::Int(part.parse().ok()?),
            Kind::Text if !part.contains('\0') => Param::Text((*part).to_owned()),
            _ => return None,
        })
    };
    parts.iter().zip(listing.key).map(param).collect()
}

fn wrong(parameter: &str, why: &str) -> Problem {
    let parameter: String = parameter.chars().take(80).collect();
    Problem::field(StatusCode::BAD_REQUEST, parameter, why.chars().take(1_000).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::entities;

    fn entity(path: &str) -> &'static Entity {
        entities::ALL.iter().find(|entity| entity.path == path).unwrap()
    }

    fn asks(path: &str, query: &str) -> Result<Asked, String> {
        let asked = Query::read(Some(query)).and_then(|query| query.asks(entity(path)));
        asked.map_err(|problem| serde_json::to_value(problem).unwrap()["detail"].as_str().unwrap().to_owned())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (path, query, said) in [
            ("jobs", "limit=0", "limit: is no number from 1 to 500"),
            ("jobs", "limit=501", "limit: is no number"),
            ("jobs", "colour=blue", "colour: is unknown: use limit, after, sort, fields, owner, tag"),
            ("jobs", "fields=name,colour", "fields: \"colour\" is unknown: use name, owner"),
            ("jobs", "fields=", "fields: \"\" is unknown"),
            ("jobs", "sort=owner", "sort: \"owner\" is unknown: use name, updated_at"),
            ("jobs", "active=perhaps", "active: is neither true nor false"),
            ("jobs", "owner=a&owner=b", "owner: comes twice"),
            ("jobs", "owner=%00", "owner: is no text"),
            ("executions", "outcome=failed,broken", "outcome: \"broken\" is unknown: use success"),
            ("executions", "task=7", "task: is no UUID"),
            ("executions", "from=yesterday", "from: is no moment"),
            ("executions", "to=9999999-01-01", "to: is no moment"),
            ("executions", "after=x", "after: is nothing that came as `next`"),
            ("restore-points", "sort=data_time", "sort: by data_time only together with job"),
        ] {
            let error = asks(path, query).unwrap_err();
            assert!(error.starts_with(said), "{query}: {error}");
        }
    }

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_order_only() {
        let asked = asks("executions", "").unwrap();
        let position =
            Position(vec![Param::Time(DateTime::UNIX_EPOCH), Param::Uuid(Uuid::nil()), Param::Int(7)]);
        let text = cursor(entity("executions"), asked.sort, asked.descending, &position);
        let after =
            |path: &str, query: &str| asks(path, &format!("{query}&after={text}")).map(|asked| asked.after);
        assert_eq!(after("executions", "limit=3"), Ok(Some(position)));
        for (path, query) in [("executions", "sort=finished_at"), ("evidence", "")] {
            assert!(after(path, query).unwrap_err().contains("came from another list"), "{path} {query}");
        }
    }

    #[test]
    fn words_stand_in_the_statement_and_what_is_left_out_is_had_by_any() {
        let conditions = |query: &str| {
            let asked = asks("dead-tasks", query).unwrap();
            asked.conditions.into_iter().map(|condition| condition.sql).collect::<Vec<_>>()
        };
        assert_eq!(conditions(""), ["e.state = 'open'"]);
        assert_eq!(conditions("state=any"), [""; 0]);
        assert_eq!(conditions("state=replayed,dropped,replayed"), ["e.state in ('dropped', 'replayed')"]);
    }

    #[test]
    fn a_key_is_what_its_parts_say() {
        let id = Uuid::now_v7();
        let named = |path: &str, text: &str| key(&entity(path).listing, text);
        assert_eq!(named("executions", &format!("{id}.3")), Some(vec![Param::Uuid(id), Param::Int(3)]));
        assert_eq!(named("jobs", "a.b"), Some(vec![Param::Text("a.b".to_owned())]));
        for (path, text) in [("executions", "7"), ("executions", "x.3"), ("alerts", "x"), ("evidence", "7")] {
            assert_eq!(named(path, text), None, "{path} {text}");
        }
    }

    #[test]
    fn one_query_is_one_text_whatever_the_order_of_its_parts() {
        let canonical = |query| Query::read(Some(query)).unwrap().canonical();
        assert_eq!(canonical("b=2&a=1%2C2"), canonical("a=1,2&b=2"));
        let query = Query::read(Some("after=old&limit=2")).unwrap();
        assert_eq!(query.behind("new"), "limit=2&after=new");
    }
}
