//! Alertmanager of Prometheus, by its API: `POST /api/v2/alerts`.
//!
//! To an Alertmanager an alert is over when its end has come, and has no end of its own. So each post says that an open alert ends
//! in a few minutes, and the leader posts all that are open again before that. Labels tell alerts apart: the same transition
//! may be posted twice, and changes nothing the second time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use shared::alert::Tag;
use shared::channel::Alertmanager;
use shared::clock;
use shared::db::unrouted::Told;
use shared::tls::Trust;

use super::attempt::Attempted;
use super::web::{self, Request};

/// How often open alerts are posted again: below the `resolve_timeout` of five minutes that Alertmanager has by default.
pub(super) const REFRESH: Duration = Duration::from_mins(1);
/// How long an open alert is open without another post: two may be missed.
const LASTS: TimeDelta = TimeDelta::minutes(3);
/// So many alerts are posted at once.
pub(super) const AT_ONCE: usize = 500;

/// The name of what only tries whether a channel works: no rule's, so that routes of rules do not take it.
const TEST: &str = "HoldfastTest";

/// Posts alerts as they are, or one as a test.
pub(super) async fn post(
    alertmanager: &Alertmanager,
    alerts: impl Iterator<Item = &Told>,
    test: bool,
    trust: &Trust,
) -> Attempted {
    let now = clock::now();
    let alerts: Vec<Value> = alerts.map(|alert| written(alert, test, now)).collect();
    let request = Request {
        url: format!("{}/api/v2/alerts", alertmanager.url.trim_end_matches('/')),
        secret: false,
        allow_private: alertmanager.allow_private,
        method: Method::POST,
        headers: Vec::new(),
        body: Some(Value::Array(alerts).to_string().into_bytes()),
    };
    web::send(request, trust).await
}

/// The labels are what does not change while the alert is open, but for its severity: one that gets worse is another alert there,
/// and the one before ends by itself.
fn written(alert: &Told, test: bool, now: DateTime<Utc>) -> Value {
    let tags: Vec<&str> = alert.tags.iter().map(Tag::as_str).collect();
    let name = if test { TEST } else { alert.rule.as_str() };
    let labels = [
        ("alertname", Some(name.to_owned())),
        ("service", Some("holdfast".to_owned())),
        ("severity", Some(alert.severity.to_string())),
        ("subject", Some(alert.subject.clone())),
        ("job_name", alert.job.as_ref().map(ToString::to_string)),
        ("target", alert.target.as_ref().map(ToString::to_string)),
        ("owner", alert.owner.clone()),
        ("tags", Some(tags.join(",")).filter(|tags| !tags.is_empty())),
    ];
    let annotations = [("summary", Some(alert.summary.clone())), ("description", alert.detail.clone())];
    json!({
        "labels": present(labels),
        "annotations": present(annotations),
        "startsAt": alert.opened_at,
        "endsAt": alert.resolved_at.unwrap_or(now + LASTS),
    })
}

fn present<const N: usize>(pairs: [(&str, Option<String>); N]) -> Value {
    pairs.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))).collect()
}

#[cfg(test)]
mod tests {
    use shared::db::notification::Telling;

    use super::super::message::tests::event;
    use super::*;

    #[test]
    fn an_alert_of_alertmanager_is_this() {
        let now = "2026-11-26T02:10:00Z".parse().unwrap();
        let expected = |end: &str| {
            json!({
                "labels": { "alertname": "backups_failing", "service": "holdfast", "severity": "critical", "subject": "docs",
                    "job_name": "docs", "owner": "ops & co", "tags": "prod" },
                "annotations": { "summary": "the last 3 backups failed", "description": "disk-a: <no space>" },
                "startsAt": "2026-11-26T02:00:00Z",
                "endsAt": end,
            })
        };
        assert_eq!(written(&event(1, Telling::Opened).alert, false, now), expected("2026-11-26T02:13:00Z"));
        assert_eq!(written(&event(1, Telling::Resolved).alert, false, now), expected("2026-11-26T02:10:00Z"));
        let test = written(&event(1, Telling::Opened).alert, true, now);
        assert_eq!(test["labels"]["alertname"], "HoldfastTest");
    }
}
