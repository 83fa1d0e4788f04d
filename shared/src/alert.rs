//! Alerts: what is wrong at this moment, by rules; and what becomes of each until it is over.
//!
//! A rule *finds* what is wrong. A finding that lasts opens an alert, one for each cause; when it is not found any more the
//! alert is resolved, whoever has acknowledged it. Each change of its life is an event.

mod matcher;
mod rule;
mod setting;

use std::fmt;
use std::str::FromStr;

pub use matcher::{Maintenance, MaintenanceName, Matcher, Subject};
pub use rule::Rule;
pub use setting::{Effective, Setting, Settings, Threshold};

use crate::name::{InvalidName, id_type, name_type, text_enum};

id_type! {
    /// An alert's number.
    AlertId(i64)
}

id_type! {
    /// A silence's number.
    SilenceId(i64)
}

name_type! {
    /// A word by which jobs are grouped, for routes and silences.
    Tag
}

text_enum! {
    /// How bad it is; each is worse than the one before.
    Severity {
        /// Worth knowing.
        Info = "info",
        /// Somebody should look at it.
        Warning = "warning",
        /// Somebody must look at it now.
        Critical = "critical",
    }
}

text_enum! {
    /// Where an alert is in its life.
    State {
        /// What is wrong has not lasted for long enough yet.
        Pending = "pending",
        /// It is wrong.
        Open = "open",
        /// It is over.
        Resolved = "resolved",
    }
}

text_enum! {
    /// A change in an alert's life.
    Transition {
        /// It is wrong for long enough.
        Opened = "opened",
        /// It came back soon after it was over.
        Reopened = "reopened",
        /// It became worse.
        Escalated = "escalated",
        /// It is over.
        Resolved = "resolved",
        /// Somebody knows about it.
        Acknowledged = "acknowledged",
        /// Nobody does any more.
        Unacknowledged = "unacknowledged",
        /// From now on nobody is told about it.
        Suppressed = "suppressed",
        /// From now on people are told about it again.
        Released = "released",
    }
}

/// Why nobody is told about an alert that is followed all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SuppressedBy {
    /// Another alert that is open explains it: its cause.
    Alert(String),
    /// A person silenced it.
    Silence(SilenceId),
    /// It is the time of a maintenance window.
    Maintenance(MaintenanceName),
}

impl fmt::Display for SuppressedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(cause) => f.pad(&format!("alert:{cause}")),
            Self::Silence(id) => f.pad(&format!("silence:{id}")),
            Self::Maintenance(name) => f.pad(&format!("maintenance:{name}")),
        }
    }
}

/// Why a text says of nothing that it suppresses alerts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of alert:CAUSE, silence:ID and maintenance:NAME")]
pub struct InvalidSuppression(String);

impl FromStr for SuppressedBy {
    type Err = InvalidSuppression;

    fn from_str(text: &str) -> Result<Self, InvalidSuppression> {
        let wrong = || InvalidSuppression(text.chars().take(80).collect());
        match text.split_once(':') {
            Some(("alert", cause)) => Ok(Self::Alert(cause.to_owned())),
            Some(("silence", id)) => id.parse().map(|id| Self::Silence(SilenceId(id))).map_err(|_| wrong()),
            Some(("maintenance", name)) => {
                name.parse().map(Self::Maintenance).map_err(|_: InvalidName| wrong())
            }
            _ => Err(wrong()),
        }
    }
}

impl serde::Serialize for SuppressedBy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_suppresses_an_alert_is_read_back_as_it_was_written() {
        for by in [
            SuppressedBy::Alert("target_failing/disk-a".to_owned()),
            SuppressedBy::Silence(SilenceId(7)),
            SuppressedBy::Maintenance("night".parse().unwrap()),
        ] {
            assert_eq!(by.to_string().parse(), Ok(by));
        }
        for wrong in ["", "silence:x", "maintenance:a b", "mood:bad"] {
            assert!(wrong.parse::<SuppressedBy>().is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn severities_are_in_the_order_of_how_bad_they_are() {
        assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
    }
}
