//! T14: three reporters tell of alerts that open and resolve, and are killed at random.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use devstack::Service;
use serde_json::{Value, json};
use shared::alert::{Severity, Transition};
use shared::db::alert::Alert;

use super::arena::{Arena, Findings, until};
use super::form::Form;
use super::report::{Bar, Report, bar};
use super::screen::Screen;
use crate::{Receiver, Servers};

const REPORTERS: usize = 3;
/// The channels; each alert is told by both.
const CHANNELS: [&str; 2] = ["a", "b"];
/// Groups into which alerts come.
const GROUPS: usize = 8;
/// How long the receiver takes for an answer: long enough for a reporter to die meanwhile.
const ANSWER: Duration = Duration::from_millis(150);
/// How long it may take after the last kill until all is told: a lease of 45 s, after it what waited behind it, and some seconds.
const LATEST: Duration = Duration::from_secs(75);

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (kills, rhythm) = form.pick((5, 1.0..=3.0), (40, 3.0..=12.0));
    let arena = Arena::bare(servers, "T14", form, screen).await;
    let receiver = Receiver::start().await;
    receiver.answer_after(ANSWER);
    arena.world.hold_the_alerts().await;
    arena.world.apply(&definitions(&arena, &receiver)).await;
    let mut reporters: Vec<Service> = (0..REPORTERS).map(|number| start(&arena, number, 0)).collect();
    let mut alerts = Alerts::default();
    for round in 1..=kills {
        let end = Instant::now() + Duration::from_secs_f64(rand::random_range(rhythm.clone()));
        while Instant::now() < end {
            alerts.happen(&arena).await;
        }
        // The leader each other time at least.
        let victim = if round % 2 == 0 { leader(&reporters) } else { rand::random_range(0..REPORTERS) };
        reporters[victim].kill().await?;
        arena.injected();
        reporters[victim] = start(&arena, victim, round);
        arena.tell("killing reporters");
    }
    alerts.end(&arena).await;
    let last_kill = Instant::now();
    arena.tell("waiting until all is told");
    let waiting = "select (select count(*) from notification where state = 'waiting')
         + (select count(*) from alert_event where routed_at is null)";
    let limit = LATEST + Duration::from_secs(45);
    until("nothing waits", limit, async || (arena.number(waiting).await == Some(0)).then_some(())).await;
    let recovery = last_kill.elapsed();

    let seen = Seen::of(&receiver);
    let terms =
        arena.number("select max(term) from leader where role = 'reporter'").await.unwrap_or_default();
    let unknown =
        arena.number("select count(*) from delivery where outcome is null").await.unwrap_or_default();
    let mut bars = seen.bars(&alerts, usize::try_from(unknown)?);
    bars.push(bar(
        recovery <= LATEST,
        format!("all told {:.1} s after the last kill <= 75 s", recovery.as_secs_f64()),
    ));
    bars.push(bar(terms > 1, "the lead changed hands"));
    let load = format!(
        "{} transitions by 2 channels in {} notifications, {terms} terms, {unknown} attempts cut off, {} came again",
        alerts.expected.len(),
        seen.notifications.len(),
        seen.again
    );
    // No task runs here, so that nothing was written down.
    arena.world.write("effects.jsonl", "");
    let report = arena.close(Findings { load, recovery: Some(recovery), bars }).await;
    drop(reporters);
    report
}

fn definitions(arena: &Arena, receiver: &Receiver) -> Value {
    let channel = |name: &str| {
        json!({ "name": name, "kind": "webhook", "url": format!("{}/{name}", receiver.url),
            "secret": { "file": arena.world.path("password") }, "allow_private": true })
    };
    let route = |name: &str, wait| json!({ "name": name, "channels": [name], "group_wait": wait });
    json!({ "channels": CHANNELS.map(channel), "routes": [route("a", "0s"), route("b", "1s")] })
}

fn start(arena: &Arena, number: usize, round: usize) -> Service {
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_LOG", "info")];
    arena.world.start("reporter", &format!("reporter-{number}-{round}"), &settings)
}

