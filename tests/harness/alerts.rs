//! Alerts, written as the one writes them who finds them.

use chrono::{DateTime, Utc};
use shared::alert::{AlertId, Rule, Severity, State, SuppressedBy, Transition};
use shared::db;
use shared::db::alert::{self, About, Alert, Life};
use shared::db::alert_event::{self, Event};
use shared::job::JobId;

use crate::World;

impl World {
    /// Keeps reporters from writing what becomes of alerts: those of a test are what it says.
    pub async fn hold_the_alerts(&self) {
        let statement = "create function hold() returns trigger language plpgsql
                 as $$ begin raise exception 'held by the test'; end $$;
             create trigger hold before update on alert_evaluation execute function hold()";
        self.execute(statement).await;
    }

    /// Opens an alert about a job, or about nothing that is defined. What stands before a slash in the subject is its group.
    pub async fn open_alert(&self, subject: &str, severity: Severity, job: Option<&str>) -> Alert {
        let mut client = self.database.client().await.unwrap();
        let now = db::now(&client).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let mut owner = None;
        let mut job_id = None;
        if let Some(name) = job {
            let statement = "select id, definition ->> 'owner' from job where name = $1";
            let row = transaction.query_one(statement, &[&name]).await.unwrap();
            (job_id, owner) = (Some(JobId(row.get(0))), Some(row.get(1)));
        }
        let mut alert = Alert {
            id: AlertId(0),
            about: About {
                cause: format!("backup_failed/{subject}"),
                rule: Rule::BackupFailed,
                severity,
                subject: subject.to_owned(),
                job: job_id,
                target: None,
                owner,
                group_key: format!(
                    "backup_failed/{}",
                    subject.split_once('/').map_or("ops", |(group, _)| group)
                ),
                summary: format!("the backup of {subject} failed"),
                detail: None,
            },
            life: Life {
                state: State::Open,
                since: now,
                opened_at: Some(now),
                resolved_at: None,
                reopened: 0,
                acknowledged: None,
                suppressed_by: None,
            },
        };
        alert.id = alert::insert(&transaction, &[(&alert.about, &alert.life)]).await.unwrap()[0];
        alert_event::insert(&transaction, now, &[event(&alert, Transition::Opened, None)]).await.unwrap();
        transaction.commit().await.unwrap();
        alert
    }

    /// Moves an alert on.
    pub async fn move_alert(&self, alert: &mut Alert, transition: Transition, by: Option<SuppressedBy>) {
        let mut client = self.database.client().await.unwrap();
        let now: DateTime<Utc> = db::now(&client).await.unwrap();
        match transition {
            Transition::Resolved => (alert.life.state, alert.life.resolved_at) = (State::Resolved, Some(now)),
            Transition::Reopened => (alert.life.state, alert.life.resolved_at) = (State::Open, None),
            _ => {}
        }
        alert.life.suppressed_by.clone_from(&by);
        let transaction = client.transaction().await.unwrap();
        alert::update(&transaction, &[alert.id], &[(&alert.about, &alert.life)]).await.unwrap();
        alert_event::insert(&transaction, now, &[event(alert, transition, by)]).await.unwrap();
        transaction.commit().await.unwrap();
    }
}

fn event(alert: &Alert, transition: Transition, suppressed_by: Option<SuppressedBy>) -> Event {
    Event {
        alert: alert.id,
        transition,
        severity: alert.about.severity,
        summary: alert.about.summary.clone(),
        by: None,
        note: None,
        suppressed_by,
    }
}
