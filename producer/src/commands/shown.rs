//! How values are shown to people.

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use shared::db::readable::Readable;
use shared::terminal;
pub(super) use shared::terminal::print;

/// The longest text that a table's cell shows, in characters.
pub(super) const CELL: usize = 100;

pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string(value).context("printing the answer")?)
}

/// What can be shown; what this version cannot read is told on standard error.
pub(super) fn readable<T, K: std::fmt::Display>(what: &str, read: Readable<T, K>) -> Vec<T> {
    for unreadable in &read.unreadable {
        eprintln!("warning: {what} {} cannot be read by this version: {}", unreadable.key, unreadable.error);
    }
    read.rows
}

/// A moment in UTC, to the second.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A moment together with its distance from now.
pub(super) fn moment_ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ({} ago)", moment(time), age(time, now))
}

/// The time since a moment in its two largest units, such as `2h 5m`.
pub(super) fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - time).num_seconds().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Text on one line and without control characters, which could be meant for the terminal; at most `max` characters.
pub(super) fn line(text: &str, max: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == max {
            shown.push_str("..");
            break;
        }
        shown.push(if c.is_control() { ' ' } else { c });
    }
    shown
}

/// How far a running task is, with what its executor knows of it: `reading 42 %, 1.2 GiB of 2.9 GiB, 17 of 40 files`.
pub(super) fn progress(progress: &Value) -> String {
    let number = |field: &str| progress.get(field).and_then(Value::as_f64);
    let size = |bytes: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond all sizes is shown as the largest"
        )]
        terminal::bytes(bytes as i64)
    };
    let of = |done: Option<String>, total: Option<String>| match (done, total) {
        (Some(done), Some(total)) => Some(format!("{done} of {total}")),
        (done, _) => done,
    };
    let (done, total) = (number("bytes_done"), number("bytes_total"));
    let share = match (done, total) {
        (Some(done), Some(total)) if total > 0.0 => {
            Some(format!("{:.0} %", (100.0 * done / total).clamp(0.0, 100.0)))
        }
        _ => None,
    };
    let count = |field: &str| number(field).map(|count| format!("{count:.0}"));
    let phase = progress.get("phase").and_then(Value::as_str).map(|phase| line(phase, CELL));
    let parts = [
        phase.map(|phase| share.as_ref().map_or(phase.clone(), |share| format!("{phase} {share}"))).or(share),
        of(done.map(size), total.map(size)),
        of(count("files_done"), count("files_total")).map(|files| format!("{files} files")),
        number("bytes_per_second").map(|speed| format!("{}/s", size(speed))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_age_is_told_in_two_units() {
        let now = shared::clock::now();
        let told = |seconds| age(now - TimeDelta::seconds(seconds), now);
        assert_eq!(told(7325), "2h 2m");
        assert_eq!(told(59), "59s");
        assert_eq!(told(61), "1m 1s");
        assert_eq!(told(50 * 3600), "2d 2h");
        // Clocks differ.
        assert_eq!(told(-5), "0s");
    }

    #[test]
    fn what_a_publisher_wrote_cannot_steer_the_terminal() {
        assert_eq!(line("a\u{1b}[2Jb\nc", 20), "a [2Jb c");
        assert_eq!(line("abcdef", 3), "abc..");
    }

    #[test]
    fn progress_tells_what_is_known_and_no_more() {
        let all = json!({ "phase": "reading", "files_done": 17, "files_total": 40, "bytes_done": 512,
            "bytes_total": 1024, "bytes_per_second": 1024 });
        assert_eq!(progress(&all), "reading 50 %, 512 B of 1.0 KiB, 17 of 40 files, 1.0 KiB/s");
        assert_eq!(progress(&json!({ "bytes_done": 512 })), "512 B");
        assert_eq!(progress(&json!({})), "");
    }
}
