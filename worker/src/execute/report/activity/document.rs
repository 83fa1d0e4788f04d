//! What the report says to people.

use shared::alert::Rule;

use super::super::document::{Attention, Bar, Chart, Document, Item, Tile, Tone};
use super::super::standing::Stands;
use super::super::words;
use super::alerts::OpenAlert;
use super::{Activity, JobRow, Step};

/// So many things that need attention are named on the first page.
const ATTENTION: usize = 8;

impl Activity {
    /// Makes the parts of pages and of paper.
    pub(in crate::execute::report) fn document(&self) -> Document {
        let figures = &self.figures;
        let rate = match figures.success_rate {
            Some(_) => format!(
                "{} of {} succeeded.",
                words::percent(figures.success_rate),
                words::count64(figures.backups, "backup")
            ),
            None => "No backup was tried.".to_owned(),
        };
        Document {
            title: self.head.title.clone(),
            subtitle: format!(
                "{} · verdicts, open alerts and dead tasks as of {} UTC",
                self.head.subtitle(),
                words::moment(self.head.made_at)
            ),
            made_at: self.head.made_at,
            headline: format!("{} {rate}", self.standing.sentence()),
            tone: self.tone(),
            tiles: self.tiles(),
            attention: Attention::new(self.attention(), ATTENTION),
            charts: self.charts(),
            sections: self.sections(),
        }
    }

    fn tone(&self) -> Tone {
        let standing = &self.standing;
        if standing.fail > 0 || self.is_below() {
            Tone::Bad
        } else if standing.unknown > 0 || standing.jobs == 0 {
            Tone::Warn
        } else {
            Tone::Good
        }
    }

    fn is_below(&self) -> bool {
        self.figures.success_rate.is_some_and(|rate| rate < self.success_rate_demanded)
    }

