//! The details: lists of attempts, jobs and alerts, and the figures against those before.

use std::fmt::Write as _;

use shared::work::ReportKind;

use super::super::document::{Cell, Column, Note, Row, Section, Table, Tone};
use super::super::standing::Stands;
use super::super::words;
use super::{Activity, JobRow};

/// No more jobs than these are listed for people; all are in the other formats.
const JOBS_LISTED: usize = 1_000;

impl Activity {
    pub(super) fn sections(&self) -> Vec<Section> {
        let mut sections = Vec::new();
        if self.head.report == ReportKind::Daily {
            sections.push(self.troubled());
        }
        sections.extend([self.listed_jobs(), self.compared(), self.tallied(), self.alerts.section()]);
        sections
    }

    fn troubled(&self) -> Section {
        let rows = self.troubled.iter().map(|trouble| {
            let attempt = &trouble.attempt;
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            Row {
                cells: vec![
                    attempt.finished_at.format("%H:%M:%S").to_string().into(),
                    attempt.kind.to_string().into(),
                    text(&attempt.job).into(),
                    text(&attempt.target).into(),
                    attempt.attempt.to_string().into(),
                    Cell::answer(attempt.outcome.to_string(), words::of_outcome(attempt.outcome)),
                    trouble.why.clone().into(),
                ],
                notes: Vec::new(),
            }
        });
        let columns = vec![
            Column::text("Finished", 0.9),
            Column::text("Kind", 0.9),
            Column::text("Job", 1.6),
            Column::text("Target", 1.3),
            Column::number("Attempt", 0.8),
            Column::text("Outcome", 1.0),
            Column::text("Why", 4.0),
        ];
        let rows: Vec<Row> = rows.collect();
        let more = self.troubled_total.saturating_sub(rows.len() as u64);
        let note = if rows.is_empty() { "Every attempt of the day succeeded." } else { "The newest first." };
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more });
        Section { title: "Attempts without full success".to_owned(), note: note.to_owned(), table }
    }

    fn listed_jobs(&self) -> Section {
        let rows: Vec<Row> = self.jobs.iter().take(JOBS_LISTED).map(job_row).collect();
        let columns = vec![
            Column::text("Job", 2.2),
            Column::text("Owner", 1.5),
            Column::text("Rule", 1.1),
            Column::number("Backups", 0.9),
            Column::number("Failed", 0.8),
            Column::number("Success", 1.0),
            Column::number("Median", 1.1),
            Column::number("95 %", 1.1),
            Column::number("Data", 1.1),
            Column::number("Stored", 1.1),
            Column::number("RPO", 0.9),
            Column::text("Achieved", 1.3),
        ];
        let table = (!rows.is_empty()).then(|| Table { columns, more: self.jobs.len() - rows.len(), rows });
        let note = "Those that are worst off first. Median and 95 %: how long successful backups took, to within 5 %. Data: what they went \
             through; stored: what backups and copies stored in addition. Achieved: what could have been lost at the worst moment.";
        Section { title: "Jobs".to_owned(), note: note.to_owned(), table }
    }

    fn compared(&self) -> Section {
        let (now, before) = (&self.figures, &self.figures_before);
        let row = |what: &str, now: String, before: String| Row {
            cells: vec![what.into(), now.into(), before.into()],
            notes: Vec::new(),
        };
        let ratio =
            |ratio: Option<f64>| ratio.map_or(words::NONE.to_owned(), |ratio| format!("{ratio:.1} : 1"));
        let speed = |speed: Option<f64>| {
            speed.map_or(words::NONE.to_owned(), |speed| format!("{}/s", words::size(speed)))
        };
        let rows = vec![
            row("Backups tried", now.backups.to_string(), before.backups.to_string()),
            row("Success rate", words::percent(now.success_rate), words::percent(before.success_rate)),
            row(
                "Mean share of jobs that comply",
                words::percent(self.compliance_mean),
                words::percent(self.compliance_mean_before),
            ),
            row("Data gone through", words::bytes(now.source_bytes), words::bytes(before.source_bytes)),
            row("Stored in addition", words::bytes(now.storage_growth), words::bytes(before.storage_growth)),
            row("Data for each byte stored", ratio(now.dedup_ratio), ratio(before.dedup_ratio)),
            row("Throughput", speed(now.throughput), speed(before.throughput)),
            row(
                "Duration, median",
                words::seconds(now.durations.p50_seconds),
                words::seconds(before.durations.p50_seconds),
            ),
            row(
                "Duration, 95 of 100",
                words::seconds(now.durations.p95_seconds),
                words::seconds(before.durations.p95_seconds),
            ),
        ];
        let columns =
            vec![Column::text("", 3.0), Column::number("Period", 1.5), Column::number("Before", 1.5)];
        let mut note =
            format!("Before: {} to {}. ", words::day(self.head.before.from), words::day(self.head.before.to));
        let verified = &self.verified;
        _ = write!(
            note,
            "Verified within their windows: structure {}, all data {}, restore {} of {} copies. Restores and restore tests that succeeded: {}; \
             95 of 100 within {}.",
            verified.structure,
            verified.read,
            verified.restore_test,
            verified.copies,
            self.restores.count,
            words::seconds(self.restores.p95_seconds)
        );
        Section {
            title: "Against the period before".to_owned(),
            note,
            table: Some(Table { columns, rows, more: 0 }),
        }
    }

    fn tallied(&self) -> Section {
        let rows: Vec<Row> = self
            .attempts
            .iter()
            .map(|tally| Row {
                cells: vec![
                    tally.kind.to_string().into(),
                    Cell::answer(tally.outcome.to_string(), words::of_outcome(tally.outcome)),
                    tally.count.to_string().into(),
                    words::seconds(Some(tally.seconds / tally.count.max(1) as f64)).into(),
                    words::seconds(Some(tally.seconds)).into(),
                    words::bytes(tally.bytes).into(),
                ],
                notes: Vec::new(),
            })
            .collect();
        let columns = vec![
            Column::text("Kind", 1.5),
            Column::text("Outcome", 1.5),
            Column::number("Attempts", 1.0),
            Column::number("Mean duration", 1.5),
            Column::number("Duration in all", 1.5),
            Column::number("Size of the sources", 1.5),
        ];
        let note = if rows.is_empty() { "None finished in this period." } else { "Of every kind of task." };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more: 0 });
        Section { title: "Attempts".to_owned(), note: note.to_owned(), table }
    }
}

