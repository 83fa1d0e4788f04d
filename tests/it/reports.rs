//! Reports: made of what really happened, in every format, once, kept as they were made, and sent.

mod alerts;
mod cancelled;
mod cut;
mod exceptions;
mod figures;
mod formats;
mod kept;
mod mail;
mod params;
mod sizes;

use std::process::Stdio;

use harness::World;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

/// A world with simulated jobs of these names on two targets, one of them off-site.
async fn world_with(jobs: &[&str]) -> World {
    let world = World::new().await;
    world.apply(&definitions(&world, jobs)).await;
    world
}

fn definitions(world: &World, jobs: &[&str]) -> Value {
    let targets = [
        world.target("disk-a", &json!({})),
        world.target("nas-b", &json!({ "media": "nas", "site": "elsewhere" })),
    ];
    let jobs: Vec<Value> =
        jobs.iter().map(|name| world.simulated_job(name, &["disk-a", "nas-b"], &json!({}))).collect();
    json!({ "targets": targets, "jobs": jobs })
}

/// Has a report made by the worker that runs; returns its id.
async fn make(world: &World, params: &[&str]) -> String {
    let params = params.iter().flat_map(|param| ["--param", param]);
    let arguments: Vec<&str> = ["enqueue", "report", "--wait", "--json"].into_iter().chain(params).collect();
    let answer = world.producer(&arguments).await.json();
    answer["detail"]["report"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A report as it is saved to a file.
async fn save(world: &World, id: &str, format: &str) -> Vec<u8> {
    let path = world.path(format!("report-{id}.{format}"));
    let run = world
        .run("reporter", ["report", "save", id, "--format", format, "--out", path.to_str().unwrap()])
        .await;
    assert_eq!(run.code, 0, "{run:?}");
    std::fs::read(path).unwrap()
}

async fn facts(world: &World, id: &str) -> Value {
    serde_json::from_slice(&save(world, id, "json").await).unwrap()
}

/// The words of a report on paper, page by page.
async fn paper(world: &World, id: &str) -> Vec<String> {
    save(world, id, "pdf").await;
    let path = world.path(format!("report-{id}.pdf"));
    let mut command = Command::new("pdftotext");
    command.arg("-raw").arg(path).arg("-").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end_matches('\u{c}').split('\u{c}').map(ToOwned::to_owned).collect()
}

fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}
