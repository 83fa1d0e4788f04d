//! Alerts of the period, those that are open now, and which of them somebody should look at.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use serde::Serialize;
use shared::alert::{Rule, Severity, State, Transition};
use shared::db::alert::{COUNTED, Filter};
use shared::db::{self, alert, alert_event};
use shared::job::JobId;

use super::super::document::{Cell, Column, Item, Row, Section, Table, Tone};
use super::super::facts::Head;
use super::super::words;

/// No more open alerts than these are in a report, the worst; the rest is counted.
const OPEN: i64 = 10_000;
/// No more of them are listed for people.
const LISTED: usize = 50;

/// Alerts of the period, and those that are open now.
#[derive(Debug, Serialize)]
pub(super) struct Alerts {
    /// Those that came back are counted as opened again.
    opened: i64,
    resolved: i64,
    counts: Counts,
    /// The worst first.
    open: Vec<OpenAlert>,
}

/// How many are open now, by severity: the figures of the metrics and of the summary.
#[derive(Debug, Serialize)]
struct Counts {
    /// Nobody has said that they know.
    open: BTreeMap<Severity, i64>,
    acknowledged: BTreeMap<Severity, i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct OpenAlert {
    rule: Rule,
    severity: Severity,
    subject: String,
    summary: String,
    #[serde(skip)]
    job: Option<JobId>,
    acknowledged_by: Option<String>,
    suppressed: bool,
}

impl Alerts {
    /// Reads them, of some jobs or of all and of everything else.
    pub(super) async fn read(
        transaction: &Transaction<'_>,
        head: &Head,
        jobs: Option<&[JobId]>,
    ) -> Result<Self, db::Error> {
        let tally = alert_event::tally(transaction, head.period.start(), head.period.end(), jobs).await?;
        let count = |transitions: &[Transition]| {
            let such = tally.iter().filter(|tally| transitions.contains(&tally.transition));
            such.map(|tally| tally.count).sum()
        };
        let counts = alert::counts(transaction, jobs).await?;
        let [_, open, acknowledged] = COUNTED;
        let filter =
            Filter { states: vec![State::Open], jobs: jobs.map(<[JobId]>::to_vec), ..Filter::default() };
        let listed = alert::list(transaction, &filter, OPEN).await?;
        Ok(Self {
            opened: count(&[Transition::Opened, Transition::Reopened]),
            resolved: count(&[Transition::Resolved]),
            counts: Counts {
                open: alert::by_severity(&counts, open),
                acknowledged: alert::by_severity(&counts, acknowledged),
            },
            open: listed.into_iter().map(OpenAlert::from).collect(),
        })
    }

    /// Those that somebody should look at, by their jobs; those that are about no job have none.
    pub(super) fn urgent(&self) -> BTreeMap<Option<JobId>, Vec<&OpenAlert>> {
        let mut urgent: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for alert in self.open.iter().filter(|alert| alert.is_urgent()) {
            urgent.entry(alert.job).or_default().push(alert);
        }
        urgent
    }

    pub(super) fn section(&self) -> Section {
        let rows: Vec<Row> = self.open.iter().take(LISTED).map(OpenAlert::row).collect();
        let columns = vec![
            Column::text("Severity", 1.0),
            Column::text("About", 2.0),
            Column::text("What", 5.0),
            Column::text("Known", 2.0),
        ];
        let known: i64 = self.counts.acknowledged.values().sum();
        let open = self.counts.open.values().sum::<i64>() + known;
        let of_which = match known {
            0 => String::new(),
            1 => ", of which 1 is acknowledged".to_owned(),
            number => format!(", of which {number} are acknowledged"),
        };
        let note = format!(
            "{} opened and {} resolved in the period; open now: {open}{of_which}.",
            self.opened, self.resolved
        );
        let more = usize::try_from(open).unwrap_or(0).saturating_sub(rows.len());
        let table = (!rows.is_empty()).then_some(Table { columns, rows, more });
        Section { title: "Alerts".to_owned(), note, table }
    }
}

impl From<alert::Alert> for OpenAlert {
    fn from(alert: alert::Alert) -> Self {
        Self {
            rule: alert.about.rule,
            severity: alert.about.severity,
            subject: alert.about.subject,
            summary: alert.about.summary,
            job: alert.about.job,
            acknowledged_by: alert.life.acknowledged.map(|acknowledged| acknowledged.by),
            suppressed: alert.life.suppressed_by.is_some(),
        }
    }
}

impl OpenAlert {
    pub(super) const fn rule(&self) -> Rule {
        self.rule
    }

    /// Nobody knows about it yet, or does not want to.
    fn is_urgent(&self) -> bool {
        self.severity > Severity::Info && !self.suppressed && self.acknowledged_by.is_none()
    }

    pub(super) fn tone(&self) -> Tone {
        if self.severity == Severity::Critical { Tone::Bad } else { Tone::Warn }
    }

    pub(super) fn text(&self) -> String {
        words::short(&self.summary)
    }

    /// What needs attention, when nothing else is to be said of what it is about.
    pub(super) fn item(&self, subject: String, text: String) -> Item {
        Item { word: self.severity.as_str(), tone: self.tone(), subject, text }
    }

    /// The same, about what is no job of the list.
    pub(super) fn alone(&self) -> Item {
        self.item(self.subject.clone(), self.text())
    }

    fn row(&self) -> Row {
        let known = self.acknowledged_by.as_ref().map(|by| format!("acknowledged by {by}"));
        let known = known.or_else(|| self.suppressed.then(|| "silenced".to_owned()));
        let cells = vec![
            Cell::answer(self.severity.to_string(), self.tone()),
            self.subject.clone().into(),
            self.text().into(),
            known.unwrap_or_default().into(),
        ];
        Row { cells, notes: Vec::new() }
    }
}