fn job_row(job: &JobRow) -> Row {
    let figures = &job.figures;
    let (stands, tone) = match job.stands {
        Some(Stands::Follows) => ("follows", Tone::Good),
        Some(Stands::Fails) => ("fails", Tone::Bad),
        Some(Stands::Unknown) => ("unknown", Tone::Warn),
        None => ("inactive", Tone::Plain),
    };
    let rate = words::percent(figures.success_rate);
    let rate = if job.too_few { Cell::answer(rate, Tone::Bad) } else { rate.into() };
    let achieved = words::seconds(job.rpo_achieved_seconds);
    let achieved = match job.rpo_kept {
        Some(true) => Cell::answer(achieved, Tone::Good),
        Some(false) if job.rpo_achieved_seconds.is_none() => Cell::answer("no data", Tone::Bad),
        Some(false) => Cell::answer(achieved, Tone::Bad),
        None => achieved.into(),
    };
    // The compliance report says why for each of them.
    let open: Vec<_> = job.answers.iter().filter(|of| !of.answer.passes()).collect();
    let named = open.iter().map(|of| format!("{}{}", of.rule, if of.excepted { " (excepted)" } else { "" }));
    let named = named.collect::<Vec<_>>().join(", ");
    let notes = open.first().map(|first| Note { word: named, text: words::short(&first.reason) });
    Row {
        cells: vec![
            job.job.clone().into(),
            job.owner.clone().unwrap_or_default().into(),
            Cell::answer(stands, tone),
            figures.backups.to_string().into(),
            job.failed().to_string().into(),
            rate,
            words::seconds(figures.durations.p50_seconds).into(),
            words::seconds(figures.durations.p95_seconds).into(),
            words::bytes(figures.source_bytes).into(),
            words::bytes(figures.storage_growth).into(),
            words::seconds(job.rpo_seconds).into(),
            achieved,
        ],
        notes: notes.into_iter().collect(),
    }
}
