//! Limits: how often, how many at once, and how fast work may go on that has a key in common.
//!
//! A key names what the tasks share: their pool, their target, the place of their source, their job's owner. Definitions give
//! keys their limits; a person may put another one in the place of such a limit while everything runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::UnknownWord;
use crate::target::TargetName;
use crate::task::TaskKind;

/// How long a token of a strict limit is good for: the way from its grant to the start of the work.
pub const TOKEN_LIFE: Duration = Duration::from_secs(1);

/// The longest name of an owner or a source that can have a limit, in bytes.
const LONGEST_LABEL: usize = 200;

/// What the tasks under a limit have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Key {
    /// Their kind.
    Pool(TaskKind),
    /// The target that they work on.
    Target(TargetName),
    /// The failure domain of their job's source: a host, an array.
    Source(Label),
    /// Their job's owner.
    Owner(Label),
}

/// The name of a source's failure domain or of an owner, as definitions say it: a text of 1 to 200 bytes on one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let fits = !text.trim().is_empty() && text.len() <= LONGEST_LABEL;
        if fits && !text.contains(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKey(format!("a name has 1 to {LONGEST_LABEL} bytes and no line breaks")))
        }
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

/// Why a text names no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKey(String);

impl Key {
    /// Whether fewer tasks tend to come under this key than under another one: those of a source are narrower than those of
    /// a target, these than those of an owner, and these than those of a pool.
    #[must_use]
    pub const fn is_narrower_than(&self, other: &Self) -> bool {
        self.width() < other.width()
    }

    const fn width(&self) -> u8 {
        match self {
            Self::Source(_) => 0,
            Self::Target(_) => 1,
            Self::Owner(_) => 2,
            Self::Pool(_) => 3,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scope, name) = match self {
            Self::Pool(kind) => ("pool", kind.as_str()),
            Self::Target(target) => ("target", target.as_str()),
            Self::Source(source) => ("source", source.as_str()),
            Self::Owner(owner) => ("owner", owner.as_str()),
        };
        f.pad(&format!("{scope}:{name}"))
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let shown: String = text.chars().take(80).collect();
        let wrong = |why: String| InvalidKey(format!("{shown:?} is not a key: {why}"));
        let Some((scope, name)) = text.split_once(':') else {
            return Err(wrong(
                "write pool:KIND, target:NAME, source:FAILURE_DOMAIN or owner:NAME".to_owned(),
            ));
        };
        match scope {
            "pool" => name.parse().map(Self::Pool).map_err(|error: UnknownWord| wrong(error.to_string())),
            "target" => name.parse().map(Self::Target).map_err(|error| wrong(error.to_string())),
            "source" => name.parse().map(Self::Source).map_err(|error: InvalidKey| wrong(error.0)),
            "owner" => name.parse().map(Self::Owner).map_err(|error: InvalidKey| wrong(error.0)),
            _ => Err(wrong("it begins with pool:, target:, source: or owner:".to_owned())),
        }
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

/// What a key's tasks are limited to, over all workers together; what is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// How many may start in a minute, on average: 0.001 to 60,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_per_minute: Option<f64>,
    /// How many may start at once after a pause, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// How many may run at once, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How much they may read and write together on a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// How much of what others may start an owner gets, compared with other owners: 1 to 100, 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether the rate is never exceeded, whatever happens to workers, at the price of asking the database for each few
    /// starts.
    #[serde(default)]
    pub strict: bool,
}

/// A rate of starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// On average, in starts a second.
    pub per_second: f64,
    /// How many at once after a pause, from 1.
    pub burst: u32,
}

/// What is wrong with a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLimit {
    /// The field's name, as definitions say it; `None` for the limit as a whole.
    pub field: Option<&'static str>,
    /// For people.
    pub why: String,
}

impl fmt::Display for InvalidLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{field}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

