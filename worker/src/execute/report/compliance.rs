//! The compliance report: each job with its five verdicts, the evidence with age and expiry, and its exceptions.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use deadpool_postgres::Transaction;
use serde::Serialize;
use shared::compliance::{Answer, Rule};
use shared::db::{self, compliance_hour};
use shared::work::Span;

use super::document::{
    Attention, Bar, Cell, Chart, Column, Document, Item, Note, Row, Section, Table, Tile, Tone,
};
use super::facts::Head;
use super::standing::{self, Counts, Coverage, Judged, Stands, Subjects};
use super::words;

/// So many things that need attention are named on the first page.
const ATTENTION: usize = 10;
/// No more jobs than these are listed for people; all are in the other formats.
const JOBS_LISTED: usize = 1_000;
/// More bars than these would not be told apart: each is a week then.
const MOST_BARS: usize = 62;
/// An exception that ends within so many days is said.
const ENDS_SOON: i64 = 14;

/// What the report says.
#[derive(Debug, Serialize)]
pub(super) struct Compliance {
    #[serde(flatten)]
    pub(super) head: Head,
    /// How the active jobs stand now.
    standing: Counts,
    /// The mean share of the active jobs that complied in the period and before it, 0 to 1; of all jobs only.
    #[serde(rename = "compliance_mean")]
    mean: Option<f64>,
    #[serde(rename = "compliance_mean_before")]
    mean_before: Option<f64>,
    /// The same, day by day.
    days: BTreeMap<NaiveDate, f64>,
    rules: Vec<OfRule>,
    verified: Coverage,
    /// Those that do not comply first.
    pub(super) jobs: Vec<Judged>,
}

/// How many jobs have which answer of a rule.
#[derive(Debug, Serialize)]
struct OfRule {
    rule: Rule,
    pass: usize,
    warning: usize,
    fail: usize,
    unknown: usize,
    /// Of those that fail or are unknown.
    excepted: usize,
}

/// Reads the facts, all of one snapshot.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    subjects: &Subjects,
    head: Head,
) -> Result<Compliance, db::Error> {
    let jobs = standing::read(transaction, subjects, head.made_at).await?;
    let (from, to) = (head.period.start(), head.period.end());
    let (mut mean, mut mean_before, mut days) = (None, None, BTreeMap::new());
    if subjects.ids().is_none() {
        mean = compliance_hour::mean_of(transaction, from, to).await?;
        mean_before = compliance_hour::mean_of(transaction, head.before.start(), head.before.end()).await?;
        days = compliance_hour::by_day(transaction, from, to).await?;
    }
    Ok(Compliance {
        standing: Counts::of(&jobs),
        mean,
        mean_before,
        days,
        rules: Rule::ALL.iter().map(|rule| OfRule::count(*rule, &jobs)).collect(),
        verified: Coverage::of(&jobs),
        jobs,
        head,
    })
}

impl OfRule {
    /// Of a job that was never judged nothing is known.
    fn count(rule: Rule, jobs: &[Judged]) -> Self {
        let count = |answer| jobs.iter().filter(|job| job.answer(rule) == answer).count();
        let excepted = jobs.iter().filter(|job| !job.answer(rule).passes() && job.exception(rule).is_some());
        Self {
            rule,
            pass: count(Answer::Pass),
            warning: count(Answer::Warning),
            fail: count(Answer::Fail),
            unknown: count(Answer::Unknown),
            excepted: excepted.count(),
        }
    }
}

/// A rule in words.
pub(super) const fn in_words(rule: Rule) -> &'static str {
    match rule {
        Rule::ThreeCopies => "3 copies",
        Rule::TwoMedia => "2 media",
        Rule::OneOffsite => "1 off-site",
        Rule::OneIsolated => "1 isolated",
        Rule::ZeroErrors => "0 errors",
    }
}

impl Compliance {
    /// Makes the parts of pages and of paper.
    pub(super) fn document(&self) -> Document {
        let standing = &self.standing;
        let tone = if standing.fail > 0 {
            Tone::Bad
        } else if standing.unknown > 0 || standing.jobs == 0 {
            Tone::Warn
        } else {
            Tone::Good
        };
        Document {
            title: self.head.title.clone(),
            subtitle: format!(
                "{} · verdicts and evidence as of {} UTC",
                self.head.subtitle(),
                words::moment(self.head.made_at)
            ),
            made_at: self.head.made_at,
            headline: standing.sentence(),
            tone,
            tiles: self.tiles(),
            attention: Attention::new(self.attention(), ATTENTION),
            charts: self.charts(),
            sections: vec![self.by_rule(), self.by_job(), self.evidence(), self.exceptions()],
        }
    }

