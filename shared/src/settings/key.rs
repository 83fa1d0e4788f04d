//! What a setting is called and what it is for, said once: where it is read.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use crate::telemetry::LogFormat;

/// A setting's name, with what documents say about it.
#[derive(Debug, Clone)]
pub struct Key {
    pub(super) name: Cow<'static, str>,
    pub(super) about: Cow<'static, str>,
    pub(super) default: Option<&'static str>,
    pub(super) example: Option<&'static str>,
}

/// Names a setting such as `pools.backup.slots`, and says in a sentence what it is for.
pub fn key(name: impl Into<Cow<'static, str>>, about: impl Into<Cow<'static, str>>) -> Key {
    Key { name: name.into(), about: about.into(), default: None, example: None }
}

impl Key {
    /// What documents give as the default, in brackets, where it depends on the machine.
    #[must_use]
    pub fn default_is(self, words: &'static str) -> Self {
        Self { default: Some(words), ..self }
    }

    /// What the example file has where there is no default that is the same everywhere.
    #[must_use]
    pub fn such_as(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }
}

/// What a setting may be.
pub trait Value: Sized + PartialOrd {
    /// What documents call it.
    const KIND: &'static str;
    /// Whether TOML writes it without quotes.
    const BARE: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    fn read(text: &str) -> Result<Self, String>;

    /// Writes it so that it can be read again.
    fn show(&self) -> String;
}

impl Value for Duration {
    const KIND: &'static str = "a time such as 30s or 5m";

    fn read(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|error| format!("is not {}: {error}", Self::KIND))
    }

    fn show(&self) -> String {
        let millis = self.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
        let whole = units.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        match whole {
            Some((unit, length)) if self.subsec_nanos().is_multiple_of(1_000_000) => {
                format!("{}{unit}", millis / length)
            }
            _ => humantime::format_duration(*self).to_string(),
        }
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Values whose own text is what is written.
macro_rules! as_text {
    ($($type:ty: $kind:literal $(, $bare:literal)?;)+) => {$(
        impl Value for $type {
            const KIND: &'static str = $kind;
            $(const BARE: bool = $bare;)?

            fn read(text: &str) -> Result<Self, String> {
                parse(text)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

as_text! {
    bool: "true or false", true;
    u16: "a number", true;
    u32: "a number", true;
    usize: "a number", true;
    NonZeroU32: "a number", true;
    f64: "a number", true;
    ByteSize: "a size such as 64 MiB";
    SocketAddr: "an address with its port";
    LogFormat: "text or json";
    String: "a text";
}

fn parse<T: FromStr<Err: Display> + Value>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("is not {}: {error}", T::KIND))
}

/// Says which values a range has; `None` where it has all.
pub(super) fn words<T: Value>(range: &impl RangeBounds<T>) -> Option<String> {
    let least = match range.start_bound() {
        Bound::Included(least) => Some(least.show()),
        Bound::Excluded(below) => Some(format!("more than {}", below.show())),
        Bound::Unbounded => None,
    };
    let most = match range.end_bound() {
        Bound::Included(most) => Some(most.show()),
        Bound::Excluded(above) => Some(format!("less than {}", above.show())),
        Bound::Unbounded => None,
    };
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) if least.starts_with("more") => Some(least),
        (Some(least), None) => Some(format!("at least {least}")),
        (None, Some(most)) if most.starts_with("less") => Some(most),
        (None, Some(most)) => Some(format!("at most {most}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_said_in_words() {
        assert_eq!(words(&(1_usize..=1000)).unwrap(), "1 to 1000");
        assert_eq!(words(&(Duration::from_millis(100)..)).unwrap(), "at least 100ms");
        let more = (Bound::Excluded(Duration::ZERO), Bound::Unbounded);
        assert_eq!(words(&more).unwrap(), "more than 0s");
        assert_eq!(words::<usize>(&..), None);
    }

    #[test]
    fn a_time_is_shown_in_its_largest_whole_unit() {
        let shown = [400 * 86_400_000, 5_400_000, 500, 0].map(|millis| Duration::from_millis(millis).show());
        assert_eq!(shown, ["400d", "90m", "500ms", "0s"]);
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        fn both_ways<T: Value + std::fmt::Debug>(value: &T) {
            assert_eq!(T::read(&value.show()).unwrap(), *value);
        }
        both_ways(&Duration::from_millis(86_400_500));
        both_ways(&ByteSize::mib(64));
        both_ways(&PathBuf::from("/srv/restored"));
        both_ways(&SocketAddr::from(([127, 0, 0, 1], 8080)));
        both_ways(&0.25);
        both_ways(&true);
    }
}
