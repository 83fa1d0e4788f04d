//! What is wrong, and how its life goes on.

use deadpool_postgres::GenericClient;
use metrics::{counter, gauge};
use shared::alert::{Rule, Severity, Transition};
use shared::db::alert::COUNTED;
use shared::db::{Error, alert, alert_evaluation};
use shared::metric;
use shared::metric::Metric;

metric!(ALERTS: Metric::gauge(
    "holdfast_alerts", &["rule", "severity", "state"],
    "Alerts that are not over, by rule, severity, and state: pending, open, or acknowledged"
));
metric!(ALERTS_SUPPRESSED: Metric::gauge(
    "holdfast_alerts_suppressed", &["rule"], "Open alerts of which nobody is told, by rule"
));
metric!(ALERT_TRANSITIONS: Metric::counter(
    "holdfast_alert_transitions_total", &["rule", "transition"],
    "Changes in the lives of alerts that this process made, by rule and transition"
));
metric!(ALERT_EVALUATION_AGE: Metric::gauge(
    "holdfast_alert_evaluation_age_seconds", &[],
    "How long ago some reporter has looked at all rules of alerts; absent before the first time"
));
metric!(ALERT_EVALUATION: Metric::gauge(
    "holdfast_alert_evaluation_seconds", &[], "How long that look took"
));

/// Counts a change.
pub(crate) fn count_transition(rule: Rule, transition: Transition) {
    counter!(ALERT_TRANSITIONS, "rule" => rule.as_str(), "transition" => transition.as_str()).increment(1);
}

/// Sets every rule, so that one with nothing left falls to zero.
pub(super) async fn set<C: GenericClient>(client: &C) -> Result<(), Error> {
    let counts = alert::counts(client, None).await?;
    for &rule in Rule::ALL {
        for &transition in Transition::ALL {
            // Shows zero for what has not happened yet, so that the first of each is seen as an increase.
            counter!(ALERT_TRANSITIONS, "rule" => rule.as_str(), "transition" => transition.as_str())
                .increment(0);
        }
        let of_rule = || counts.iter().filter(|count| count.rule == rule);
        for &severity in Severity::ALL {
            for state in COUNTED {
                let such = of_rule().filter(|count| count.severity == severity && count.state == state);
                let alerts: i64 = such.map(|count| count.alerts).sum();
                gauge!(ALERTS, "rule" => rule.as_str(), "severity" => severity.as_str(), "state" => state)
                    .set(alerts as f64);
            }
        }
        let suppressed: i64 = of_rule().filter(|count| count.suppressed).map(|count| count.alerts).sum();
        gauge!(ALERTS_SUPPRESSED, "rule" => rule.as_str()).set(suppressed as f64);
    }
    if let Some(last) = alert_evaluation::last(client).await? {
        gauge!(ALERT_EVALUATION_AGE).set(last.age);
        gauge!(ALERT_EVALUATION).set(last.seconds);
    }
    Ok(())
}
