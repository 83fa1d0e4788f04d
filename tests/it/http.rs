//! Commands over HTTP: what they change, who may, and what they answer to what is wrong.

use devstack::Service;
use harness::{World, address, eventually};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::dead::world_with_jobs;

/// A producer that takes commands over HTTP, and somebody who gives them.
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) token: String,
    http: reqwest::Client,
    producer: Service,
}

impl Client {
    /// With a new token of a role.
    pub(crate) async fn new(world: &World, role: &str) -> Self {
        Self::with(world, role, &[]).await
    }

    /// With more settings for the producer.
    pub(crate) async fn with(world: &World, role: &str, settings: &[(&str, &str)]) -> Self {
        let listen = [("HOLDFAST_LISTEN", "127.0.0.1:0")];
        let producer = world.start("producer", "api", &[&listen, settings].concat());
        let url = address(&producer).await;
        let token = token(world, "erp", &["--role", role, "--machine"]).await;
        Self { url, token, http: reqwest::Client::new(), producer }
    }

    /// What the producer has logged.
    pub(crate) fn log(&self) -> String {
        self.producer.log()
    }

    /// Stops the producer, which has to end well.
    pub(crate) async fn stop(self, world: &World) {
        world.stop(self.producer).await;
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/v1/{path}", self.url)).bearer_auth(&self.token)
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.send_with(method, path, &[], body).await
    }

    /// With headers.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let request = self.request(method, path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Answer::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }
}

/// An answer that was read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap_or(json!(text)) };
        Self { status, headers, body }
    }

    /// The answer has to be a problem with this status; returns its fields and what is wrong with it.
    pub(crate) fn problem(&self, status: u16) -> (Vec<&str>, &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status);
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fields = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
        (fields, self.body["detail"].as_str().unwrap())
    }
}

pub(crate) async fn token(world: &World, name: &str, options: &[&str]) -> String {
    let run = world.producer(&[&["token", "create", name, "--json"], options].concat()).await;
    run.json()["token"].as_str().unwrap().to_owned()
}

/// The last row of the audit.
async fn audited(world: &World) -> Value {
    let row = "select json_build_object('actor', actor, 'token', token_id is not null, 'action', action, 'subject', subject,
         'name', name, 'before', before, 'after', after)::text from audit order by id desc limit 1";
    serde_json::from_str(&world.text(row).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_task_is_enqueued_once_and_the_audit_says_by_whom() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let id = Uuid::now_v7();
    let task = json!({ "id": id, "kind": "backup", "job": "docs" });
    let first = client.post("tasks", &task).await;
    assert_eq!((first.status, &first.body), (201, &json!({ "id": id, "is_new": true })));
    assert_eq!(first.headers["ratelimit-limit"], "6000");
    assert_eq!(first.headers["ratelimit-remaining"], "5999");
    let again = client.post("tasks", &task).await;
    assert_eq!((again.status, &again.body), (200, &json!({ "id": id, "is_new": false })));
    let row =
        "select count(*) from task where kind = 'backup' and priority = 'normal' and requested_by = 'erp'";
    assert_eq!(world.number(row).await, 1);
    let expected = json!({
        "actor": "erp", "token": true, "action": "enqueue", "subject": "task", "name": id.to_string(),
        "before": null, "after": { "kind": "backup", "job": "docs", "priority": "normal", "params": {} },
    });
    assert_eq!(audited(&world).await, expected);
    assert_eq!(world.number("select count(*) from audit where action = 'enqueue'").await, 1);
}

