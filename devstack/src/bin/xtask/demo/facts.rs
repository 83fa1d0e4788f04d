//! What a demo found out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::compare::Comparison;

/// Everything that the tables show and `--json` writes.
pub(super) struct Facts {
    pub(super) source: SourceFacts,
    pub(super) restore_points: Vec<RestorePoint>,
    pub(super) restore: RestoreFacts,
    pub(super) comparison: Comparison,
    pub(super) verdicts: Vec<Verdict>,
    /// Where the report is.
    pub(super) report: PathBuf,
    /// How long everything took, from the command line on.
    pub(super) seconds: f64,
}

/// The data in production.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SourceFacts {
    pub(super) path: PathBuf,
    /// Regular files.
    pub(super) files: u64,
    /// The sum of their sizes.
    pub(super) bytes: u64,
}

/// A restore point and the place where it is.
#[derive(Debug, Serialize)]
pub(super) struct RestorePoint {
    #[serde(flatten)]
    pub(super) written: Written,
    pub(super) media: String,
    pub(super) site: String,
}

/// A restore point as `reporter compliance` tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) target: String,
    pub(super) snapshot: String,
    pub(super) data_time: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// What the repository grew by.
    pub(super) bytes_added: u64,
    pub(super) seconds: f64,
}

/// The restore.
#[derive(Debug)]
pub(super) struct RestoreFacts {
    pub(super) into: PathBuf,
    /// The target that it came from.
    pub(super) target: String,
    pub(super) seconds: f64,
}

/// The answer of one rule, as `reporter compliance` tells it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) rule: String,
    pub(super) answer: String,
    pub(super) reason: String,
    pub(super) evidence: Vec<String>,
    pub(super) expires_at: Option<String>,
}

impl Verdict {
    /// Whether the rule holds; a warning says for how long.
    pub(super) fn passes(&self) -> bool {
        matches!(&*self.answer, "pass" | "warning")
    }
}

impl Facts {
    /// Whether what was restored equals the source, and all five rules hold.
    pub(super) fn all_is_well(&self) -> bool {
        self.comparison.differences == 0
            && self.verdicts.len() == 5
            && self.verdicts.iter().all(Verdict::passes)
    }

    /// The same facts for programs.
    pub(super) fn json(&self) -> Value {
        let answers: Map<String, Value> =
            self.verdicts.iter().map(|verdict| (verdict.rule.clone(), json!(verdict.answer))).collect();
        json!({
            "source": self.source,
            "restore_points": self.restore_points,
            "restore": {
                "into": self.restore.into,
                "target": self.restore.target,
                "seconds": self.restore.seconds,
                "entries": self.comparison.entries,
                "files": self.comparison.files,
                "bytes": self.comparison.bytes,
                "differences": self.comparison.differences,
                "first_differences": self.comparison.first,
            },
            "verdicts": answers,
            "verdict_details": self.verdicts,
            "report": self.report,
            "seconds": self.seconds,
        })
    }
}
