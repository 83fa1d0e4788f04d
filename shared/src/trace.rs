//! Traces: the one that a task belongs to, as its publisher names it with the two fields of the W3C Trace Context
//! (<https://www.w3.org/TR/trace-context/>), and what we add to it.
//!
//! * [`TraceContext`] is what travels with a task. What is malformed counts as absent, as the standard says: no task is refused for its trace.
//! * [`tracer`] says before anything else whether a task is traced: nearly all are not, and cost nothing
//! * [`id`] names traces and spans, [`span`] is one, [`exporter`] sends them to a collector by [`config`]
//! * [`current`] has log lines say which span they belong to
//!
//! There is no tracing library in between: tasks go through stages in batches, so that a span begins in one place and ends in another, and a
//! span is made only when it has ended.

pub mod config;
pub mod current;
pub mod exporter;
pub mod id;
pub mod span;

mod events;
mod otlp;
mod tracer;

use std::fmt;

pub use config::TraceConfig;
pub use exporter::Exporter;
pub use id::SpanContext;
pub use span::{Kind, Moment, Span};
pub use tracer::{Place, Tracer, tracer};

use schemars::JsonSchema;
use serde::Serialize;

/// The header, the field of a message and the column with the trace and the publisher's place in it.
pub const TRACEPARENT: &str = "traceparent";
/// The same with what tracing systems keep of their own beside it.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00, in bytes; those of later versions begin with as much.
const PARENT_BYTES: usize = 55;
/// So much of a `tracestate` has to be passed on, in bytes. Every row of the task holds it.
const MAX_STATE: usize = 512;
/// The most members of a `tracestate`.
const MAX_MEMBERS: usize = 32;
/// Members that are longer than this go first where not all can be kept, in bytes.
const LONG_MEMBER: usize = 128;
/// The longest key, and the longest value, of a member, in bytes.
const MAX_PART: usize = 256;

/// A well-formed trace context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TraceContext {
    /// The trace, the publisher's span and its flags, as in the W3C Trace Context's header. What is malformed counts as absent.
    #[serde(rename = "traceparent")]
    #[schemars(with = "Option<String>")]
    parent: Box<str>,
    /// What tracing systems keep beside it; of more than 512 bytes a part is dropped.
    #[serde(rename = "tracestate", skip_serializing_if = "Option::is_none")]
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads both fields; `None` where there is no well-formed `traceparent`. Without it `tracestate` means nothing, and what
    /// is wrong with `tracestate` does not touch it.
    #[must_use]
    pub fn read(parent: Option<&str>, state: Option<&str>) -> Option<Self> {
        let parent = read_parent(parent?)?;
        Some(Self { parent, state: state.and_then(read_state) })
    }

    /// The trace, the publisher's span and its flags: `00-<32 digits>-<16 digits>-<2 digits>`, hexadecimal.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// What tracing systems keep beside it, at most 512 bytes.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The context of one of our own spans, with what other tracing systems keep beside it.
    #[must_use]
    pub fn of_span(span: SpanContext, state: Option<&str>) -> Self {
        Self { parent: span.to_string().into(), state: state.map(Into::into) }
    }

    /// As headers of a message.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let state = self.state().map(|state| (TRACESTATE, state.to_owned()));
        std::iter::once((TRACEPARENT, self.parent.to_string())).chain(state).collect()
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.parent)
    }
}

