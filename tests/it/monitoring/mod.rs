//! What operators get for Prometheus, Alertmanager and Grafana, held against real processes.

mod files;
mod fleet;
mod prometheus;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use fleet::Fleet;
use prometheus::Prometheus;

/// Panels that have no data here, and why not. One that has some is no exception any more, and fails the test.
const EMPTY: [(&str, &str); 2] =
    [("Database and broker: Redis", "there is none"), ("Database and broker: Replica", "there is none")];
/// All must have had data by then.
const WITHIN: Duration = Duration::from_secs(75);

/// A query, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Query {
    place: String,
    text: String,
}

/// The queries of all panels, with values for Grafana's variables.
fn panels() -> Vec<Query> {
    let mut queries = Vec::new();
    for (_, board) in files::dashboards() {
        let title = board["title"].as_str().unwrap().trim_start_matches("Holdfast / ").to_owned();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let place = format!("{title}: {}", panel["title"].as_str().unwrap());
                queries.push(Query { place, text: substituted(target["expr"].as_str().unwrap()) });
            }
        }
    }
    queries
}

fn substituted(query: &str) -> String {
    let mut text = query.replace("$__rate_interval", "10s");
    for variable in ["$kind", "$worker", "$backup_job"] {
        text = text.replace(variable, ".*");
    }
    assert!(!text.contains('$'), "a variable without a value: {query}");
    text
}

#[tokio::test]
async fn every_panel_has_data_and_every_rule_is_evaluated_on_processes_that_work() {
    let mut fleet = Fleet::start().await;
    let prometheus = fleet.prometheus().await;
    tokio::select! {
        () = fleet.work() => {}
        () = look(&prometheus) => {}
    }
    fleet.stop().await;
}

async fn look(prometheus: &Prometheus) {
    let begun = Instant::now();
    let recorded: Vec<Query> = rules(prometheus, "recording").await.iter().map(series).collect();
    let mut waiting: BTreeSet<Query> = panels().into_iter().chain(recorded).collect();
    let expected = |query: &Query| EMPTY.iter().any(|(place, _)| *place == query.place);
    loop {
        let mut empty = BTreeSet::new();
        for query in waiting {
            let has = prometheus.has(&query.text).await;
            if !has.unwrap_or_else(|error| panic!("{query:?}: {error}")) {
                empty.insert(query);
            }
        }
        if empty.iter().all(expected) {
            waiting = empty;
            break;
        }
        let without: Vec<&Query> = empty.iter().filter(|query| !expected(query)).collect();
        assert!(begun.elapsed() < WITHIN, "no data for {without:#?}");
        waiting = empty;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for (place, _) in EMPTY {
        assert!(waiting.iter().any(|query| query.place == place), "{place} has data: it is no exception");
    }
    rules_are_well(prometheus).await;
    choices_and_annotations_work(prometheus).await;
    names_are_known(prometheus).await;
}

/// Rules of a type.
async fn rules(prometheus: &Prometheus, kind: &str) -> Vec<Value> {
    let mut rules = prometheus.rules().await;
    rules.retain(|rule| rule["type"] == kind);
    assert!(!rules.is_empty(), "there are no {kind} rules");
    rules
}

/// The query for what a recording rule records.
fn series(rule: &Value) -> Query {
    let name = rule["name"].as_str().unwrap();
    let labels = rule["labels"].as_object().into_iter().flatten();
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    Query { place: format!("the rule for {name}"), text: format!("{name}{{{}}}", labels.join(",")) }
}

/// All were evaluated without an error, each alert leads to its runbook, and each has tests of both sorts.
async fn rules_are_well(prometheus: &Prometheus) {
    let tests = ["alerts", "recording", "slo", "slo_windows"]
        .map(|name| files::text(&format!("deploy/prometheus/tests/{name}.yml")))
        .concat();
    let runbooks = files::text("docs/runbooks.md");
    let shown = files::text("docs/monitoring.md");
    let mut alerts = BTreeSet::new();
    for rule in prometheus.rules().await {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{rule}");
        if rule["type"] == "recording" {
            assert!(tests.contains(name), "{name} has no test");
            continue;
        }
        alerts.insert(name.to_owned());
        let annotation = |name: &str| rule["annotations"][name].as_str().unwrap_or_default();
        assert!(!annotation("summary").is_empty() && !annotation("description").is_empty(), "{rule}");
        let anchor = format!("{{{{ $externalLabels.runbooks }}}}#{}", name.to_lowercase());
        assert_eq!(annotation("runbook_url"), anchor, "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info", "none"].contains(&severity), "{name}: {severity}");
        let quiet = format!("alertname: {name}, exp_alerts: []");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels:");
        assert!(tests.contains(&quiet) && tests.contains(&fires), "{name} is not tested in both ways");
        assert!(shown.contains(name), "docs/monitoring.md does not have {name}");
    }
    let chapters = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
    assert_eq!(chapters.collect::<BTreeSet<_>>(), alerts, "docs/runbooks.md has a part for each alert");
}

