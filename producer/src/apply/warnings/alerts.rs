//! Alerts that would be told to nobody.

use std::collections::BTreeSet;

use shared::alert::Maintenance;
use shared::channel::{Channel, ChannelName, Means};

use super::Warning;
use crate::apply::Stored;
use crate::definitions::Definitions;

/// Windows that are about everything and never end.
pub(super) fn windows(definitions: &Definitions) -> impl Iterator<Item = Warning> + '_ {
    let endless = definitions.maintenance.iter().filter(|window| is_endless(window));
    endless.filter_map(|window| {
        let origin = definitions.names.maintenance.get(window.name.as_str())?.clone();
        let message =
            "it begins again before it ends, and has no `matches`: nobody is ever told of any alert";
        Some(Warning { origin, rule: "maintenance", message: message.to_owned() })
    })
}

/// Looks at a hundred beginnings, each from the end of the one before: where one lasts then, there is no time between them.
fn is_endless(window: &Maintenance) -> bool {
    let mut now = shared::clock::now();
    window.matches.is_empty()
        && (0..100).all(|_| {
            let lasts = window.lasts_at(now);
            now += window.lasts;
            lasts
        })
}

/// Channels to which no route leads.
pub(super) fn channels<'a>(
    definitions: &'a Definitions,
    stored: &'a Stored,
) -> impl Iterator<Item = Warning> + 'a {
    let routes = definitions.routes.iter().chain(stored.routes.values());
    let used: BTreeSet<&ChannelName> = routes.flat_map(|route| &route.channels).collect();
    let idle =
        definitions.channels.iter().filter(move |channel| tells(channel) && !used.contains(&channel.name));
    idle.filter_map(|channel| {
        let origin = definitions.names.channels.get(channel.name.as_str())?.clone();
        let message = "no route leads to it: nobody is told anything by it";
        Some(Warning { origin, rule: "routes", message: message.to_owned() })
    })
}

const fn tells(channel: &Channel) -> bool {
    !matches!(channel.means, Means::Heartbeat(_))
}