/// Which of the reporters has led last, by their own words.
fn leader(reporters: &[Service]) -> usize {
    let last_term = |service: &Service| {
        let log = service.log();
        let (_, rest) = log.rsplit_once("leading the reporters")?;
        rest.split("term=").nth(1)?.split_whitespace().next()?.parse::<u64>().ok()
    };
    let terms = reporters.iter().map(last_term).enumerate();
    terms.max_by_key(|(_, term)| *term).map(|(number, _)| number).unwrap_or_default()
}

/// The alerts of the scenario, and what is to be told of them.
#[derive(Default)]
struct Alerts {
    open: Vec<Alert>,
    number: usize,
    /// As `subject transition`.
    expected: BTreeSet<String>,
}

impl Alerts {
    /// One opens, and sometimes one resolves.
    async fn happen(&mut self, arena: &Arena) {
        let subject = format!("{}/job-{}", self.number % GROUPS, self.number);
        self.number += 1;
        self.open.push(arena.world.open_alert(&subject, Severity::Warning, None).await);
        self.expected.insert(format!("{subject} opened"));
        if self.open.len() > 5 {
            let index = rand::random_range(0..self.open.len());
            self.resolve(arena, index).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(10..80))).await;
    }

    async fn end(&mut self, arena: &Arena) {
        while !self.open.is_empty() {
            self.resolve(arena, 0).await;
        }
    }

    async fn resolve(&mut self, arena: &Arena, index: usize) {
        let mut alert = self.open.remove(index);
        arena.world.move_alert(&mut alert, Transition::Resolved, None).await;
        self.expected.insert(format!("{} resolved", alert.about.subject));
    }
}

/// What the receiver has seen.
struct Seen {
    /// The body of each notification by its id.
    notifications: BTreeMap<String, Value>,
    /// Deliveries of a notification that had come before.
    again: usize,
    /// Of these, those that said something else than the first time.
    changed: usize,
}

impl Seen {
    fn of(receiver: &Receiver) -> Self {
        let mut seen = Self { notifications: BTreeMap::new(), again: 0, changed: 0 };
        for received in receiver.received() {
            let body = received.json();
            let first =
                seen.notifications.insert(received.header("holdfast-delivery").to_owned(), body.clone());
            seen.again += usize::from(first.is_some());
            seen.changed += usize::from(first.is_some_and(|first| first != body));
        }
        seen
    }

    /// The transitions that a channel was told, each as often as it stands in a notification.
    fn told(&self, channel: &str) -> Vec<String> {
        let of_channel = self.notifications.values().filter(|body| body["channel"] == channel);
        let events = of_channel.flat_map(|body| body["events"].as_array().cloned().unwrap_or_default());
        let text = |event: &Value, at: &str| {
            event.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        events
            .map(|event| format!("{} {}", text(&event, "/alert/subject"), text(&event, "/transition")))
            .collect()
    }

    fn bars(&self, alerts: &Alerts, cut_off: usize) -> Vec<Bar> {
        let (mut lost, mut doubled, mut unknown) = (0, 0, 0);
        for channel in CHANNELS {
            let told = self.told(channel);
            let distinct: BTreeSet<&String> = told.iter().collect();
            doubled += told.len() - distinct.len();
            lost += alerts.expected.iter().filter(|expected| !distinct.contains(expected)).count();
            unknown += distinct.iter().filter(|told| !alerts.expected.contains(**told)).count();
        }
        vec![
            bar(lost == 0, format!("{lost} transitions lost")),
            bar(doubled == 0, format!("{doubled} transitions in two notifications of a channel")),
            bar(unknown == 0, format!("{unknown} transitions told that there were not")),
            bar(self.changed == 0, format!("{} notifications changed between two attempts", self.changed)),
            bar(
                self.again <= cut_off,
                format!("{} came again, by {cut_off} attempts whose reporter was killed", self.again),
            ),
        ]
    }
}
