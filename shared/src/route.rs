//! A route: which alerts are told by which channels, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Rule, Severity, Subject, Tag};
use crate::channel::ChannelName;
use crate::limit::Label;
use crate::name::name_type;

/// How long the first alert of a group waits for others, where the route does not say.
pub const GROUP_WAIT: Duration = Duration::from_secs(30);
/// The longest that it may wait.
pub const LONGEST_GROUP_WAIT: Duration = Duration::from_hours(1);
/// The shortest time after which an alert may be told again.
pub const SHORTEST_REPEAT: Duration = Duration::from_mins(1);

name_type! {
    /// A route's name, as definitions say it.
    RouteName
}

/// A route as it is defined and stored. Each route that an alert matches counts; by a channel an alert is told once, as the
/// first of these routes by name says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: RouteName,
    /// The least severity.
    pub severity: Severity,
    /// Of which owners; of any, when empty.
    pub owners: Vec<Label>,
    /// With one of which tags; with any or none, when empty.
    pub tags: Vec<Tag>,
    /// By which rules; by any, when empty.
    pub rules: Vec<Rule>,
    /// By which channels, one at least.
    pub channels: Vec<ChannelName>,
    /// How long the first alert of a group waits for others, up to an hour.
    pub group_wait: Duration,
    /// After what time an alert that is still open and that nobody has acknowledged is told again, a minute at least; never,
    /// when absent.
    pub repeat: Option<Duration>,
    /// Whether it is told as well that an alert is over.
    pub resolved: bool,
}

impl Route {
    /// Whether an alert is to be told.
    #[must_use]
    pub fn takes(&self, subject: &Subject<'_>) -> bool {
        subject.severity >= self.severity && self.concerns(subject)
    }

    /// As [`Route::takes`], however bad the alert is: it may have been worse before.
    #[must_use]
    pub fn concerns(&self, subject: &Subject<'_>) -> bool {
        let owner = |owner: &Label| Some(owner.as_str()) == subject.owner;
        (self.owners.is_empty() || self.owners.iter().any(owner))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| subject.tags.contains(tag)))
            && (self.rules.is_empty() || self.rules.contains(&subject.rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route {
            name: "all".parse().unwrap(),
            severity: Severity::Info,
            owners: Vec::new(),
            tags: Vec::new(),
            rules: Vec::new(),
            channels: vec!["chat".parse().unwrap()],
            group_wait: GROUP_WAIT,
            repeat: None,
            resolved: true,
        }
    }

    #[test]
    fn all_that_a_route_says_has_to_fit_and_of_a_list_one_is_enough() {
        let tags = ["prod", "eu"].map(|tag| tag.parse().unwrap());
        let subject = Subject {
            severity: Severity::Warning,
            rule: Rule::BackupFailed,
            job: None,
            target: None,
            owner: Some("ops"),
            tags: &tags,
        };
        let owners = |owners: &[&str]| owners.iter().map(|owner| owner.parse().unwrap()).collect();
        let tagged = |tags: &[&str]| tags.iter().map(|tag| tag.parse().unwrap()).collect();
        for (route, taken) in [
            (route(), true),
            (Route { severity: Severity::Warning, ..route() }, true),
            (Route { severity: Severity::Critical, ..route() }, false),
            (Route { owners: owners(&["dba", "ops"]), ..route() }, true),
            (Route { owners: owners(&["dba"]), ..route() }, false),
            (Route { tags: tagged(&["test", "eu"]), ..route() }, true),
            (Route { tags: tagged(&["test"]), ..route() }, false),
            (Route { rules: vec![Rule::BackupFailed], ..route() }, true),
            (Route { rules: vec![Rule::WorkerLost], ..route() }, false),
            (Route { owners: owners(&["ops"]), tags: tagged(&["test"]), ..route() }, false),
        ] {
            assert_eq!(route.takes(&subject), taken, "{route:?}");
        }
        let nobodys = Subject { owner: None, tags: &[], ..subject };
        assert!(route().takes(&nobodys));
        assert!(!Route { owners: owners(&["ops"]), ..route() }.takes(&nobodys));
    }
}
