//! A database with months of history, and a reporter on it that has caught up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::access::{Bearer, Holder, Role};
use shared::db::{self, Database, api_token, rollup};

use crate::scenarios::growth::Past;
use crate::scenarios::reports;
use crate::system::{Fleet, Layout, Reporter, Servers};

/// How long a reporter may take until it has caught up.
const PATIENCE: Duration = Duration::from_mins(30);
/// How often one hears how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Days of the history.
const DAYS: i32 = 365;
/// Workers, which have nothing to do.
const WORKERS: usize = 2;

/// What there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) jobs: u32,
    pub(super) executions: u32,
}

impl Size {
    /// Alerts that are over: one of two jobs had one in the last 90 days, but no more than some thousand.
    const fn alerts(self) -> u32 {
        let half = self.jobs.div_ceil(2);
        if half < 5_000 { half } else { 5_000 }
    }

    /// Makes a database with all of it, and starts a reporter that has caught up with it.
    pub(super) async fn fleet(
        self,
        servers: &Servers,
        settings: BTreeMap<String, String>,
    ) -> anyhow::Result<Fleet> {
        let database_url = servers.create_database("http").await?;
        let layout = |workers, reporter| Layout {
            database_url: Some(database_url.clone()),
            definitions: Some(self.definitions(servers)),
            workers,
            reporter,
            reporter_settings: settings.clone(),
            ..Layout::default()
        };
        let defined = Fleet::start(servers, layout(0, false)).await?;
        eprintln!("filling in {} attempts of {} jobs", self.executions, self.jobs);
        let past = Past { executions: self.executions, ids: 0, end: shared::clock::now() };
        past.fill(&database_url, past.all()).await?;
        self.judge(&defined.database).await?;
        defined.stop().await?;
        let fleet = Fleet::start(servers, layout(WORKERS, true)).await?;
        until_caught_up(&fleet.database).await?;
        Ok(fleet)
    }

    /// Jobs with three copies and a schedule each. Most have had their backup in time; one of 50 wants one each hour, and is what alerts are about.
    fn definitions(self, servers: &Servers) -> Value {
        let mut definitions = reports::definitions(servers, self.jobs);
        for (number, job) in definitions["jobs"].as_array_mut().into_iter().flatten().enumerate() {
            job["rpo"] = json!(if number % 50 == 0 { "1h" } else { "720h" });
            job["schedule"] = json!({ "cron": format!("{} {} * * *", number % 60, number % 24), "timezone": "Europe/Berlin" });
        }
        definitions
    }

    /// What else there would be: verdicts, of which one job of 20 has bad ones, alerts that are over, and changes.
    async fn judge(self, database: &Database) -> anyhow::Result<()> {
        let client = database.client().await?;
        let verdicts = "update compliance c set policy_version = j.version, evaluated_at = now(), due_at = now() + interval '1 day',
                 compliant = not w.bad, answers = w.answers::json,
                 verdicts = (select json_agg(json_build_object('rule', r.rule, 'answer', a.answer, 'reason', r.reason,
                         'evidence', '[]'::json, 'expires_at', now() + interval '1 day') order by a.n)
                     from jsonb_array_elements_text(w.answers) with ordinality a(answer, n) join (values
                         (1, '3-copies', 'production and three copies on disk, nas and away'),
                         (2, '2-media', 'disk, nas and object'),
                         (3, '1-offsite', 'away is at another site'),
                         (4, '1-isolated', 'no copy is kept from being deleted'),
                         (5, '0-errors', 'each copy was read without an error')) r(n, rule, reason) using (n))
             from job j cross join lateral (select j.id % 20 = 0 as bad) b cross join lateral (select b.bad,
                 case when b.bad then '[\"pass\", \"pass\", \"pass\", \"fail\", \"unknown\"]'::jsonb
                     else '[\"pass\", \"pass\", \"pass\", \"pass\", \"pass\"]' end as answers) w
             where j.id = c.job_id";
        client.execute(verdicts, &[]).await?;
        let alerts = "insert into alert (cause, rule, severity, state, subject, job_id, owner, group_key, summary, detail, since, opened_at, \
                 resolved_at)
             select 'rpo/' || j.name, 'rpo', case when n % 5 = 0 then 'critical' else 'warning' end, 'resolved', j.name, j.id,
                 j.definition ->> 'owner', 'rpo/' || (j.definition ->> 'owner'), 'no restore point of ' || j.name || ' is young enough',
                 'the newest is older than its RPO', at, at, at + interval '2 hours'
             from generate_series(1, $1::integer) n
                 cross join lateral (select now() - interval '89 days' * n / $1::integer - interval '3 hours' as at) w
                 join job j on j.name = 'load-' || n % $2::integer";
        let number = i32::try_from;
        client.execute(alerts, &[&number(self.alerts())?, &number(self.jobs)?]).await?;
        reports::record_changes(&client, DAYS, self.jobs).await?;
        client.batch_execute("vacuum (analyze) compliance, alert, audit").await?;
        client.batch_execute("checkpoint").await?;
        Ok(())
    }
}

/// Waits until the reporter has rolled up and looked at all that there is.
async fn until_caught_up(database: &Database) -> anyhow::Result<()> {
    let (client, started) = (database.client().await?, Instant::now());
    let mut said = Instant::now();
    let patience = |what: &str| {
        ensure!(started.elapsed() < PATIENCE, "{what} after {} s", PATIENCE.as_secs());
        Ok(())
    };
    while rollup::behind(&client).await? > 0.0 {
        patience("it is not rolled up")?;
        if said.elapsed() > SAY_EVERY {
            eprintln!("rolling up for {:.0} s", started.elapsed().as_secs_f64());
            said = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (caught_up, mut evaluated) = (db::now(&client).await?, None::<DateTime<Utc>>);
    while evaluated.is_none_or(|at| at <= caught_up) {
        patience("alerts were not evaluated")?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        evaluated = client.query_one("select evaluated_at from alert_evaluation", &[]).await?.try_get(0)?;
    }
    Ok(())
}

/// The reporter of a fleet.
pub(super) fn reporter(fleet: &Fleet) -> anyhow::Result<&Reporter> {
    fleet.reporter.as_ref().context("a reporter")
}

/// Makes a token.
pub(super) async fn token(
    database: &Database,
    name: &str,
    role: Role,
    holder: Holder,
) -> anyhow::Result<Arc<str>> {
    let bearer = Bearer::generate();
    let new = api_token::New { name, role, holder, expires_at: None, by: "loadtest" };
    let is_new = api_token::insert(&database.client().await?, &bearer, &new).await?;
    ensure!(is_new, "there is a token {name} already");
    Ok(bearer.expose().expose_secret().into())
}
