//! Targets and jobs with real files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Definitions for `producer apply`.
#[derive(Debug)]
pub(crate) struct Definitions {
    password_file: PathBuf,
    targets: Vec<Value>,
    jobs: Vec<Value>,
}

impl Definitions {
    /// None yet; all repositories have the same password.
    pub(crate) fn new(password_file: PathBuf) -> Self {
        Self { password_file, targets: Vec::new(), jobs: Vec::new() }
    }

    /// Adds a target with a repository on this machine.
    pub(crate) fn target(&mut self, name: &str, repository: &Path) {
        self.targets.push(json!({
            "name": name, "repository": repository, "password": { "file": self.password_file },
            "media": "nas", "site": "hq", "failure_domain": "array-1",
        }));
    }

    /// Adds a job that backs up a directory to a target.
    pub(crate) fn job(&mut self, name: &str, path: &Path, target: &str) {
        self.jobs.push(json!({
            "name": name, "owner": "load", "targets": [target],
            "source": {
                "kind": "files", "paths": [path], "site": "hq", "failure_domain": "host-1", "media": "disk",
            },
        }));
    }

    /// As `producer apply` reads them.
    pub(crate) fn into_value(self) -> Value {
        json!({ "targets": self.targets, "jobs": self.jobs })
    }
}