#[tokio::test]
async fn a_batch_is_enqueued_whole_or_not_at_all_and_each_wrong_field_is_named() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let backup = |job: &str| json!({ "kind": "backup", "job": job });
    let done = client.post("tasks/batch", &json!({ "tasks": [backup("docs"), backup("mail")] })).await;
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!(done.body["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(world.number("select count(*) from task").await, 2);

    let verify = json!({ "kind": "verify", "job": "docs", "params": { "target": "disk-a" } });
    let deep = json!({ "kind": "backup", "job": "docs", "params": { "x": "y".repeat(20_000) } });
    let wrong = client.post("tasks/batch", &json!({ "tasks": [backup("docs"), verify, deep] })).await;
    assert_eq!(wrong.problem(422).0, ["tasks[1].params", "tasks[2].params"]);
    for (tasks, status, field, detail) in [
        (json!([backup("docs"), backup("nobody")]), 404, None, "tasks[1].job: no job is named \"nobody\""),
        (json!([backup("idle")]), 409, None, "tasks[0].job: \"idle\" is not active"),
        (json!([]), 422, Some("tasks"), "0 tasks"),
        (json!(vec![backup("docs"); 501]), 422, Some("tasks"), "501 tasks"),
        (json!([backup("docs"), { "kind": "dance" }]), 422, Some("tasks[1].kind"), "unknown variant `dance`"),
        (
            json!([{ "kind": "backup", "job": "docs", "jbo": 1 }]),
            422,
            Some("tasks[0].jbo"),
            "unknown field `jbo`",
        ),
        (json!([{ "kind": "backup", "job": "a/b" }]), 422, Some("tasks[0].job"), "a/b"),
    ] {
        let answer = client.post("tasks/batch", &json!({ "tasks": tasks })).await;
        let (fields, said) = answer.problem(status);
        assert!(fields == field.into_iter().collect::<Vec<_>>() && said.contains(detail), "{answer:?}");
    }
    let id = Uuid::now_v7();
    let twin = json!({ "id": id, "kind": "backup", "job": "docs" });
    let twins = client.post("tasks/batch", &json!({ "tasks": [twin, twin] })).await;
    assert_eq!(twins.problem(422).0, ["tasks[1].id"]);
    assert_eq!(world.number("select count(*) from task").await, 2);
}

#[tokio::test]
async fn what_can_never_work_is_refused_and_only_people_may_go_above_their_jobs() {
    let world = world_with_jobs().await;
    let mut erp = world.files_job("erp", &["disk-a"]);
    erp["source"] = json!({ "kind": "reported", "site": "hq", "failure_domain": "erp-1", "media": "disk" });
    let targets = [world.target("nas-b", &json!({}))];
    world.apply(&json!({ "targets": targets, "jobs": [erp] })).await;
    let mut client = Client::new(&world, "operator").await;
    let record = |target: &str| {
        let times = ["2026-11-23T02:00:00Z", "2026-11-23T02:40:00Z"];
        json!({ "kind": "record", "job": "erp", "params": {
            "target": target, "outcome": "success", "started_at": times[0], "finished_at": times[1] } })
    };
    let verify =
        json!({ "kind": "verify", "job": "docs", "params": { "target": "nowhere", "level": "read" } });
    for (task, why) in [
        (&record("nas-b"), "params: target: nas-b is none of the job's targets"),
        (&record("nowhere"), "params: target: no target is named \"nowhere\""),
        (&verify, "params: target: no target is named \"nowhere\""),
    ] {
        let answer = client.post("tasks", task).await;
        assert_eq!(answer.problem(422), (vec!["params"], why));
    }
    let file = world.write("tasks.jsonl", format!("{}\n{}\n{verify}\n", record("nas-b"), record("disk-a")));
    let run = world.producer(&["enqueue", "--from", file.to_str().unwrap()]).await;
    assert_eq!(
        (run.code, run.stdout.lines().next()),
        (1, Some("3 lines: 1 enqueued, 0 known already, 2 refused"))
    );
    assert!(
        run.stderr.contains("tasks.jsonl:1: params: target: nas-b is none of the job's targets"),
        "{run:?}"
    );

    let high = json!({ "kind": "backup", "job": "docs", "priority": "high" });
    assert_eq!(client.post("tasks", &high).await.problem(422).0, ["priority"]);
    client.token = token(&world, "ann", &["--role", "operator"]).await;
    assert_eq!(client.post("tasks", &high).await.status, 201);
    let after = json!({ "kind": "backup", "job": "docs", "priority": "high", "params": {} });
    assert_eq!(audited(&world).await["after"], after);
    assert_eq!(world.number("select count(*) from task").await, 2);
}

#[tokio::test]
async fn requests_with_one_key_are_one_request_also_when_they_come_at_once() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let send = async |key: &str, job: &str| {
        let request = client.request(Method::POST, "tasks").header("Idempotency-Key", key);
        Answer::of(request.json(&json!({ "kind": "backup", "job": job })).send().await.unwrap()).await
    };
    let answers = futures_util::future::join_all((0..10).map(|_| send("nightly", "docs"))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 201 && answer.body == answers[0].body),
        "{answers:?}"
    );
    let replayed = answers.iter().filter(|answer| answer.headers.contains_key("idempotency-replayed"));
    assert_eq!(replayed.count(), 9);
    assert_eq!(world.number("select count(*) from task").await, 1);

    assert_eq!(send("nightly", "mail").await.problem(422).0, ["Idempotency-Key"]);
    // A request that was refused has not had its key.
    assert_eq!(send("other", "nobody").await.status, 404);
    assert_eq!(send("other", "mail").await.status, 201);
    assert_eq!(send("", "mail").await.problem(400).0, ["Idempotency-Key"]);
    assert_eq!(world.number("select count(*) from task").await, 2);
}