/// People can choose among something, and lines can be drawn.
async fn choices_and_annotations_work(prometheus: &Prometheus) {
    for (name, board) in files::dashboards() {
        let variables = board["templating"]["list"].as_array().unwrap();
        for variable in variables.iter().filter(|variable| variable["type"] == "query") {
            let query = variable["query"]["query"].as_str().unwrap();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (metric, label) = inner.unwrap().split_once(", ").unwrap();
            let values = prometheus.values(label, metric).await;
            assert!(!values.is_empty(), "{name}: {query} has no values");
        }
        for annotation in board["annotations"]["list"].as_array().unwrap() {
            let query = annotation["expr"].as_str().unwrap();
            prometheus.has(query).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// Each metric that a query or a rule names is one that a process declares, that a rule records, or that RabbitMQ has.
async fn names_are_known(prometheus: &Prometheus) {
    let declared = files::text("docs/metrics.md");
    let rules = prometheus.rules().await;
    let recorded: BTreeSet<&str> = rules.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    let scraped: BTreeSet<String> = prometheus.names().await.into_iter().collect();
    let of_rules = rules.iter().map(|rule| Query {
        place: rule["name"].as_str().unwrap().to_owned(),
        text: rule["query"].as_str().unwrap().to_owned(),
    });
    let mut seen = BTreeMap::new();
    for query in panels().into_iter().chain(of_rules) {
        for name in names(&query.text) {
            seen.entry(name).or_insert_with(|| query.place.clone());
        }
    }
    for (name, place) in &seen {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_declared = |name: &str| declared.contains(&format!("| `{name}` |"));
        let known = recorded.contains(name.as_str())
            || is_declared(name)
            || of_histogram.is_some_and(is_declared)
            || (name.starts_with("rabbitmq_") && scraped.contains(name));
        assert!(known, "{place} names {name}, which nobody declares");
    }
    assert!(seen.len() > 100, "{} names are all that was found", seen.len());
}

/// Names of series in a query: what begins as ours and those of the servers do, outside of quotes.
fn names(query: &str) -> BTreeSet<String> {
    let outside: String = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let starts = ["holdfast_", "holdfast:", "process_", "rabbitmq_"];
    let is_name = |word: &&str| starts.iter().any(|start| word.starts_with(start));
    words.filter(is_name).map(str::to_owned).collect()
}

#[test]
fn the_shipped_configuration_scrapes_what_rules_and_panels_count_on() {
    let config = files::text("deploy/prometheus/prometheus.yml");
    for job in ["producer", "worker", "reporter", "rabbitmq", "rabbitmq-queues"] {
        assert!(config.contains(&format!("job_name: {job}\n")), "{job} is not scraped");
    }
}

#[test]
fn the_compose_file_mounts_what_grafana_and_alertmanager_look_for() {
    let compose = files::text("docker-compose.yml");
    let after = |text: &str, key: &str| {
        let rest = text.split_once(key).unwrap_or_else(|| panic!("there is no {key}")).1;
        rest.lines().next().unwrap().trim().to_owned()
    };
    let boards = after(&files::text("deploy/grafana/provisioning/dashboards/holdfast.yml"), " path: ");
    assert!(compose.contains(&format!("./deploy/grafana/dashboards:{boards}:ro")), "{boards} is not mounted");
    let secret = after(&files::text("deploy/alertmanager/alertmanager.yml"), "smtp_auth_password_file: ");
    let (directory, _) = secret.rsplit_once('/').unwrap();
    assert!(compose.contains(&format!(":{directory}:ro")), "{directory} is not mounted");
    assert!(compose.contains("./deploy/prometheus:/etc/prometheus:ro"), "rules are not mounted");
}
