//! A small installation with some of everything in it that panels show.

use std::time::Duration;

use devstack::Service;
use harness::{Receiver, Servers, World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

use super::prometheus::Target;
use crate::http::token;

/// Processes that work, and what is asked of them.
pub(super) struct Fleet {
    pub(super) world: World,
    services: Vec<Service>,
    lost: Service,
    producer: String,
    workers: Vec<String>,
    reporter: String,
    broker: String,
    token: String,
    http: reqwest::Client,
    _receiver: Receiver,
}

impl Fleet {
    pub(super) async fn start() -> Self {
        let world = World::new().await;
        let receiver = Receiver::start().await;
        define(&world, &receiver.url).await;
        let quick = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REAPER_INTERVAL", "500ms")];
        let producer = world.start("producer", "producer", &quick);
        let producer_url = harness::address(&producer).await;
        let (reporter, reporter_url) = world.start_reporter().await;
        let mut services = vec![producer, reporter];
        let mut workers = Vec::new();
        for name in ["w1", "w2"] {
            let worker = world.start_worker(name, &[("HOLDFAST_LISTEN", "127.0.0.1:0")]);
            workers.push(harness::address(&worker).await);
            services.push(worker);
        }
        let lost = world.start_worker("w3", &[]);
        let token = token(&world, "portal", &["--role", "admin", "--machine"]).await;
        let broker = Servers::from_environment().broker_metrics;
        Self {
            world,
            services,
            lost,
            producer: producer_url,
            workers,
            reporter: reporter_url,
            broker,
            token,
            http: reqwest::Client::new(),
            _receiver: receiver,
        }
    }

    /// Starts a Prometheus that scrapes all of it, by the names of jobs that rules and panels count on.
    pub(super) async fn prometheus(&self) -> super::Prometheus {
        let metrics = |url: &str| format!("{url}/metrics");
        let (producer, reporter) = (metrics(&self.producer), metrics(&self.reporter));
        let workers: Vec<String> = self.workers.iter().map(|url| metrics(url)).collect();
        let target = |job, url| Target { job, url, params: json!({}) };
        let queues = format!("{}/detailed", self.broker);
        let families = json!(["queue_coarse_metrics", "queue_consumer_count"]);
        // Other tests have virtual hosts of their own on the same broker.
        let params = json!({ "family": families, "vhost": [self.world.broker.name()] });
        let mut targets = vec![
            target("producer", producer.as_str()),
            target("reporter", &reporter),
            target("rabbitmq", &self.broker),
            Target { job: "rabbitmq-queues", url: &queues, params },
        ];
        targets.extend(workers.iter().map(|url| target("worker", url)));
        super::Prometheus::start(&self.world, &targets).await
    }

    /// Asks for more and more, for ever; a worker is lost with what it runs.
    pub(super) async fn work(&mut self) {
        let enqueue = ["enqueue", "report", "--param", "report=daily"];
        assert_eq!(self.world.producer(&enqueue).await.code, 0);
        self.world.broker.publish("backup.normal", &[b"no task at all".to_vec()]).await;
        self.world.broker.publish("no.such.kind", &[b"{}".to_vec()]).await;
        // More than run at once on the target that takes one.
        self.publish("narrow", 6).await;
        self.lose_a_worker().await;
        loop {
            self.publish("docs", 3).await;
            self.publish("bad", 2).await;
            self.read(&self.reporter, &["jobs", "jobs", "summary", "jobs/nobody", "executions?limit=5"])
                .await;
            self.read(&self.producer, &["tasks", "no/such/path"]).await;
            self.ask().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(super) async fn stop(self) {
        for service in self.services {
            self.world.stop(service).await;
        }
        self.world.check_invariants().await;
    }

    /// The worker that is not scraped runs something, and is gone.
    async fn lose_a_worker(&mut self) {
        self.publish("long", 12).await;
        let runs =
            "select count(*) from lease join worker on worker.id = lease.worker_id where worker.name = 'w3'";
        eventually("the third worker runs something", async || {
            (self.world.number(runs).await > 0).then_some(())
        })
        .await;
        self.lost.kill().await.unwrap();
    }

    async fn publish(&self, job: &str, tasks: usize) {
        let task = |_| json!({ "id": Uuid::now_v7(), "kind": "backup", "job": job });
        let body = json!({ "version": 1, "tasks": (0..tasks).map(task).collect::<Vec<Value>>() });
        self.world.broker.publish("backup.normal", &[body.to_string().into()]).await;
    }

    /// By a request, and by one that asks for what there is not.
    async fn ask(&self) {
        for job in ["docs", "nobody"] {
            let request = self.http.post(format!("{}/api/v1/tasks", self.producer)).bearer_auth(&self.token);
            let answer = request.json(&json!({ "kind": "backup", "job": job })).send().await.unwrap();
            assert_eq!(answer.status().is_success(), job == "docs", "{answer:?}");
        }
    }

    async fn read(&self, url: &str, paths: &[&str]) {
        for path in paths {
            let request = self.http.get(format!("{url}/api/v1/{path}")).bearer_auth(&self.token);
            // What comes of it is for the panels to show.
            _ = request.send().await.unwrap().bytes().await;
        }
    }
}

async fn define(world: &World, receiver: &str) {
    let job = |name: &str, targets: &[&str], source: Value| {
        let mut job = world.simulated_job(name, targets, &source);
        job["tries"] = json!({ "backup": { "attempts": 1 } });
        job
    };
    let mut often = job("often", &["disk-a"], json!({}));
    often["schedule"] = json!({ "every": "1s" });
    let mut docs = job("docs", &["disk-a", "disk-b"], json!({ "duration": "20ms", "bytes": 1_000_000 }));
    docs["rpo"] = json!("1h");
    let jobs = [
        docs,
        often,
        job("bad", &["disk-a"], json!({ "failure_rate": 1.0 })),
        job("narrow", &["narrow"], json!({ "duration": "1m" })),
        job("long", &["disk-b"], json!({ "duration": "2s" })),
        job("never", &["disk-b"], json!({})),
    ];
    let channel = json!({ "name": "hook", "kind": "webhook", "url": receiver,
        "secret": { "file": world.path("password") }, "allow_private": true });
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({})), world.target("disk-b", &json!({})),
                world.target("narrow", &json!({ "limits": { "concurrency": 1 } }))],
            "jobs": jobs,
            "channels": [channel],
            "routes": [{ "name": "all", "channels": ["hook"], "group_wait": "0s" }],
        }))
        .await;
}
