//! A real Prometheus with the rules for operators.

use std::process::Stdio;
use std::time::Duration;

use harness::{World, eventually};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::files::deploy;

/// Scrapes and evaluates every second.
pub(super) struct Prometheus {
    url: String,
    http: reqwest::Client,
    _child: Child,
}

/// What is scraped: the name of the job, and the address with its path.
pub(super) struct Target<'a> {
    pub(super) job: &'a str,
    pub(super) url: &'a str,
    /// Parameters of the request.
    pub(super) params: Value,
}

impl Prometheus {
    pub(super) async fn start(world: &World, targets: &[Target<'_>]) -> Self {
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s",
                "external_labels": { "runbooks": "https://runbooks.test" } },
            "rule_files": [deploy().join("prometheus/rules/*.yml")],
            "scrape_configs": scrapes(targets),
        });
        // JSON is YAML.
        let config = world.write("prometheus.yml", config.to_string());
        // Another process may take the port before it is used.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = Command::new("prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", world.path(format!("prometheus-{port}")).display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .expect("starting Prometheus");
            let url = format!("http://127.0.0.1:{port}");
            let ready = eventually("Prometheus answers, or ends", async || {
                if child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                let answer = reqwest::get(format!("{url}/-/ready")).await.ok()?;
                answer.status().is_success().then_some(true)
            })
            .await;
            if ready {
                return Self { url, http: reqwest::Client::new(), _child: child };
            }
        }
        panic!("Prometheus does not start")
    }

    /// Whether a query returns anything.
    pub(super) async fn has(&self, query: &str) -> Result<bool, String> {
        let answer = self.get("query", &[("query", query)]).await?;
        Ok(!answer["result"].as_array().unwrap().is_empty())
    }

    /// All rules, of all groups.
    pub(super) async fn rules(&self) -> Vec<Value> {
        let answer = self.get("rules", &[]).await.unwrap();
        let groups = answer["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The names of all series that were scraped or recorded.
    pub(super) async fn names(&self) -> Vec<String> {
        serde_json::from_value(self.get("label/__name__/values", &[]).await.unwrap()).unwrap()
    }

    /// The values of a label of some series.
    pub(super) async fn values(&self, label: &str, of: &str) -> Vec<String> {
        let path = format!("label/{label}/values");
        serde_json::from_value(self.get(&path, &[("match[]", of)]).await.unwrap()).unwrap()
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let encoded = |text: &str| {
            let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            bytes.concat()
        };
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let url = format!("{}/api/v1/{path}?{}", self.url, parameters.join("&"));
        let answer = self.http.get(&url).timeout(Duration::from_secs(30)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer.to_string()) }
    }
}

/// One for each job, with all of its targets.
fn scrapes(targets: &[Target<'_>]) -> Vec<Value> {
    let mut scrapes: Vec<Value> = Vec::new();
    for target in targets {
        let (address, path) = target.url.trim_start_matches("http://").split_once('/').unwrap();
        if let Some(scrape) = scrapes.iter_mut().find(|scrape| scrape["job_name"] == target.job) {
            scrape["static_configs"][0]["targets"].as_array_mut().unwrap().push(json!(address));
            continue;
        }
        scrapes.push(json!({
            "job_name": target.job,
            "metrics_path": format!("/{path}"),
            "params": target.params,
            "static_configs": [{ "targets": [address] }],
        }));
    }
    scrapes
}