#[tokio::test]
async fn tasks_are_cancelled_wherever_they_are() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let mut later = json!({ "kind": "backup", "job": "docs", "not_before": "2999-01-01T00:00:00Z" });
    let waits = client.post("tasks", &later).await.body["id"].as_str().unwrap().to_owned();
    let cancelled = client.send(Method::POST, &format!("tasks/{waits}/cancel"), None).await;
    assert_eq!((cancelled.status, &cancelled.body["has_ended"]), (200, &json!(true)));
    assert_eq!(audited(&world).await["before"], json!({ "state": "waiting" }));
    let again = client.send(Method::POST, &format!("tasks/{waits}/cancel"), None).await;
    assert_eq!(again.problem(409).1, "it was cancelled already");
    let unknown = client.send(Method::POST, &format!("tasks/{}/cancel", Uuid::now_v7()), None).await;
    assert!(unknown.problem(404).1.starts_with("no task has the id"));
    assert_eq!(client.send(Method::POST, "tasks/17/cancel", None).await.status, 404);

    let slow = world.simulated_job("slow", &["disk-a"], &json!({ "duration": "1h" }));
    world.apply(&json!({ "jobs": [slow] })).await;
    let worker = world.start_worker("w1", &[]);
    later = json!({ "kind": "backup", "job": "slow" });
    let runs = client.post("tasks", &later).await.body["id"].as_str().unwrap().to_owned();
    let leased = "select count(*) from lease";
    eventually("it runs", async || (world.number(leased).await == 1).then_some(())).await;
    let asked = client.send(Method::POST, &format!("tasks/{runs}/cancel"), None).await;
    assert_eq!((asked.status, &asked.body["has_ended"]), (202, &json!(false)));
    let ended = "select count(*) from execution where outcome = 'cancelled' and error like '%by erp'";
    eventually("its worker has ended it", async || (world.number(ended).await == 2).then_some(())).await;
    world.stop(worker).await;
}

#[tokio::test]
async fn dead_tasks_are_replayed_and_dropped_once() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "operator").await;
    let mut ids = Vec::new();
    for job in ["docs", "idle", "mail"] {
        ids.push(crate::dead::bury(&world, "backup", job, "failed", 1).await);
    }
    let replayed = client.send(Method::POST, &format!("dead-tasks/{}/replay", ids[0]), None).await;
    assert_eq!(replayed.status, 201, "{replayed:?}");
    let state =
        format!("select replayed_as::text from dead_task where id = '{}' and settled_by = 'erp'", ids[0]);
    assert_eq!(world.text(&state).await.unwrap(), replayed.body["id"]);
    assert_eq!(audited(&world).await["after"], json!({ "state": "replayed", "task": replayed.body["id"] }));
    let again = client.send(Method::POST, &format!("dead-tasks/{}/replay", ids[0]), None).await;
    assert_eq!(again.problem(409).1, "it was replayed already");
    let inactive = client.send(Method::POST, &format!("dead-tasks/{}/replay", ids[1]), None).await;
    assert!(inactive.problem(409).1.contains("its job idle is not active"));
    let dropped = client.send(Method::DELETE, &format!("dead-tasks/{}", ids[2]), None).await;
    assert_eq!((dropped.status, &dropped.body), (204, &Value::Null));
    let again = client.send(Method::DELETE, &format!("dead-tasks/{}", ids[2]), None).await;
    assert_eq!(again.problem(409).1, "it was dropped already");
    assert_eq!(world.number("select count(*) from task").await, 1);
}

