//! What is needed to operate it is in the repository, and is right: the files of `deploy`, with the real programs that read them.

mod compose;
mod definitions;
mod deployment;
mod gateway;
mod image;
mod kubernetes;
mod rights;
mod secrets;
mod settings;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::{DEADLINE, Run};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A file or directory of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
        .canonicalize()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

/// A program of the tests' Python packages.
#[expect(clippy::disallowed_methods, reason = "this is where it is handed over")]
fn pip(program: &str) -> PathBuf {
    let directory = std::env::var("HOLDFAST_TEST_PIP")
        .expect("HOLDFAST_TEST_PIP is not set: run the tests with `cargo xtask test`");
    Path::new(&directory).join("deploy/bin").join(program)
}

/// Runs a program to its end, in a directory, with what is to be on its standard input.
async fn run(
    program: impl AsRef<Path>,
    arguments: &[&str],
    directory: &Path,
    environment: &[(&str, &str)],
    input: &str,
) -> Run {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).current_dir(directory).envs(environment.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.as_ref().display()));
    let mut stdin = child.stdin.take().unwrap();
    let writing = async move {
        // Who reads nothing may have ended.
        stdin.write_all(input.as_bytes()).await.ok();
    };
    let (output, ()) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(child.wait_with_output(), writing) })
            .await
            .unwrap_or_else(|_| panic!("{} {arguments:?} did not end", program.as_ref().display()));
    let output = output.unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A text of YAML as JSON.
async fn yaml(text: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    run(pip("python"), &["-c", script], &repository("."), &[], text).await.json()
}

/// A length of time as compose, Kubernetes, systemd and our settings write it, in seconds.
fn seconds(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| {
        text.parse::<humantime::Duration>().unwrap_or_else(|error| panic!("{text}: {error}")).as_secs()
    })
}