/// Version 00 is kept as it is. Of a later one the standard lets an earlier reader take what it knows, and asks it to pass that
/// on as its own version: with the one flag that it knows.
fn read_parent(text: &str) -> Option<Box<str>> {
    let text = text.trim_matches([' ', '\t']);
    let (known, rest) = text.split_at_checked(PARENT_BYTES)?;
    let mut parts = known.split('-');
    let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let well_formed = [(version, 2), (trace, 32), (span, 16), (flags, 2)].iter().all(|(part, length)| {
        part.len() == *length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    let names_something = |part: &str| part.bytes().any(|byte| byte != b'0');
    if !well_formed || !names_something(trace) || !names_something(span) {
        return None;
    }
    match version {
        "00" => rest.is_empty().then(|| known.into()),
        "ff" => None,
        _ if rest.is_empty() || rest.starts_with('-') => {
            let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
            Some(format!("00-{trace}-{span}-{sampled:02x}").into())
        }
        _ => None,
    }
}

/// Whole members go where not all fit, the long ones first and then the last, which are the oldest.
fn read_state(text: &str) -> Option<Box<str>> {
    let trimmed = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let mut members: Vec<&str> = trimmed.filter(|member| !member.is_empty()).collect();
    if members.is_empty() || members.len() > MAX_MEMBERS || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    let bytes = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>() - 1;
    while !members.is_empty() && bytes(&members) > MAX_STATE {
        let long = members.iter().rposition(|member| member.len() > LONG_MEMBER);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    (!members.is_empty()).then(|| members.join(",").into())
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let key_byte = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value_byte = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    let begins_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = |part: &str| (1..=MAX_PART).contains(&part.len());
    begins_well && fits(key) && key.bytes().all(key_byte) && fits(value) && value.bytes().all(value_byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parent(text: &str) -> Option<String> {
        TraceContext::read(Some(text), None).map(|trace| trace.parent().to_owned())
    }

    fn state(text: &str) -> Option<String> {
        TraceContext::read(Some(PARENT), Some(text)).unwrap().state().map(ToOwned::to_owned)
    }

    #[test]
    fn what_is_well_formed_is_kept_as_it_is() {
        assert_eq!(parent(PARENT).as_deref(), Some(PARENT));
        // Flags that the standard may give a meaning later.
        let random = PARENT.replace("-01", "-03");
        assert_eq!(parent(&random), Some(random));
        for text in ["congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61 rcWkgMzE", "fw529a3039@dt=FfAx~"] {
            assert_eq!(state(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_malformed_counts_as_absent() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for text in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT[..54],
            &format!("{PARENT}0"),
            &format!("{PARENT}-what-else"),
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replacen("00-", "0g-", 1),
            &PARENT.replace(trace, &"0".repeat(32)),
            &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &PARENT.replace('-', "_"),
            &PARENT.replace("-01", "-é"),
            &"x".repeat(1_000_000),
        ] {
            assert_eq!(parent(text), None, "{text:?}");
        }
        for text in [
            "",
            ",",
            "no value",
            "=x",
            "UPPER=1",
            "a=b=c",
            "a=\u{7f}",
            "-a=1",
            &format!("a={}", "x".repeat(257)),
        ] {
            assert_eq!(state(text), None, "{text:?}");
        }
        let many = |members: usize| (0..members).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        assert_eq!((state(&many(32)), state(&many(33))), (Some(many(32)), None));
    }

    #[test]
    fn a_state_without_a_trace_means_nothing() {
        assert_eq!(TraceContext::read(None, Some("a=b")), None);
        assert_eq!(TraceContext::read(Some("nonsense"), Some("a=b")), None);
    }

    #[test]
    fn of_a_later_version_what_is_known_is_passed_on_as_the_known_one() {
        let later = PARENT.replacen("00-", "cc-", 1).replace("-01", "-ff");
        assert_eq!(parent(&later).as_deref(), Some(PARENT));
        assert_eq!(parent(&format!("{later}-what-the-future-will-be-like")).as_deref(), Some(PARENT));
        assert_eq!(parent(&format!("{later}.what")), None);
    }

    #[test]
    fn a_state_is_shortened_by_whole_members_the_long_ones_first() {
        let long = format!("long={}", "x".repeat(200));
        let short: Vec<String> = (0..30).map(|n| format!("key{n:02}=value")).collect();
        let kept = state(&format!("{},{long},{}", short[..15].join(","), short[15..].join(","))).unwrap();
        assert_eq!(kept, short.join(","));
        let medium: Vec<String> = (0..6).map(|n| format!("key{n}={}", "x".repeat(100))).collect();
        assert_eq!(state(&medium.join(",")).unwrap(), medium[..4].join(","));
        assert_eq!(
            state(&format!("a={0},b={0},c={0}", "x".repeat(256))).unwrap(),
            format!("a={}", "x".repeat(256))
        );
    }
}