#[tokio::test]
async fn schedules_pools_and_limits_are_changed_and_the_audit_says_from_what_to_what() {
    let world = world_with_jobs().await;
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job["schedule"] = json!({ "cron": "0 2 1 1 *" });
    world.apply(&json!({ "jobs": [job] })).await;
    let client = Client::new(&world, "admin").await;

    assert_eq!(client.send(Method::POST, "schedules/backup/docs/pause", None).await.status, 204);
    let expected = json!([{ "paused_by": null }, { "paused_by": "erp" }]);
    let row = audited(&world).await;
    assert_eq!(json!([row["before"], row["after"]]), expected);
    assert_eq!(world.number("select count(*) from schedule where paused_by = 'erp'").await, 1);
    assert_eq!(client.send(Method::POST, "schedules/backup/docs/resume", None).await.status, 204);
    let run = client.send(Method::POST, "schedules/backup/docs/run", None).await;
    assert_eq!(run.status, 201);
    assert_eq!(world.text("select last_task::text from schedule").await.unwrap(), run.body["tasks"][0]["id"]);
    for (path, detail) in [
        ("schedules/backup/mail/run", "no backup schedule of \"mail\": the job has no such schedule"),
        ("schedules/backup/a%2Fb/pause", "`schedule list` shows all"),
        ("schedules/dance/docs/pause", "unknown variant `dance`"),
    ] {
        let answer = client.send(Method::POST, path, None).await;
        assert!(answer.problem(404).1.contains(detail), "{answer:?}");
    }

    let told =
        client.send(Method::PATCH, "pools/backup", Some(&json!({ "slots": 7, "state": "paused" }))).await;
    assert_eq!(told.status, 204, "{told:?}");
    assert_eq!(audited(&world).await["after"], json!({ "slots": 7, "state": "paused" }));
    let told = client.send(Method::PATCH, "pools/backup", Some(&json!({ "slots": null }))).await;
    assert_eq!(told.status, 204);
    let row = audited(&world).await;
    let expected = json!([{ "slots": 7, "state": "paused" }, { "slots": null, "state": "paused" }]);
    assert_eq!(json!([row["before"], row["after"]]), expected);
    assert_eq!(client.send(Method::POST, "pools/backup/resume", None).await.status, 204);
    assert_eq!(world.number("select count(*) from pool_setting").await, 0);
    for (path, body, status, detail) in [
        ("pools/backup", json!({}), 422, "nothing to change"),
        ("pools/backup", json!({ "slots": 0 }), 422, "slots: use 1 to 30000"),
        ("pools/backup", json!({ "state": "asleep" }), 422, "unknown variant `asleep`"),
        ("pools/backup?worker=nobody", json!({ "slots": 1 }), 404, "no worker named \"nobody\""),
    ] {
        let answer = client.send(Method::PATCH, path, Some(&body)).await;
        assert!(answer.problem(status).1.contains(detail), "{answer:?}");
    }

    let limit = json!({ "starts_per_minute": 60.0, "burst": 5 });
    assert_eq!(client.send(Method::PUT, "limits/owner:ops", Some(&limit)).await.status, 204);
    assert_eq!(audited(&world).await["after"]["burst"], 5);
    let set =
        "select count(*) from limit_setting where key = 'owner:ops' and origin = 'live' and set_by = 'erp'";
    assert_eq!(world.number(set).await, 1);
    assert_eq!(client.send(Method::DELETE, "limits/owner:ops", None).await.status, 204);
    assert_eq!(world.number(set).await, 0);
    for (key, body, status, detail) in [
        ("owner:nobody", json!({ "concurrency": 1 }), 404, "no job has this owner"),
        ("weather", json!({ "concurrency": 1 }), 404, "weather"),
        ("owner:ops", json!({ "burst": 5 }), 422, "burst"),
        ("owner:ops", json!({ "brust": 5 }), 422, "unknown field `brust`"),
    ] {
        let answer = client.send(Method::PUT, &format!("limits/{key}"), Some(&body)).await;
        assert!(answer.problem(status).1.contains(detail), "{answer:?}");
    }
}

