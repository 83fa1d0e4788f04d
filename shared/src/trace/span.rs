//! One span: something that took place in a trace, from one moment to another.

use std::borrow::Cow;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

use super::id::{SpanContext, SpanId};

/// The most links of a span; of more, how many there were is said.
const MOST_LINKS: usize = 128;

/// A moment on this machine's clock, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        // The clock of a machine that lives before 1970 is wrong in any case.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment of an instant that has passed.
    #[must_use]
    pub fn of(instant: Instant) -> Self {
        let ago = u64::try_from(instant.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Self(Self::now().0.saturating_sub(ago))
    }

    /// So long after this one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// In nanoseconds since 1970.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

/// A time that the database told; its clock may differ a little.
impl From<DateTime<Utc>> for Moment {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default())
    }
}

/// How a span stands to the others of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A part of what this process does.
    Internal,
    /// It answers a request.
    Server,
    /// It sends a message that another one works off.
    Producer,
    /// It works a message off.
    Consumer,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A span that has ended, with all that is told of it.
///
/// It holds no error's text, no path and no parameter: these may name what nobody outside is to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub(super) context: SpanContext,
    pub(super) parent: Option<SpanId>,
    pub(super) state: Option<Box<str>>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) links: Vec<SpanContext>,
    pub(super) links_left_out: u32,
    /// The class of what went wrong.
    pub(super) error: Option<&'static str>,
}

impl Span {
    /// A span from one moment to another, within another span unless it is a root.
    #[must_use]
    pub fn new(
        context: SpanContext,
        parent: Option<SpanId>,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        (from, to): (Moment, Moment),
    ) -> Self {
        Self {
            context,
            parent,
            state: None,
            name: name.into(),
            kind,
            from,
            // A clock that was set back in between makes no span that ends before it begins.
            to: to.max(from),
            attributes: Vec::new(),
            links: Vec::new(),
            links_left_out: 0,
            error: None,
        }
    }

    /// Says something about it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Says something about it, where that is known.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Names another span that it has to do with.
    #[must_use]
    pub fn link(mut self, to: SpanContext) -> Self {
        if self.links.len() < MOST_LINKS {
            self.links.push(to);
        } else {
            self.links_left_out = self.links_left_out.saturating_add(1);
        }
        self
    }

    /// Keeps what other tracing systems said beside the trace.
    #[must_use]
    pub fn with_state(self, state: Option<&str>) -> Self {
        Self { state: state.map(Into::into), ..self }
    }

    /// Says which class of error it ended with, if with one.
    #[must_use]
    pub fn failed(self, error: Option<&'static str>) -> Self {
        let span = Self { error, ..self };
        span.with_some("error.type", error)
    }

    /// Hands it to whoever exports.
    pub fn send(self) {
        super::tracer().send(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_never_ends_before_it_begins_and_has_a_bounded_number_of_links() {
        let (early, late) = (Moment(1), Moment(2));
        let mut span = Span::new(SpanContext::root(), None, "claim", Kind::Internal, (late, early));
        assert_eq!((span.from, span.to), (late, late));
        for _ in 0..MOST_LINKS + 5 {
            span = span.link(SpanContext::root());
        }
        assert_eq!((span.links.len(), span.links_left_out), (MOST_LINKS, 5));
    }

    #[test]
    fn the_moment_of_an_instant_is_as_long_ago_as_the_instant() {
        let (before, instant) = (Moment::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let moment = Moment::of(instant);
        assert!(moment <= Moment::now());
        // Both clocks are read one after the other.
        assert!(moment.as_nanos().abs_diff(before.as_nanos()) < 5_000_000, "{moment:?} {before:?}");
    }
}