    fn tiles(&self) -> Vec<Tile> {
        let (now, before) = (&self.figures, &self.figures_before);
        let tile = |label, value, note, tone| Tile { label, value, note, tone };
        let standing = &self.standing;
        let follows = match standing.follow {
            0 if standing.fail > 0 => Tone::Bad,
            follow if follow < standing.jobs || standing.jobs == 0 => Tone::Warn,
            _ => Tone::Good,
        };
        let mean = match (self.compliance_mean, self.compliance_mean_before) {
            (Some(mean), before) => format!("mean {}, {}", words::percent(Some(mean)), words::before(before)),
            (None, _) => format!("{} fail, {} unknown", standing.fail, standing.unknown),
        };
        let of_rate = match now.success_rate {
            None => Tone::Plain,
            Some(_) if self.is_below() => Tone::Bad,
            Some(_) => Tone::Good,
        };
        let demanded = words::percent(Some(self.success_rate_demanded));
        let points = &self.recovery_points;
        let kept = match points.kept {
            0 if points.jobs > 0 => Tone::Bad,
            kept if kept < points.jobs => Tone::Warn,
            _ => Tone::Plain,
        };
        let worst = match points.without {
            0 => format!("worst: {}", words::seconds(points.worst_seconds)),
            without => format!("{} without any", words::count(without, "job")),
        };
        let oldest = match self.unprotected() {
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
        let growth = format!("before: {}", words::bytes(before.storage_growth));
        let copies = self.verified.copies;
        vec![
            tile("Jobs that comply", format!("{} of {}", standing.follow, standing.jobs), mean, follows),
            tile(
                "Backups that succeeded",
                words::percent(now.success_rate),
                format!("at least {demanded} demanded, {}", words::before(before.success_rate)),
                of_rate,
            ),
            tile("Recovery points kept", format!("{} of {}", points.kept, points.jobs), worst, kept),
            oldest,
            tile("Storage growth", words::bytes(now.storage_growth), growth, Tone::Plain),
            tile(
                "Restore tests",
                format!("{} of {copies} copies", self.verified.restore_test),
                format!("slowest restore: {}", words::seconds(self.restores.longest_seconds)),
                Tone::Plain,
            ),
        ]
    }

    /// One for each job, with its alerts, and the alerts that are about none of them.
    fn attention(&self) -> Vec<Item> {
        let mut alerts = self.alerts.urgent();
        let told = alerts.values().flatten().any(|alert| alert.rule() == Rule::DeadTasks);
        let of_jobs =
            self.jobs.iter().filter_map(|job| of_job(job, &alerts.remove(&Some(job.id)).unwrap_or_default()));
        let mut items: Vec<Item> = of_jobs.collect();
        items.extend(alerts.values().flatten().map(|alert| alert.alone()));
        if self.dead_tasks > 0 && !told && self.head.job.is_none() && self.head.owner.is_none() {
            let text = format!("{} wait for a decision: producer dead list", self.dead_tasks);
            items.push(Item { word: "warning", tone: Tone::Warn, subject: "dead tasks".to_owned(), text });
        }
        items
    }

    fn charts(&self) -> Vec<Chart> {
        let weekly = self.trend.len() > 1
            && self.trend.windows(2).next().is_some_and(|pair| (pair[1].from - pair[0].from).num_days() == 7);
        let by = if weekly { "week" } else { "day" };
        let bars = |good: fn(&Step) -> Option<f64>, bad: fn(&Step) -> f64| {
            let bar = |step: &Step| Bar {
                label: step.from.format("%m-%d").to_string(),
                good: good(step),
                bad: bad(step),
            };
            self.trend.iter().map(bar).collect()
        };
        let whole = |value: f64| format!("{value:.0}");
        let mut charts = vec![
            Chart {
                title: format!("Backups by {by}"),
                good: "succeeded",
                bad: Some("failed"),
                bars: bars(
                    |step| Some(step.succeeded()),
                    |step| step.figures.backups as f64 - step.succeeded(),
                ),
                top: None,
                unit: whole,
            },
            Chart {
                title: format!("Stored in addition by {by}"),
                good: "bytes",
                bad: None,
                bars: bars(|step| Some(step.figures.storage_growth as f64), |_| 0.0),
                top: None,
                unit: words::size,
            },
        ];
        if self.trend.iter().any(|step| step.compliance_mean.is_some()) {
            charts.push(Chart {
                title: format!("Jobs that comply by {by}"),
                good: "share",
                bad: None,
                bars: bars(|step| step.compliance_mean, |_| 0.0),
                top: Some(1.0),
                unit: |share| words::percent(Some(share)),
            });
        }
        charts
    }
}

/// What is wrong with a job, and its alerts that say something else.
fn of_job(job: &JobRow, alerts: &[&OpenAlert]) -> Option<Item> {
    let mut said = Vec::new();
    let open: Vec<_> = job.answers.iter().filter(|of| !of.answer.passes() && !of.excepted).collect();
    if let Some(first) = open.first() {
        let rules: Vec<&str> = open.iter().map(|of| of.rule.as_str()).collect();
        said.push(format!("{}: {}", rules.join(", "), words::short(&first.reason)));
    }
    if job.too_few {
        said.push(format!("{} of {} backups failed", job.failed(), job.figures.backups));
    }
    let is_late = job.rpo_kept == Some(false) && job.unprotected_since.is_some();
    if is_late {
        let worst = job.rpo_achieved_seconds.map_or("it has no restore point".to_owned(), |worst| {
            format!("up to {} of its data could have been lost", words::seconds(Some(worst)))
        });
        said.push(worst);
    }
    let owner = job.owner.as_ref().map(|owner| format!(" ({owner})")).unwrap_or_default();
    let subject = format!("{}{owner}", job.job);
    // Those about verdicts say what the answers say, and of some of these an exception says who answers for them.
    let about_verdicts =
        |rule| matches!(rule, Rule::VerdictFailing | Rule::VerdictUnknown | Rule::VerdictExpiring);
    let other = alerts.iter().filter(|alert| job.answers.is_empty() || !about_verdicts(alert.rule()));
    let is_critical = other.clone().any(|alert| alert.tone() == Tone::Bad);
    let is_said = |rule| match rule {
        Rule::NoRecentBackup => is_late,
        Rule::SuccessRate => job.too_few,
        _ => false,
    };
    let news: Vec<_> = other.filter(|alert| !is_said(alert.rule())).collect();
    let alerted = news.first().map(|worst| match news.len() - 1 {
        0 => worst.text(),
        others => format!("{}, and {}", worst.text(), words::count(others, "other alert")),
    });
    if said.is_empty() {
        return news.first().zip(alerted).map(|(worst, text)| worst.item(subject, text));
    }
    let (word, tone) = if job.stands == Some(Stands::Fails) || job.too_few {
        ("fails", Tone::Bad)
    } else if is_critical {
        ("critical", Tone::Bad)
    } else {
        ("unknown", Tone::Warn)
    };
    said.extend(alerted.map(|text| format!("alert: {text}")));
    Some(Item { word, tone, subject, text: said.join("; ") })
}

impl Step {
    fn succeeded(&self) -> f64 {
        (self.figures.success_rate.unwrap_or_default() * self.figures.backups as f64).round()
    }
}
