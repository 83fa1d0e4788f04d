//! The compose file is valid for docker-compose, and each service in it is bounded, locked down and watched.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{repository, run, seconds, secrets, text, yaml};

const SERVICES: [&str; 11] = [
    "alertmanager",
    "gateway",
    "grafana",
    "maintenance",
    "migrate",
    "postgres",
    "producer",
    "prometheus",
    "rabbitmq",
    "reporter",
    "worker",
];
pub(super) const OURS: [&str; 5] = ["maintenance", "migrate", "producer", "reporter", "worker"];

/// The file with everything filled in, as docker-compose understands it.
pub(super) async fn filled_in() -> Value {
    let printed = run("/usr/bin/docker-compose", &["config"], &repository("."), &[], "").await;
    assert_eq!(printed.code, 0, "{printed:?}");
    yaml(&printed.stdout).await
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_compose_file_is_valid_and_each_service_is_bounded_locked_down_and_watched() {
    let compose = filled_in().await;
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().map(String::as_str).collect::<Vec<_>>(), SERVICES);
    for (name, service) in services {
        for limit in ["mem_limit", "cpus", "pids_limit"] {
            assert!(!service[limit].is_null(), "{name} has no {limit}");
        }
        assert_eq!(list(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(list(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        if name == "migrate" {
            assert_eq!(service["restart"], "no");
        } else {
            assert_eq!(service["restart"], "unless-stopped", "{name}");
            assert!(service["healthcheck"]["test"].is_array(), "{name} has no check of its health");
        }
        if name != "rabbitmq" {
            assert_eq!(service["read_only"], true, "{name} can write to its root");
        }
        // Only the gateway may be reached from elsewhere, if somebody says so.
        for port in list(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
        }
        let image = service["image"].as_str().unwrap();
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
    }
    for name in OURS {
        assert!(
            services[name]["environment"].get("DATABASE_URL").is_none(),
            "{name} has its password in its environment"
        );
        assert_eq!(services[name]["environment"]["DATABASE_URL_FILE"], "/run/secrets/database_url", "{name}");
    }
    assert_eq!(services["producer"]["scale"], 2);
    assert_eq!(services["worker"]["scale"], 1, "HOLDFAST_WORKERS says more");
    for name in ["maintenance", "producer", "reporter", "worker"] {
        assert!(list(&services[name]["tmpfs"])[0].starts_with("/tmp:"), "{name}");
        assert_eq!(services[name]["environment"]["HOLDFAST_ADMIN_SOCKET"], "/tmp/admin.sock", "{name}");
    }
    // What runs may come to its end before it is killed.
    let worker = &services["worker"];
    // Its root is read-only, and repositories elsewhere are read through a cache.
    let cache = worker["environment"]["XDG_CACHE_HOME"].as_str().unwrap();
    assert!(cache.starts_with(worker["environment"]["HOLDFAST_SCRATCH"].as_str().unwrap()), "{cache}");
    let grace = seconds(worker["environment"]["HOLDFAST_GRACE"].as_str().unwrap());
    assert!(seconds(worker["stop_grace_period"].as_str().unwrap()) > grace);
}

#[tokio::test]
async fn every_file_that_the_compose_file_names_is_in_the_repository_or_made_by_the_script() {
    let made = tempfile::tempdir().unwrap();
    secrets::generate(made.path(), &[]).await;
    let compose = filled_in().await;
    let generated = repository("deploy/secrets").join("generated");
    let there = |path: &str| match Path::new(path).strip_prefix(&generated) {
        Ok(name) => made.path().join(name).exists(),
        Err(_) => Path::new(path).exists(),
    };
    let secrets = compose["secrets"].as_object().unwrap();
    for (name, secret) in secrets {
        let file = secret["file"].as_str().unwrap();
        assert!(there(file), "{name}: {file}");
    }
    let mut used = BTreeSet::new();
    for (name, service) in compose["services"].as_object().unwrap() {
        for volume in list(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            assert!(!source.starts_with('/') || there(source), "{name}: {source}");
        }
        used.extend(
            service["secrets"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|secret| secret["source"].as_str().unwrap()),
        );
    }
    let declared: BTreeSet<&str> = secrets.keys().map(String::as_str).collect();
    assert_eq!(used, declared, "each secret is somebody's");
}

#[tokio::test]
async fn the_gateway_gets_each_variable_of_its_template_and_trust_is_in_the_gateway_alone() {
    let compose = filled_in().await;
    let gateway = &compose["services"]["gateway"];
    let template = text("deploy/nginx/templates/holdfast.conf.template");
    let wanted: BTreeSet<&str> = template
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split("${").skip(1))
        .map(|rest| rest.split('}').next().unwrap())
        .collect();
    let environment = gateway["environment"].as_object().unwrap();
    let given: BTreeSet<&str> =
        environment.keys().map(String::as_str).filter(|name| name.starts_with("GATEWAY_")).collect();
    assert_eq!(given, wanted);
    for service in ["producer", "reporter"] {
        let trusted = &compose["services"][service]["environment"]["HOLDFAST_HTTP_TRUSTED_PROXIES"];
        assert_eq!(trusted, &gateway["networks"]["front"]["ipv4_address"], "{service}");
    }
}
