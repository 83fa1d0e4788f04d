//! The commands over HTTP keep what their document says, whatever comes in.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use crate::dead::world_with_jobs;
use crate::http::Client;

/// What is demanded of each answer.
pub(crate) const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,ignored_auth";

/// Where the tests' packages of Python are.
#[expect(clippy::disallowed_methods, reason = "this is where it is handed over")]
pub(crate) fn pip() -> PathBuf {
    std::env::var("HOLDFAST_TEST_PIP")
        .expect("HOLDFAST_TEST_PIP is not set: run the tests with `cargo xtask test`")
        .into()
}

#[tokio::test]
async fn generated_requests_get_the_answers_that_the_document_promises() {
    let world = world_with_jobs().await;
    let mut docs = world.simulated_job("docs", &["disk-a"], &json!({}));
    docs["schedule"] = json!({ "cron": "0 2 1 1 *" });
    world.apply(&json!({ "jobs": [docs] })).await;
    let client = Client::new(&world, "admin").await;
    // A wrong body with a wrong condition may be told of either.
    let settings = "[checks]\nnegative_data_rejection.expected-statuses = [\"4xx\", \"5xx\"]\n";
    world.write("schemathesis.toml", settings);
    let mut schemathesis = Command::new(pip().join("schemathesis/bin/schemathesis"));
    schemathesis
        .args(["run", &format!("{}/api/v1/openapi.json", client.url)])
        .args(["--header", &format!("Authorization: Bearer {}", client.token)])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "15", "--rate-limit", "90/s", "--no-color", "--continue-on-failure"])
        .current_dir(world.path(""))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = schemathesis.output().await.unwrap();
    let (told, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{wrong}");
    assert!(!told.contains("No operations"), "{told}");
}
