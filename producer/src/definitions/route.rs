//! A route as users write it.

use std::time::Duration;

use shared::alert::{Rule, Severity, Tag};
use shared::channel::ChannelName;
use shared::limit::Label;
use shared::route::{GROUP_WAIT, LONGEST_GROUP_WAIT, Route, RouteName, SHORTEST_REPEAT};

use super::fields::{Fields, Located};
use super::node::Value;
use super::values::{distinct, duration, parsed, period, truth};

/// Reads an entry of the list `routes`, and notes the channels that it names; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>, references: &mut Vec<Located<ChannelName>>) -> Option<Route> {
    let before = fields.problems();
    let name = fields.required("name", parsed);
    let severity = fields.optional("severity", parsed).unwrap_or(Severity::Info);
    let owners = fields.optional_list("owners", parsed);
    let owners = distinct(&mut fields, "owners", owners, Label::as_str);
    let tags = fields.optional_list("tags", parsed);
    let tags = distinct(&mut fields, "tags", tags, Tag::as_str);
    let rules = fields.optional_list("rules", parsed);
    let rules = distinct(&mut fields, "rules", rules, |rule: &Rule| rule.as_str());
    let channels = fields.required_list("channels", parsed);
    references.extend(channels.iter().cloned());
    let channels = distinct(&mut fields, "channels", channels, ChannelName::as_str);
    let group_wait = fields.optional("group_wait", group_wait).unwrap_or(GROUP_WAIT);
    let repeat = fields.optional("repeat", repeat);
    let resolved = fields.optional("resolved", truth).unwrap_or(true);
    let fine = fields.problems() == before;
    fields.finish();
    let name: RouteName = name?.value;
    fine.then_some(Route { name, severity, owners, tags, rules, channels, group_wait, repeat, resolved })
}

fn group_wait(value: &Value) -> Result<Duration, String> {
    let wait = duration(value)?;
    if wait <= LONGEST_GROUP_WAIT { Ok(wait) } else { Err("use 1h at most".to_owned()) }
}

fn repeat(value: &Value) -> Result<Duration, String> {
    let repeat = period(value)?;
    if repeat >= SHORTEST_REPEAT { Ok(repeat) } else { Err("use 1m at least".to_owned()) }
}
