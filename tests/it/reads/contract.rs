//! The document of both halves is what both say, and reads keep it whatever comes in.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::{Reader, world_with};
use crate::http_contract::{CHECKS, pip};

#[tokio::test]
async fn the_document_is_that_of_both_halves_and_names_each_path_once() {
    let world = world_with(1).await;
    let commands = world.producer(&["schema", "openapi"]).await;
    assert_eq!(commands.code, 0, "{commands:?}");
    let file = world.write("commands.json", &commands.stdout);
    let merged = world.run("reporter", ["schema", "openapi", "--merge", file.to_str().unwrap()]).await;
    let merged_text = merged.stdout.clone();
    let merged = merged.json();
    let stored = include_str!("../../../docs/openapi.json");
    assert!(
        merged_text.trim() == stored.trim(),
        "docs/openapi.json is old: producer schema openapi | reporter schema openapi --merge - > docs/openapi.json"
    );
    for (path, method) in [
        ("/api/v1/jobs/{name}", "put"),
        ("/api/v1/jobs/{name}", "get"),
        ("/api/v1/jobs", "get"),
        ("/api/v1/dead-tasks/{id}", "delete"),
        ("/api/v1/dead-tasks/{id}", "get"),
    ] {
        assert!(merged["paths"][path][method].is_object(), "{method} {path}");
    }
    let twice = world
        .run(
            "reporter",
            ["schema", "openapi", "--merge", world.write("twice.json", &merged_text).to_str().unwrap()],
        )
        .await;
    assert!(twice.code == 2 && twice.stderr.contains("is in both documents"), "{twice:?}");

    let reader = Reader::new(&world, "viewer").await;
    let served: Value =
        reqwest::get(format!("{}/api/v1/openapi.json", reader.url)).await.unwrap().json().await.unwrap();
    assert_eq!(served, merged);
    let page = reqwest::get(format!("{}/api/v1/docs/", reader.url)).await.unwrap().text().await.unwrap();
    assert!(page.contains("swagger-ui"));
}

#[tokio::test]
async fn generated_reads_get_the_answers_that_the_document_promises() {
    let world = world_with(3).await;
    let reader = Reader::with(&world, "admin", &[("HOLDFAST_HTTP_PACE_MACHINE", "1000000")]).await;
    let mut schemathesis = Command::new(pip().join("schemathesis/bin/schemathesis"));
    schemathesis
        .args(["run", &format!("{}/api/v1/openapi.json", reader.url)])
        .args(["--header", &format!("Authorization: Bearer {}", reader.token)])
        .args(["--include-method", "GET"])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "15", "--no-color", "--continue-on-failure"])
        .current_dir(world.path(""))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = schemathesis.output().await.unwrap();
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert!(!told.contains("No operations"), "{told}");
}
