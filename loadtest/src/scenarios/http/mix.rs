//! The pages that people open: a fixed distribution over lists, single things and parameters.
//!
//! It is what a portal asks for while a manager has its dashboard open, people on call look into what is wrong, and an auditor looks at
//! evidence and changes. Jobs are asked for as popular things are (Zipf's law, exponent 1): of 10,000 the first gets a tenth.

use std::sync::Arc;

use anyhow::ensure;
use chrono::{Days, NaiveDate};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Zipf};
use serde_json::Value;

use super::client::{Ask, Client};

/// A page: what it is called, how many of a hundred requests ask for it, and how.
pub(super) struct Page {
    pub(super) name: &'static str,
    pub(super) share: u32,
    who: Who,
    path: fn(&Places, &mut SmallRng) -> String,
}

/// Whose token a page needs.
#[derive(Debug, Clone, Copy)]
enum Who {
    Viewer,
    Auditor,
}

const fn page(name: &'static str, share: u32, path: fn(&Places, &mut SmallRng) -> String) -> Page {
    Page { name, share, who: Who::Viewer, path }
}

/// All pages.
pub(super) const PAGES: [Page; 21] = [
    page("summary", 10, |_, _| "summary".to_owned()),
    page("executions, newest", 9, |_, _| "executions".to_owned()),
    page("executions of a job", 9, |places, random| format!("executions?job={}", places.job(random))),
    page("jobs, first page", 8, |_, _| "jobs".to_owned()),
    page("a job", 8, |places, random| format!("jobs/{}", places.job(random))),
    page("open alerts", 8, |_, _| "alerts?state=open".to_owned()),
    page("failing verdicts", 6, |_, _| "verdicts?answer=fail".to_owned()),
    page("restore points of a job", 6, |places, random| {
        format!("restore-points?job={}&sort=-data_time", places.job(random))
    }),
    page("jobs of an owner", 4, |_, random| format!("jobs?owner=team-{}", random.random_range(0..20))),
    page("what failed on some days", 4, |places, random| {
        let from = places.today - Days::new(random.random_range(0..7));
        format!("executions?outcome=failed,timed_out,lost&from={from}&to={}", places.today + Days::new(1))
    }),
    page("second and further pages", 4, |places, random| Places::one_of(&places.behind, random)),
    page("evidence of a job", 4, |places, random| format!("evidence?job={}", places.job(random))),
    page("an execution", 3, |places, random| {
        format!("executions/{}", Places::one_of(&places.executions, random))
    }),
    page("verdicts of a job", 3, |places, random| format!("verdicts?job={}", places.job(random))),
    page("an alert", 3, |places, random| format!("alerts/{}", Places::one_of(&places.alerts, random))),
    page("dead tasks", 3, |_, _| "dead-tasks".to_owned()),
    page("workers", 2, |_, _| "workers".to_owned()),
    page("pools", 2, |_, _| "pools".to_owned()),
    page("schedules", 1, |_, _| "schedules?sort=next_due".to_owned()),
    page("targets", 1, |_, _| "targets".to_owned()),
    Page { name: "changes", share: 2, who: Who::Auditor, path: |_, _| "audit".to_owned() },
];

/// Further pages of each list that are opened.
const FURTHER: usize = 5;

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pub(super) viewer: Arc<str>,
    pub(super) auditor: Arc<str>,
}

/// What is there to be asked for.
#[derive(Debug)]
pub(super) struct Places {
    tokens: Tokens,
    jobs: usize,
    popularity: Zipf<f64>,
    today: NaiveDate,
    executions: Vec<String>,
    alerts: Vec<String>,
    /// The paths of pages behind the first.
    behind: Vec<String>,
}