#[tokio::test]
async fn each_command_asks_for_a_good_token_with_a_role_that_suffices() {
    let world = world_with_jobs().await;
    let mut client = Client::new(&world, "viewer").await;
    let task = json!({ "kind": "backup", "job": "docs" });
    let denied = client.post("tasks", &task).await;
    assert_eq!(denied.problem(403).1, "the token \"erp\" has the role viewer, operator is needed");
    client.token = token(&world, "shift", &["--role", "operator"]).await;
    let limited = client.send(Method::PUT, "limits/owner:ops", Some(&json!({ "concurrency": 1 }))).await;
    assert_eq!(limited.problem(403).1, "the token \"shift\" has the role operator, admin is needed");
    let slots = client.send(Method::PATCH, "pools/backup", Some(&json!({ "slots": 3 }))).await;
    assert_eq!(
        slots.problem(403).1,
        "the token \"shift\" has the role operator, admin is needed to change slots"
    );
    let paused = client.send(Method::PATCH, "pools/backup", Some(&json!({ "state": "paused" }))).await;
    assert_eq!(paused.status, 204, "{paused:?}");
    assert_eq!(client.post("tasks", &task).await.status, 201);

    assert_eq!(world.producer(&["token", "revoke", "shift"]).await.code, 0);
    let revoked = client.post("tasks", &task).await;
    assert_eq!(revoked.problem(401).1, "the token is not good: it is unknown, revoked or expired");
    assert_eq!(revoked.headers["www-authenticate"], "Bearer realm=\"holdfast\"");
    client.token = token(&world, "short", &["--role", "operator", "--expires-in", "1s"]).await;
    eventually("it expires", async || (client.post("tasks", &task).await.status == 401).then_some(())).await;
    let none = reqwest::Client::new().post(format!("{}/api/v1/tasks", client.url)).json(&task).send().await;
    assert_eq!(none.unwrap().status(), StatusCode::UNAUTHORIZED);

    let listed = world.producer(&["token", "list", "--json"]).await;
    assert!(!listed.stdout.contains("hf_") && listed.json().as_array().unwrap().len() == 3, "{listed:?}");
    let stored = "select count(*) from api_token where length(secret_sha256) = 32";
    assert_eq!(world.number(stored).await, 3);
    let twice = world.producer(&["token", "create", "erp", "--role", "admin"]).await;
    assert!(twice.code == 2 && twice.stderr.contains("there is a token named \"erp\" already"), "{twice:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_would_be() {
    let world = world_with_jobs().await;
    let client = Client::new(&world, "admin").await;
    let raw = async |content_type: &'static str, body: String| {
        let request = client.request(Method::POST, "tasks").header("content-type", content_type).body(body);
        Answer::of(request.send().await.unwrap()).await
    };
    let task = json!({ "kind": "backup", "job": "docs" }).to_string();
    for (answer, status, detail) in [
        (raw("text/plain", task.clone()).await, 415, "Content-Type: application/json"),
        (raw("application/json", "{".to_owned()).await, 400, "the body is not JSON"),
        (raw("application/json", format!("{task} x")).await, 400, "the body is not JSON"),
        (raw("application/json", "[1]".to_owned()).await, 422, "invalid type"),
        (
            raw("application/json", format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20))).await,
            413,
            "more than 1024 KiB",
        ),
        (client.send(Method::GET, "tasks", None).await, 405, "does not take this method"),
        (client.send(Method::POST, "tasks/batch/all", None).await, 404, "no such resource"),
    ] {
        assert!(answer.problem(status).1.contains(detail), "{answer:?}");
    }
    assert_eq!(world.number("select count(*) from task").await, 0);
}

#[tokio::test]
async fn the_document_and_its_page_need_no_token_and_health_says_what_is_wrong() {
    let world = World::new().await;
    let (producer, url) = world.start_api("api").await;
    let document: Value =
        reqwest::get(format!("{url}/api/v1/openapi.json")).await.unwrap().json().await.unwrap();
    assert!(document["paths"]["/api/v1/tasks"]["post"].is_object());
    let page = reqwest::get(format!("{url}/api/v1/docs/")).await.unwrap().text().await.unwrap();
    assert!(page.contains("swagger-ui"));
    let ready: Value = reqwest::get(format!("{url}/readyz")).await.unwrap().json().await.unwrap();
    assert_eq!(ready, json!({ "ready": true, "database": "ok" }));
    world.stop(producer).await;
}
