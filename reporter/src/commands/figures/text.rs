//! The figures for people: a row for each, a column for each period.

use shared::terminal;

use super::{Answer, OfPeriod, RecoveryPoints};

/// What stands where nothing can be said.
const UNDEFINED: &str = "-";

pub(super) fn render(answer: &Answer) -> String {
    let of_whom = answer.job.as_ref().map_or_else(|| "all jobs".to_owned(), |job| format!("the job {job}"));
    let now = said(answer.compliance_now, share);
    let periods: Vec<String> =
        answer.periods.iter().map(|period| format!("last {}", period.period)).collect();
    let headers: Vec<&str> = ["figure"].into_iter().chain(periods.iter().map(String::as_str)).collect();
    let mut table = terminal::table(&headers);
    for (name, cell) in ROWS {
        table.add_row([(*name).to_owned()].into_iter().chain(answer.periods.iter().map(cell)));
    }
    format!("figures of {of_whom}; comply now: {now}\n\n{table}\n")
}

type Row = (&'static str, fn(&OfPeriod) -> String);

const ROWS: &[Row] = &[
    ("backups", |of| of.figures.backups.to_string()),
    ("success rate", |of| said(of.figures.success_rate, share)),
    ("throughput", |of| said(of.figures.throughput, |rate| format!("{}/s", size(rate)))),
    ("source bytes", |of| size(of.figures.source_bytes as f64)),
    ("storage growth", |of| size(of.figures.storage_growth as f64)),
    ("dedup ratio", |of| said(of.figures.dedup_ratio, |ratio| format!("{ratio:.2}"))),
    ("duration, p50", |of| said(of.figures.durations.p50_seconds, terminal::seconds)),
    ("duration, p95", |of| said(of.figures.durations.p95_seconds, terminal::seconds)),
    ("duration, p99", |of| said(of.figures.durations.p99_seconds, terminal::seconds)),
    ("compliance, mean", |of| said(of.compliance_mean, share)),
    ("achieved RPO, worst", |of| worst(&of.recovery_points)),
    ("jobs that kept their RPO", |of| kept(&of.recovery_points)),
    ("restores and restore tests", |of| of.restores.count.to_string()),
    ("achieved RTO, longest", |of| said(of.restores.longest_seconds, terminal::seconds)),
    ("achieved RTO, p95", |of| said(of.restores.p95_seconds, terminal::seconds)),
];

fn said(value: Option<f64>, text: impl FnOnce(f64) -> String) -> String {
    value.map_or_else(|| UNDEFINED.to_owned(), text)
}

/// Never rounded up to all of it.
fn share(share: f64) -> String {
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

fn size(bytes: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a size for people, cut at the largest there is")]
    terminal::bytes(bytes as i64)
}

fn worst(points: &RecoveryPoints) -> String {
    let job = points.worst_job.as_ref().map(|job| format!(" ({job})")).unwrap_or_default();
    let worst = said(points.worst_seconds, |seconds| terminal::seconds(seconds) + &job);
    match points.without {
        0 => worst,
        1 => format!("1 job has none; then {worst}"),
        jobs => format!("{jobs} jobs have none; then {worst}"),
    }
}

fn kept(points: &RecoveryPoints) -> String {
    if points.jobs == 0 { UNDEFINED.to_owned() } else { format!("{} of {}", points.kept, points.jobs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_all_is_not_said_to_be_all() {
        assert_eq!(share(0.9999), "99.9 %");
        assert_eq!(
            (share(1.0), share(0.0), share(0.29)),
            ("100.0 %".to_owned(), "0.0 %".to_owned(), "29.0 %".to_owned())
        );
    }
}