impl Limit {
    /// The rate of starts, if there is one.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let per_second = self.starts_per_minute? / 60.0;
        let least = if self.strict { least_strict_burst(per_second) } else { 1 };
        Some(Rate { per_second, burst: self.burst.unwrap_or(least) })
    }

    /// Checks all fields, for the key that they are to limit.
    ///
    /// # Errors
    /// Every field that is wrong, and why.
    pub fn check(&self, key: &Key) -> Result<(), Vec<InvalidLimit>> {
        if *self == Self::default() {
            return Err(vec![InvalidLimit { field: None, why: "limits nothing".to_owned() }]);
        }
        let mut wrong = Vec::new();
        let mut refuse = |field, why: String| wrong.push(InvalidLimit { field: Some(field), why });
        if let Some(starts) = self.starts_per_minute
            && !(0.001..=60_000_000.0).contains(&starts)
        {
            refuse("starts_per_minute", "use 0.001 to 60000000".to_owned());
        }
        for (field, value, most) in [
            ("burst", self.burst, 1_000_000),
            ("concurrency", self.concurrency, 1_000_000),
            ("weight", self.weight, 100),
        ] {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                refuse(field, format!("use 1 to {most}"));
            }
        }
        if self.bytes_per_second.is_some_and(|bytes| !(SLOWEST..=FASTEST).contains(&bytes)) {
            refuse("bytes_per_second", "use 64KiB to 1TiB".to_owned());
        }
        if self.bytes_per_second.is_some() && !matches!(key, Key::Target(_)) {
            refuse("bytes_per_second", "only a target has one".to_owned());
        }
        if self.weight.is_some() && !matches!(key, Key::Owner(_)) {
            refuse("weight", "only an owner has one".to_owned());
        }
        if let (Some(burst), Some(most)) = (self.burst, self.concurrency)
            && burst > most
        {
            refuse("burst", format!("{burst} at once are more than the {most} of concurrency"));
        }
        match self.rate() {
            None if self.burst.is_some() => refuse("burst", "needs starts_per_minute".to_owned()),
            None if self.strict => refuse("strict", "needs starts_per_minute".to_owned()),
            Some(Rate { per_second, burst }) if self.strict && burst < least_strict_burst(per_second) => {
                let least = least_strict_burst(per_second);
                refuse("burst", format!("a strict limit of this rate needs {least} at least"));
            }
            _ => {}
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// For people: `2 running, 60 starts a minute, 5 at once`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.starts_per_minute.zip(self.rate()).map(|(starts, rate)| {
            let strictly = if self.strict { " strictly" } else { "" };
            format!("{starts} starts a minute{strictly}, {} at once", rate.burst)
        });
        let parts = [
            self.concurrency.map(|most| format!("{most} running")),
            rate,
            self.bytes_per_second.map(|bytes| format!("{}/s", bytesize::ByteSize(bytes))),
            self.weight.map(|weight| format!("weight {weight}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { f.pad("no limit") } else { f.pad(&parts.join(", ")) }
    }
}

const SLOWEST: u64 = 64 << 10;
const FASTEST: u64 = 1 << 40;

/// Tokens may be used for a while after their time: what can be used late must have been part of the burst.
fn least_strict_burst(per_second: f64) -> u32 {
    let late = (per_second * TOKEN_LIFE.as_secs_f64()).ceil();
    // Rates are far below what 32 bits hold; a wrong one is refused by its own field.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped, and `as` saturates"
    )]
    let late = late.clamp(1.0, 2e9) as u32;
    late + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(limit: Limit, key: &str) -> Vec<&'static str> {
        let wrong = limit.check(&key.parse().unwrap()).err().unwrap_or_default();
        wrong.into_iter().map(|wrong| wrong.field.unwrap_or("limit")).collect()
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        for text in ["pool:backup", "target:disk-a", "source:host 1", "owner:ops: night"] {
            assert_eq!(text.parse::<Key>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_text_that_names_no_key_is_refused_with_what_would() {
        for (text, said) in [
            ("backup", "pool:KIND"),
            ("pool:backups", "use one of"),
            ("host:a", "pool:, target:, source: or owner:"),
            ("target:a/b", "is not a name"),
            ("owner:", "1 to 200 bytes"),
            ("source:a\nb", "no line breaks"),
        ] {
            let error = text.parse::<Key>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let rate =
            |starts_per_minute| Limit { starts_per_minute: Some(starts_per_minute), ..Limit::default() };
        for starts in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert_eq!(refused(rate(starts), "pool:backup"), ["starts_per_minute"], "{starts}");
        }
        assert_eq!(refused(Limit { burst: Some(0), ..rate(60.0) }, "pool:backup"), ["burst"]);
        assert_eq!(refused(Limit { burst: Some(5), ..Limit::default() }, "pool:backup"), ["burst"]);
        let above = Limit { burst: Some(5), concurrency: Some(4), ..rate(60.0) };
        assert_eq!(refused(above, "target:disk-a"), ["burst"]);
        assert_eq!(refused(Limit { concurrency: Some(0), ..Limit::default() }, "owner:ops"), ["concurrency"]);
        let fast = Limit { bytes_per_second: Some(1 << 20), ..Limit::default() };
        assert_eq!(refused(fast, "owner:ops"), ["bytes_per_second"]);
        assert_eq!(refused(fast, "target:disk-a"), [""; 0]);
        assert_eq!(
            refused(Limit { bytes_per_second: Some(1), ..fast }, "target:disk-a"),
            ["bytes_per_second"]
        );
        assert_eq!(refused(Limit { weight: Some(3), ..Limit::default() }, "target:disk-a"), ["weight"]);
        assert_eq!(refused(Limit::default(), "pool:backup"), ["limit"]);
    }

    #[test]
    fn a_limit_is_told_in_words() {
        let rate = Limit { starts_per_minute: Some(60.0), burst: Some(5), ..Limit::default() };
        let limit = Limit { concurrency: Some(2), bytes_per_second: Some(50 << 20), ..rate };
        assert_eq!(limit.to_string(), "2 running, 60 starts a minute, 5 at once, 50.0 MiB/s");
        assert_eq!(
            Limit { burst: None, strict: true, ..rate }.to_string(),
            "60 starts a minute strictly, 2 at once"
        );
    }

    #[test]
    fn a_strict_limit_has_a_burst_that_covers_tokens_on_their_way() {
        let strict =
            |burst| Limit { starts_per_minute: Some(600.0), burst, strict: true, ..Limit::default() };
        assert_eq!(refused(strict(Some(10)), "pool:backup"), ["burst"]);
        assert_eq!(refused(strict(Some(11)), "pool:backup"), [""; 0]);
        assert_eq!(strict(None).rate(), Some(Rate { per_second: 10.0, burst: 11 }));
        assert_eq!(refused(Limit { strict: true, ..Limit::default() }, "pool:backup"), ["strict"]);
    }
}
