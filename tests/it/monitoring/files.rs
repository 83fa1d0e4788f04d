//! What is in the files: that the tools of Prometheus and Alertmanager take them, and what a person relies on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The directory with the files for operators.
pub(super) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").canonicalize().unwrap()
}

pub(super) fn text(name: &str) -> String {
    let path = deploy().join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files with an ending in a directory, by name.
fn files(directory: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(deploy().join(directory)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    files.sort();
    assert!(!files.is_empty(), "{directory} has no .{ending}");
    files
}

/// Dashboards by the names of their files.
pub(super) fn dashboards() -> Vec<(String, Value)> {
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    };
    files("grafana/dashboards", "json").iter().map(read).collect()
}

fn run(program: &str, arguments: &[&str], files: &[PathBuf]) -> Output {
    let output = Command::new(program).args(arguments).args(files).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn succeeds(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let output = run(program, arguments, files);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_takes_the_configuration_and_every_rule() {
    succeeds("promtool", &["check", "config"], &[deploy().join("prometheus/prometheus.yml")]);
    let rules = files("prometheus/rules", "yml");
    succeeds("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &rules);
}

#[test]
fn pods_are_scraped_under_the_names_that_rules_and_panels_count_on() {
    let config = text("deploy/prometheus/kubernetes.yml");
    // Not every promtool knows Kubernetes: what it would find is given here instead.
    let discovery = "kubernetes_sd_configs: [{ role: pod, namespaces: { names: [holdfast] } }]";
    let pod = |name: &str, port: &str, phase: &str| {
        format!(
            "{{ targets: ['192.0.2.1:1'], labels: {{ __meta_kubernetes_pod_annotation_prometheus_io_scrape: 'true', \
             __meta_kubernetes_pod_label_app_kubernetes_io_name: {name}, __meta_kubernetes_pod_container_port_name: {port}, \
             __meta_kubernetes_pod_phase: {phase}, __meta_kubernetes_pod_name: {name}-x7 }} }}"
        )
    };
    let pods = [
        ("producer", "http", "Running"),
        ("worker", "http", "Running"),
        ("maintenance", "http", "Running"),
        ("reporter", "http", "Running"),
        ("reporter", "other", "Running"),
        ("worker", "http", "Failed"),
        ("gateway", "http", "Running"),
    ]
    .map(|(name, port, phase)| pod(name, port, phase));
    assert!(config.contains(discovery), "{config}");
    let directory = tempfile::tempdir().unwrap();
    let found = directory.path().join("found.yml");
    let statically = format!("static_configs: [{}]", pods.join(", "));
    std::fs::write(&found, config.replace(discovery, &statically)).unwrap();
    succeeds("promtool", &["check", "config"], std::slice::from_ref(&found));
    let arguments = ["check", "service-discovery", "--timeout=1s", found.to_str().unwrap(), "holdfast"];
    let output = run("promtool", &arguments, &[]);
    let targets: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let scraped = targets.iter().filter(|target| target["labels"]["job"].is_string());
    let scraped: BTreeSet<(&str, &str)> = scraped
        .map(|target| ["instance", "job"].map(|name| target["labels"][name].as_str().unwrap()))
        .map(|[instance, job]| (instance, job))
        .collect();
    let expected = [
        ("maintenance-x7", "worker"),
        ("producer-x7", "producer"),
        ("reporter-x7", "reporter"),
        ("worker-x7", "worker"),
    ];
    assert_eq!(scraped, BTreeSet::from(expected));
    for job in ["rabbitmq", "rabbitmq-queues"] {
        assert!(config.contains(&format!("job_name: {job}\n")), "{job} is not scraped");
    }
}

#[test]
fn rules_record_and_alert_as_their_tests_say() {
    succeeds("promtool", &["test", "rules"], &files("prometheus/tests", "yml"));
}

#[test]
fn alertmanager_takes_the_example() {
    succeeds("amtool", &["check-config"], &[deploy().join("alertmanager/alertmanager.yml")]);
    let told = |labels: &[&str]| {
        let config = format!("--config.file={}", deploy().join("alertmanager/alertmanager.yml").display());
        let output = run("amtool", &[&["config", "routes", "test", &config], labels].concat(), &[]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(told(&["severity=critical", "alertname=HoldfastNoWorker"]), "on-call");
    assert_eq!(told(&["severity=warning", "alertname=HoldfastDeadTasks"]), "team");
    assert_eq!(told(&["severity=warning", "alertname=backup_failed", "service=holdfast"]), "team");
    assert_eq!(told(&["severity=info", "alertname=HoldfastCacheAway"]), "log");
    assert_eq!(told(&["severity=none", "alertname=HoldfastMonitoringWorks"]), "dead-mans-switch");
}

#[test]
fn dashboards_are_what_their_script_writes() {
    let script = deploy().join("grafana/build.py").display().to_string();
    succeeds(devstack::tools::PYTHON, &[&script, "--check"], &[]);
}

#[test]
fn each_panel_has_its_place_a_unit_and_a_sentence() {
    let dashboards = dashboards();
    let uids: BTreeSet<&str> = dashboards.iter().map(|(_, board)| board["uid"].as_str().unwrap()).collect();
    let expected =
        ["database", "jobs", "overview", "pipeline", "slo", "workers"].map(|name| format!("holdfast-{name}"));
    assert_eq!(uids, expected.iter().map(String::as_str).collect());
    for (name, board) in &dashboards {
        assert_eq!(board["schemaVersion"], 38, "{name}");
        assert_eq!(board["templating"]["list"][0]["name"], "datasource", "{name}");
        assert_eq!(board["links"][0]["tags"][0], "holdfast", "{name}");
        assert_eq!(board["tags"][0], "holdfast", "{name}: the links of others lead to it by its tag");
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: two panels have one id");
        let titles: BTreeSet<&str> = panels.iter().map(|panel| panel["title"].as_str().unwrap()).collect();
        assert_eq!(titles.len(), panels.len(), "{name}: two panels have one title");
        lie_apart(name, panels);
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = format!("{name}: {}", panel["title"]);
            let of = |pointer: &str| panel.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            assert!(!of("/fieldConfig/defaults/unit").is_empty(), "{title} has no unit");
            assert!(of("/description").ends_with(['.', '`']), "{title} has no sentence about it");
            for target in panel["targets"].as_array().unwrap() {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            }
        }
    }
}

/// No panel lies on another one or beyond the 24 columns.
fn lie_apart(name: &str, panels: &[Value]) {
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |side: &str| panel["gridPos"][side].as_i64().unwrap();
        for x in at("x")..at("x") + at("w") {
            assert!((0..24).contains(&x), "{name}: {} is too wide", panel["title"]);
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{name}: {} lies on another panel", panel["title"]);
            }
        }
    }
}