impl Places {
    /// Looks around as people do: pages have links to others.
    pub(super) async fn look(client: &mut Client, tokens: &Tokens, jobs: usize) -> anyhow::Result<Self> {
        let (mut executions, mut behind) = (Vec::new(), Vec::new());
        for list in ["executions", "jobs"] {
            let mut path = list.to_owned();
            for _ in 0..=FURTHER {
                let page = client.json(&tokens.viewer, &format!("/api/v1/{path}")).await?;
                if list == "executions" {
                    executions.extend(ids(&page));
                }
                let Some(next) = page["next"].as_str() else { break };
                path = format!("{list}?after={next}");
                if behind.len() < 2 * FURTHER {
                    behind.push(path.clone());
                }
            }
        }
        let alerts: Vec<String> = ids(&client.json(&tokens.viewer, "/api/v1/alerts").await?).collect();
        let there = !executions.is_empty() && !alerts.is_empty() && !behind.is_empty();
        ensure!(
            there,
            "there is too little to open: {} executions, {} alerts",
            executions.len(),
            alerts.len()
        );
        Ok(Self {
            tokens: tokens.clone(),
            jobs,
            popularity: Zipf::new(jobs as f64, 1.0)?,
            today: shared::clock::now().date_naive(),
            executions,
            alerts,
            behind,
        })
    }

    /// A page that somebody opens next: its place among [`PAGES`], and what is asked for.
    pub(super) fn draw(&self, random: &mut SmallRng) -> (usize, Ask) {
        let all = PAGES.iter().map(|page| page.share).sum();
        let mut drawn: u32 = random.random_range(0..all);
        let chosen = PAGES.iter().position(|page| match drawn.checked_sub(page.share) {
            Some(left) => {
                drawn = left;
                false
            }
            None => true,
        });
        let place = chosen.unwrap_or_default();
        (place, self.ask(place, random))
    }

    /// A request for one of [`PAGES`].
    pub(super) fn ask(&self, place: usize, random: &mut SmallRng) -> Ask {
        let page = &PAGES[place];
        let token = match page.who {
            Who::Viewer => &self.tokens.viewer,
            Who::Auditor => &self.tokens.auditor,
        };
        Ask::of(token, format!("/api/v1/{}", (page.path)(self, random)))
    }

    /// A job's name. Popular ones do not stand beside each other.
    pub(super) fn job(&self, random: &mut SmallRng) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "1 to the number of jobs"
        )]
        let rank = self.popularity.sample(random) as usize;
        format!("load-{}", rank * 7919 % self.jobs)
    }

    fn one_of(all: &[String], random: &mut SmallRng) -> String {
        all[random.random_range(0..all.len())].clone()
    }
}

fn ids(page: &Value) -> impl Iterator<Item = String> + '_ {
    let items = page["items"].as_array().into_iter().flatten();
    items.filter_map(|item| match &item["id"] {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn places() -> Places {
        Places {
            tokens: Tokens { viewer: "viewer".into(), auditor: "auditor".into() },
            jobs: 1000,
            popularity: Zipf::new(1000.0, 1.0).unwrap(),
            today: NaiveDate::from_ymd_opt(2026, 11, 26).unwrap(),
            executions: vec!["1.1".to_owned()],
            alerts: vec!["7".to_owned()],
            behind: vec!["jobs?after=x".to_owned()],
        }
    }

    #[test]
    fn pages_are_opened_as_often_as_their_shares_say() {
        assert_eq!(PAGES.iter().map(|page| page.share).sum::<u32>(), 100);
        let (places, mut random) = (places(), SmallRng::seed_from_u64(1));
        let mut counts = [0_i32; PAGES.len()];
        for _ in 0..100_000 {
            counts[places.draw(&mut random).0] += 1;
        }
        for (page, count) in PAGES.iter().zip(counts) {
            let expected = i32::try_from(page.share).unwrap() * 1000;
            assert!((count - expected).abs() < 100 + expected / 10, "{}: {count}", page.name);
        }
    }

    #[test]
    fn few_jobs_are_asked_for_often_and_changes_by_an_auditor() {
        let (places, mut random) = (places(), SmallRng::seed_from_u64(1));
        let first = (0..1000).filter(|_| places.job(&mut random) == "load-919").count();
        assert!((80..200).contains(&first), "{first}");
        let audit = PAGES.iter().position(|page| page.name == "changes").unwrap();
        assert_eq!(places.ask(audit, &mut random).token.as_deref(), Some("auditor"));
    }
}
