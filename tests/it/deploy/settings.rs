//! Each setting that the ways to deploy give a program is one that it has.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{compose, kubernetes, repository, run, systemd, text};

const PROGRAMS: [&str; 3] = ["producer", "worker", "reporter"];

/// What a program gets, and where that stands.
struct Given {
    place: String,
    program: String,
    variables: BTreeSet<String>,
}

/// The variables of a program's settings.
async fn known(program: &str) -> BTreeSet<String> {
    let binary = devstack::process::binary(program).unwrap();
    let shown = run(binary, &["--check-config", "--json"], Path::new("/"), &[], "").await;
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    settings.iter().map(|setting| setting["variable"].as_str().unwrap().to_owned()).collect()
}

/// Whether a variable is meant for a program; others are for the runtime, or for what it runs.
fn is_setting(variable: &str) -> bool {
    ["HOLDFAST_", "DATABASE_", "AMQP_", "REDIS_"].iter().any(|start| variable.starts_with(start))
}

async fn of_compose() -> Vec<Given> {
    let compose = compose::filled_in().await;
    let ours = compose::OURS.iter().map(|name| {
        let service = &compose["services"][*name];
        Given {
            place: format!("{name} in docker-compose.yml"),
            program: service["command"][0].as_str().unwrap().to_owned(),
            variables: service["environment"].as_object().unwrap().keys().cloned().collect(),
        }
    });
    ours.collect()
}

async fn of_kubernetes() -> Vec<Given> {
    let mut all = Vec::new();
    for manifests in [kubernetes::built("base").await, kubernetes::with_keda().await] {
        for manifest in &manifests {
            let containers =
                manifest["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
            for container in containers.filter(|container| container["name"] != "gateway") {
                let own = container["env"].as_array().into_iter().flatten();
                let mut variables: BTreeSet<String> =
                    own.map(|variable| variable["name"].as_str().unwrap().to_owned()).collect();
                for from in container["envFrom"].as_array().into_iter().flatten() {
                    let map = from["configMapRef"]["name"].as_str().unwrap();
                    let data = &kubernetes::named(&manifests, "ConfigMap", map)["data"];
                    variables.extend(data.as_object().unwrap().keys().cloned());
                }
                all.push(Given {
                    place: format!("{} on Kubernetes", manifest["metadata"]["name"]),
                    program: container["command"][0].as_str().unwrap().to_owned(),
                    variables,
                });
            }
        }
    }
    all
}

fn of_systemd() -> Vec<Given> {
    let units = systemd::UNITS.iter().map(|unit| {
        let written = text(&format!("deploy/systemd/{unit}"));
        let command = systemd::setting(&written, "ExecStart")[0];
        let variables = systemd::setting(&written, "Environment").join(" ");
        Given {
            place: (*unit).to_owned(),
            program: command.split_once(' ').unwrap().0.rsplit_once('/').unwrap().1.to_owned(),
            variables: variables
                .split_whitespace()
                .map(|one| one.split_once('=').unwrap().0.to_owned())
                .collect(),
        }
    });
    units.collect()
}

#[tokio::test]
async fn each_setting_is_one_that_the_program_has_which_gets_it() {
    let mut all = of_compose().await;
    all.extend(of_kubernetes().await);
    all.extend(of_systemd());
    assert_eq!(all.len(), compose::OURS.len() + 2 * 5 + systemd::UNITS.len());
    let mut of_any = BTreeSet::new();
    for program in PROGRAMS {
        let known = known(program).await;
        for given in all.iter().filter(|given| given.program == program) {
            let settings = given.variables.iter().filter(|variable| is_setting(variable));
            let unknown: Vec<&String> = settings.filter(|variable| !known.contains(*variable)).collect();
            assert!(unknown.is_empty(), "{}: {program} has no {unknown:?}", given.place);
            assert!(given.variables.contains("DATABASE_URL_FILE"), "{}: {:?}", given.place, given.variables);
        }
        of_any.extend(known);
    }
    assert!(!of_any.contains("HOLDFAST_LISTN"), "all programs have everything");
    // This file is for all programs of a machine: each setting is somebody's.
    for line in text("deploy/systemd/holdfast.env").lines().filter(|line| !line.starts_with('#')) {
        let (variable, _) = line.split_once('=').unwrap();
        assert!(of_any.contains(variable), "holdfast.env: {variable}");
    }
}

#[tokio::test]
async fn the_workflows_and_the_compose_file_are_what_their_schemas_want() {
    for (schema, file) in [
        ("vendor.github-workflows", ".github/workflows/ci.yml"),
        ("vendor.compose-spec", "docker-compose.yml"),
        ("vendor.compose-spec", "deploy/compose/read-everything.yml"),
    ] {
        let file = repository(file);
        let checked = check(schema, &file).await;
        assert_eq!(checked.code, 0, "{checked:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let wrong = directory.path().join("wrong.yml");
    std::fs::write(&wrong, "on: push\njobs: { test: { runs-on: x, stepz: [] } }\n").unwrap();
    assert_ne!(check("vendor.github-workflows", &wrong).await.code, 0, "it finds nothing in anything");
}

async fn check(schema: &str, file: &Path) -> harness::Run {
    let arguments = ["--builtin-schema", schema, file.to_str().unwrap()];
    run(super::pip("check-jsonschema"), &arguments, &repository("."), &[], "").await
}
