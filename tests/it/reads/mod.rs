//! Reading over HTTP: pages, what they are narrowed to, what they cost, and who may.

mod answers;
mod busy;
mod cache;
mod contract;
mod figures;
mod limits;
mod pages;
mod plans;
mod replica;
mod report_files;
mod statements;
mod versions;

use devstack::Service;
use harness::{World, eventually};
use serde_json::{Value, json};

use crate::http::{Answer, token};

/// A reporter, and somebody who reads.
pub(crate) struct Reader {
    pub(crate) url: String,
    pub(crate) token: String,
    http: reqwest::Client,
    /// None where another reader has started it.
    _reporter: Option<Service>,
}

impl Reader {
    /// The same reporter, read by somebody else.
    pub(crate) fn by(&self, token: String) -> Self {
        Self { url: self.url.clone(), token, http: reqwest::Client::new(), _reporter: None }
    }

    /// With a new token of a role.
    pub(crate) async fn new(world: &World, role: &str) -> Self {
        Self::with(world, role, &[]).await
    }

    /// With more settings of the reporter.
    pub(crate) async fn with(world: &World, role: &str, settings: &[(&str, &str)]) -> Self {
        let (reporter, url) = world.start_reporter_with("reads", settings).await;
        let token = token(world, "portal", &["--role", role, "--machine"]).await;
        Self { url, token, http: reqwest::Client::new(), _reporter: Some(reporter) }
    }

    /// Another reporter beside this one, read by the same token.
    pub(crate) async fn beside(&self, world: &World, settings: &[(&str, &str)]) -> Self {
        let (reporter, url) = world.start_reporter_with("reads-too", settings).await;
        Self { url, token: self.token.clone(), http: reqwest::Client::new(), _reporter: Some(reporter) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    /// With headers.
    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.http.get(format!("{}/api/v1/{path}", self.url)).bearer_auth(&self.token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    }

    /// What an answer has to be that is none of a problem.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// The values of a field on a page.
    pub(crate) async fn column(&self, path: &str, field: &str) -> Vec<Value> {
        column(&self.read(path).await, field)
    }
}

pub(crate) fn column(page: &Value, field: &str) -> Vec<Value> {
    page["items"].as_array().unwrap().iter().map(|item| item[field].clone()).collect()
}

/// The paths of all lists.
pub(crate) const LISTS: [&str; 13] = [
    "alerts",
    "audit",
    "dead-tasks",
    "evidence",
    "executions",
    "jobs",
    "pools",
    "reports",
    "restore-points",
    "schedules",
    "targets",
    "verdicts",
    "workers",
];

/// A world with so many jobs, each with some of everything that is read.
pub(crate) async fn world_with(jobs: usize) -> World {
    let world = World::new().await;
    let job = |number: usize| {
        let mut job = world.simulated_job(&format!("job-{number:03}"), &["disk-a"], &json!({}));
        job["owner"] = json!(if number.is_multiple_of(2) { "ops" } else { "dba" });
        job["schedule"] = json!({ "cron": "0 2 1 1 *" });
        job["tags"] = json!(["prod"]);
        job
    };
    let jobs: Vec<Value> = (0..jobs).map(job).collect();
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
        .execute(
            "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
                 finished_at, seconds, bytes, error, detail, worker_id)
             select gen_random_uuid(), 1, 1, 'backup', j.id, t.id, (array['success', 'failed'])[1 + n % 2], 'erp', now(), now(), \
                 date_trunc('hour', now()) - n / 2 * interval '1 minute', 1.5, 100, null, '{\"a\": 1}', gen_random_uuid()
             from job j, target t, generate_series(0, 3) n;
             insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, bytes_added, source_errors, task_id)
             select gen_random_uuid(), j.id, t.id, 'abc', now() - n * interval '1 hour', 2, 3, 4, 5, 0, gen_random_uuid()
             from job j, target t, generate_series(0, 2) n;
             insert into evidence (id, job_id, target_id, task_id, kind, observed_at, finding, position, hash)
             select gen_random_uuid(), j.id, t.id, gen_random_uuid(), 'listing', now(), '{\"kind\": \"listing\", \"present\": true}', 1, '\\x01'
             from job j, target t;
             insert into alert (cause, rule, severity, state, subject, job_id, group_key, summary, since, opened_at, resolved_at)
             select 'worker_lost/' || j.name, 'worker_lost', 'warning', 'resolved', j.name, j.id, 'g', 'it fails', now(), now(), now()
             from job j;
             insert into dead_task (id, kind, priority, job_id, params, requested_by, enqueued_at, attempts, rescues, reason, last_error)
             select gen_random_uuid(), 'backup', 'high', j.id, '{}', 'erp', now(), 5, 1, 'failed', 'the disk is on fire' from job j;
             insert into report (id, kind, period_start, period_end, title, headline, summary, task_id)
             select gen_random_uuid(), 'daily', '2026-11-25', '2026-11-26', 'Daily report of ' || j.name, 'all is well', 'it is', gen_random_uuid()
             from job j;
             insert into report_file (report_id, format, sha256, content)
             select id, 'html', encode(sha256(convert_to(title, 'UTF8')), 'hex'), convert_to(title, 'UTF8') from report;
             insert into worker (id, name, version, pools, batches)
             select gen_random_uuid(), 'w' || n, '1', '{\"backup\": {\"slots\": 2, \"busy\": 1}}', '{}' from generate_series(1, 3) n",
        )
        .await;
    world
}

/// Waits until a reporter has nothing to warm up any more.
pub(crate) async fn warmed(reader: &Reader) {
    eventually("the reporter answers", async || (reader.get("jobs").await.status == 200).then_some(())).await;
}