    fn tiles(&self) -> Vec<Tile> {
        let standing = &self.standing;
        let tile = |label, value: String, note: String, tone| Tile { label, value, note, tone };
        let some = |number: usize, tone| if number > 0 { tone } else { Tone::Plain };
        let follows =
            if standing.jobs > 0 && standing.follow == standing.jobs { Tone::Good } else { Tone::Warn };
        let unprotected = self
            .jobs
            .iter()
            .filter(|job| job.unprotected_since.is_some())
            .min_by_key(|job| job.unprotected_since);
        let longest = match unprotected {
            Some(job) => {
                let since = job.unprotected_since.unwrap_or(self.head.made_at);
                tile(
                    "Longest unprotected",
                    job.job.clone(),
                    format!("for {}", words::between(since, self.head.made_at)),
                    Tone::Bad,
                )
            }
            None => tile(
                "Longest unprotected",
                "no job".to_owned(),
                "all have young restore points".to_owned(),
                Tone::Plain,
            ),
        };
        let mean = words::percent(self.mean);
        vec![
            tile(
                "Follow the rule",
                format!("{} of {}", standing.follow, standing.jobs),
                String::new(),
                follows,
            ),
            tile("Fail", standing.fail.to_string(), String::new(), some(standing.fail, Tone::Bad)),
            tile("Unknown", standing.unknown.to_string(), String::new(), some(standing.unknown, Tone::Warn)),
            tile(
                "Excepted",
                standing.excepted.to_string(),
                "of those that fail or are unknown".to_owned(),
                Tone::Plain,
            ),
            tile("Mean of the period", mean, words::before(self.mean_before), Tone::Plain),
            longest,
        ]
    }

    fn attention(&self) -> Vec<Item> {
        let mut items = Vec::new();
        for job in self.jobs.iter().filter(|job| job.stands != Stands::Follows && !job.excepted) {
            let open: Vec<_> = job.open().filter(|verdict| job.exception(verdict.rule).is_none()).collect();
            let rules: Vec<&str> = open.iter().map(|verdict| verdict.rule.as_str()).collect();
            let text = match open.first() {
                Some(first) => format!("{}: {}", rules.join(", "), words::short(&first.reason)),
                None => "was not judged yet".to_owned(),
            };
            let (word, tone) =
                if job.stands == Stands::Fails { ("fails", Tone::Bad) } else { ("unknown", Tone::Warn) };
            items.push(Item { word, tone, subject: format!("{} ({})", job.job, job.owner), text });
        }
        let today = self.head.made_at.date_naive();
        for job in &self.jobs {
            for excepted in &job.exceptions {
                let exception = &excepted.exception;
                let left = (exception.until - today).num_days();
                if left <= ENDS_SOON {
                    let ends = if excepted.counts { "ends on" } else { "has ended on" };
                    items.push(Item {
                        word: "exception",
                        tone: Tone::Warn,
                        subject: format!("{} ({})", job.job, exception.owner),
                        text: format!("that from {} {ends} {}", exception.rule, exception.until),
                    });
                }
            }
        }
        items
    }

    fn charts(&self) -> Vec<Chart> {
        if self.days.is_empty() {
            return Vec::new();
        }
        let Span { from, to } = self.head.period;
        let to = to.min(self.head.made_at.date_naive());
        let all: Vec<NaiveDate> = from.iter_days().take_while(|day| *day <= to).collect();
        let together = if all.len() > MOST_BARS { 7 } else { 1 };
        let bar = |chunk: &[NaiveDate]| {
            let known: Vec<f64> = chunk.iter().filter_map(|day| self.days.get(day).copied()).collect();
            let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
            let label = chunk.first().map(|day| day.format("%m-%d").to_string()).unwrap_or_default();
            Bar { label, good: mean, bad: 0.0 }
        };
        vec![Chart {
            title: format!("Jobs that comply by {}", if together == 7 { "week" } else { "day" }),
            good: "share",
            bad: None,
            bars: all.chunks(together).map(bar).collect(),
            top: Some(1.0),
            unit: |share| words::percent(Some(share)),
        }]
    }

    fn by_rule(&self) -> Section {
        let count = |number: usize, tone| {
            if number > 0 { Cell::answer(number.to_string(), tone) } else { "0".into() }
        };
        let rows = self.rules.iter().map(|of| Row {
            cells: vec![
                format!("{} ({})", in_words(of.rule), of.rule).into(),
                of.pass.to_string().into(),
                count(of.warning, Tone::Warn),
                count(of.fail, Tone::Bad),
                count(of.unknown, Tone::Warn),
                of.excepted.to_string().into(),
            ],
            notes: Vec::new(),
        });
        let columns = vec![
            Column::text("Rule", 2.5),
            Column::number("Pass", 1.0),
            Column::number("Warning", 1.0),
            Column::number("Fail", 1.0),
            Column::number("Unknown", 1.0),
            Column::number("Excepted", 1.0),
        ];
        let note = format!(
            "Numbers of jobs. A warning passes, but its evidence expires soon; unknown is what would hold if what was never observed were \
             good. Verified within their windows: structure {}, all data {}, restore {} of {} copies.",
            self.verified.structure, self.verified.read, self.verified.restore_test, self.verified.copies
        );
        let table = Table { columns, rows: rows.collect(), more: 0 };
        Section { title: "By rule".to_owned(), note, table: Some(table) }
    }

