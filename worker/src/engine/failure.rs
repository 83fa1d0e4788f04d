//! What an error of the engine means: whose fault it is, and how to tell it to a person.

use std::{error::Error, io};

use rustic_core::RusticError;

use super::protocol::Failure;

/// What stands behind an error while reading a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// What is stored is missing or wrong: evidence against the copy.
    Damage,
    /// The storage could not be asked: says nothing about the copy.
    Outage,
}

/// Linux error numbers with which file systems report rotten media (`EIO`, `EBADMSG`, `EUCLEAN`).
const ROTTEN: [i32; 3] = [5, 74, 117];

/// Parts of messages with which remote backends say that a file is missing or too short.
const REMOTE_DAMAGE: [&str; 5] = ["(404 ", "(410 ", "(416 ", "NotFound", "RangeNotSatisfied"];

/// Parts of messages with which remote backends say that they could not do their work.
const REMOTE_OUTAGE: [&str; 8] = [
    "HTTP status",
    "error sending request",
    "error decoding response body",
    "request or response body error",
    "timed out",
    "(temporary)",
    "(persistent)",
    "(permanent)",
];

/// Judges an error by what stands at its bottom. `rustic_core` does not tell by type.
pub fn cause(error: &(dyn Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return cause_of_io(io);
        }
        next = current.source();
    }
    let text = chain(error);
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if !says(&REMOTE_DAMAGE) && says(&REMOTE_OUTAGE) { Cause::Outage } else { Cause::Damage }
}

fn cause_of_io(error: &io::Error) -> Cause {
    let rotten = error.raw_os_error().is_some_and(|number| ROTTEN.contains(&number));
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Cause::Damage,
        _ if rotten => Cause::Damage,
        _ => Cause::Outage,
    }
}

/// An error and all its causes in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(current) = next {
        let text = match current.downcast_ref::<RusticError>() {
            Some(rustic) => guidance(rustic),
            None => current.to_string(),
        };
        let text = text.trim_end_matches('.').to_owned();
        // Many errors repeat their cause in their own text.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = current.source();
    }
    parts.join(": ").replace('\n', " ")
}

/// What a `rustic_core` error says itself, without the page of advice around it.
fn guidance(error: &RusticError) -> String {
    let log = error.display_log();
    let text = log.strip_prefix("Error: ").unwrap_or(&log);
    let end = text.find(" (kind: related to ").unwrap_or(text.len());
    text[..end].to_owned()
}

/// A failure that may go away by itself, with what was being done.
pub fn transient(doing: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::transient(format!("{doing}: {}", chain(error)))
}

/// A failure that will not go away by itself, with what was being done.
pub fn permanent(doing: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::permanent(format!("{doing}: {}", chain(error)))
}

/// A failure while reading a repository: damage stays, an outage passes.
pub fn reading(doing: &str, error: &(dyn Error + 'static)) -> Failure {
    match cause(error) {
        Cause::Damage => permanent(doing, error),
        Cause::Outage => transient(doing, error),
    }
}

#[cfg(test)]
mod tests {
    use rustic_core::ErrorKind;

    use super::*;

    fn wrapped(error: io::Error) -> Box<RusticError> {
        RusticError::with_source(ErrorKind::Backend, "Failed to open `{path}`.", error)
            .attach_context("path", "/r/data/ab")
    }

    #[test]
    fn a_missing_or_rotten_file_is_damage_and_anything_else_an_outage() {
        for (error, expected) in [
            (io::Error::from(io::ErrorKind::NotFound), Cause::Damage),
            (io::Error::from(io::ErrorKind::UnexpectedEof), Cause::Damage),
            (io::Error::from_raw_os_error(5), Cause::Damage),
            (io::Error::from(io::ErrorKind::PermissionDenied), Cause::Outage),
            (io::Error::from(io::ErrorKind::ConnectionRefused), Cause::Outage),
            (io::Error::from_raw_os_error(24), Cause::Outage),
        ] {
            let text = error.to_string();
            assert_eq!(cause(&*wrapped(error)), expected, "{text}");
        }
    }

    #[test]
    fn remote_errors_are_judged_by_their_words() {
        let remote = |text: &str| RusticError::with_source(ErrorKind::Backend, "Backoff failed.", text);
        assert_eq!(cause(&*remote("HTTP status client error (404 Not Found) for url (..)")), Cause::Damage);
        assert_eq!(cause(&*remote("HTTP status server error (503 ..) for url (..)")), Cause::Outage);
        assert_eq!(cause(&*remote("error sending request for url (..)")), Cause::Outage);
        assert_eq!(cause(&*RusticError::new(ErrorKind::Cryptography, "MAC check failed")), Cause::Damage);
    }

    #[test]
    fn a_message_holds_the_whole_chain_in_one_line() {
        let error = wrapped(io::Error::other("odd"));
        assert_eq!(transient("reading", &*error).message, "reading: Failed to open `/r/data/ab`: odd");
    }
}