    fn by_job(&self) -> Section {
        let rows: Vec<Row> = self.jobs.iter().take(JOBS_LISTED).map(verdict_row).collect();
        let columns = vec![
            Column::text("Job", 2.4),
            Column::text("Owner", 1.6),
            Column::text("3 copies", 1.1),
            Column::text("2 media", 1.1),
            Column::text("1 off-site", 1.1),
            Column::text("1 isolated", 1.1),
            Column::text("0 errors", 1.1),
            Column::text("Expires", 1.7),
        ];
        let table = (!rows.is_empty()).then(|| Table { columns, more: self.jobs.len() - rows.len(), rows });
        let note = "Those that do not comply first. Expires: when the earliest evidence that a passing verdict rests on does.";
        Section { title: "By job".to_owned(), note: note.to_owned(), table }
    }

    fn evidence(&self) -> Section {
        let mut rows = Vec::new();
        for job in self.jobs.iter().take(JOBS_LISTED) {
            rows.extend(job.evidence.iter().map(|of| Row {
                cells: vec![
                        job.job.clone().into(),
                        of.target.clone().into(),
                        of.held.kind.replace('_', " ").into(),
                        words::moment(of.held.observed_at).into(),
                        words::seconds(Some(of.age_seconds)).into(),
                        of.held
                            .expires_at
                            .map_or_else(|| "with its restore point".to_owned(), words::moment)
                            .into(),
                        match (of.counts, of.held.good) {
                            (true, _) => Cell::answer("counts", Tone::Good),
                            (false, true) => Cell::answer("expired", Tone::Bad),
                            (false, false) => Cell::answer("against", Tone::Bad),
                        },
                    ],
                notes: Vec::new(),
            }));
        }
        let columns = vec![
            Column::text("Job", 2.2),
            Column::text("Target", 1.6),
            Column::text("Evidence", 1.5),
            Column::text("Observed", 1.6),
            Column::number("Age", 1.1),
            Column::text("Expires", 2.0),
            Column::text("", 1.1),
        ];
        let more = self.jobs.iter().skip(JOBS_LISTED).map(|job| job.evidence.len()).sum();
        let note = "The newest piece of each kind about each copy. Against: it says that something is wrong.";
        let note = if rows.is_empty() { "Nothing was observed yet." } else { note };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more });
        Section { title: "Evidence".to_owned(), note: note.to_owned(), table }
    }

    fn exceptions(&self) -> Section {
        let mut rows = Vec::new();
        for job in &self.jobs {
            rows.extend(job.exceptions.iter().map(|excepted| {
                let exception = &excepted.exception;
                Row {
                    cells: vec![
                        job.job.clone().into(),
                        in_words(exception.rule).into(),
                        words::short(&exception.reason).into(),
                        exception.owner.clone().into(),
                        words::day(exception.until).into(),
                        if excepted.counts { "counts".into() } else { Cell::answer("ended", Tone::Warn) },
                    ],
                    notes: Vec::new(),
                }
            }));
        }
        let columns = vec![
            Column::text("Job", 2.0),
            Column::text("Rule", 1.1),
            Column::text("Reason", 4.0),
            Column::text("Owner", 1.6),
            Column::text("Until", 1.2),
            Column::text("", 1.0),
        ];
        let note = if rows.is_empty() { "There is none." } else { "They change no verdict." };
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more: 0 });
        Section { title: "Exceptions".to_owned(), note: note.to_owned(), table }
    }
}

fn verdict_row(job: &Judged) -> Row {
    let mut cells: Vec<Cell> = vec![job.job.clone().into(), job.owner.clone().into()];
    if job.verdicts.is_empty() {
        cells.extend(Rule::ALL.iter().map(|_| Cell::answer("not yet", Tone::Warn)));
    }
    cells.extend(job.verdicts.iter().map(|verdict| {
        let excepted = !verdict.answer.passes() && job.exception(verdict.rule).is_some();
        let word = if excepted { format!("{}*", verdict.answer) } else { verdict.answer.to_string() };
        Cell::answer(word, words::of_answer(verdict.answer))
    }));
    let passing = job.verdicts.iter().filter(|verdict| verdict.answer.passes());
    let expires = passing.filter_map(|verdict| verdict.expires_at).min();
    cells.push(expires.map(words::moment).unwrap_or_default().into());
    let mut notes: Vec<Note> = job
        .verdicts
        .iter()
        .filter(|verdict| verdict.answer != Answer::Pass)
        .map(|verdict| Note { word: verdict.rule.to_string(), text: words::short(&verdict.reason) })
        .collect();
    let counting = job.exceptions.iter().filter(|excepted| excepted.counts);
    notes.extend(counting.map(|excepted| {
        let exception = &excepted.exception;
        Note {
            word: format!("* {} excepted until {}", exception.rule, exception.until),
            text: format!("{} ({})", words::short(&exception.reason), exception.owner),
        }
    }));
    Row { cells, notes }
}
