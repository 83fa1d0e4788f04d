//! The acts, in their order.

mod copies;
mod vault;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use serde::Deserialize;
use serde_json::Value;

use super::{
    compare::{self, Comparison},
    definitions::{self, JOB, TARGETS},
    facts::{Facts, RestoreFacts, RestorePoint, SourceFacts, Verdict, Written},
    figures,
    place::Place,
    programs::Programs,
    screen::Act,
    source::Source,
    status::while_telling,
    thread::on_thread,
    tree,
};

/// What a restore goes into, below the worker's restore root.
const RESTORED: &str = "newest";

/// Plays all acts.
pub(super) async fn play(programs: &Programs, place: &Place, source: &Source) -> anyhow::Result<Facts> {
    let stage = Stage { programs, place, source };
    stage.apply().await?;
    let source = stage.back_up().await?;
    copies::copied(programs, place).await?;
    copies::verified(programs, place).await?;
    vault::take_away(programs, place).await?;
    let restore = stage.restore().await?;
    let comparison = stage.compare(&restore).await?;
    let report = stage.report().await?;
    let (restore_points, verdicts) = stage.judged().await?;
    Ok(Facts { source, restore_points, restore, comparison, verdicts, report, seconds: 0.0 })
}

struct Stage<'a> {
    programs: &'a Programs,
    place: &'a Place,
    source: &'a Source,
}

/// How a task ended that was waited for.
#[derive(Deserialize)]
struct Run {
    outcome: Option<String>,
    seconds: Option<f64>,
    error: Option<String>,
    detail: Option<Value>,
}

impl Stage<'_> {
    async fn apply(&self) -> anyhow::Result<()> {
        let act = Act::begin("Applying");
        definitions::write(self.place, self.source.directory())?;
        let file = self.place.path("definitions.yaml");
        self.programs.run("producer", &["apply", &file.to_string_lossy()]).await?;
        act.done("Applied", &format!("{} (3 targets, 1 job)", file.display()));
        Ok(())
    }

    async fn back_up(&self) -> anyhow::Result<SourceFacts> {
        let path = self.source.directory().to_owned();
        let directory = path.clone();
        let (files, bytes) = on_thread(move || Ok(tree::size(&tree::read(&directory)?))).await?;
        let mut act = Act::begin("Backing up");
        self.run(&mut act, &["backup", "--job", JOB]).await?;
        let figures = format!("{files} files, {} to {}", figures::bytes(bytes), TARGETS[0]);
        act.done("Backed up", &figures);
        Ok(SourceFacts { path, files, bytes })
    }

    async fn restore(&self) -> anyhow::Result<RestoreFacts> {
        let mut act = Act::begin("Restoring");
        let into = format!("into={RESTORED}");
        let run = self.run(&mut act, &["restore", "--job", JOB, "--param", &into]).await?;
        let target = run.detail.as_ref().and_then(|detail| detail["target"].as_str()).unwrap_or("?");
        let into = self.place.path("restored").join(RESTORED);
        act.done("Restored", &format!("the newest restore point, from {target}"));
        Ok(RestoreFacts { into, target: target.to_owned(), seconds: run.seconds.unwrap_or_default() })
    }

    async fn compare(&self, restore: &RestoreFacts) -> anyhow::Result<Comparison> {
        let mut act = Act::begin("Comparing");
        let read = Arc::new(AtomicU64::new(0));
        let work = {
            let (source, restored) = (self.source.directory().to_owned(), restore.into.clone());
            let read = Arc::clone(&read);
            on_thread(move || compare::compare(&source, &restored, &read))
        };
        let mut work = std::pin::pin!(work);
        let comparison = loop {
            tokio::select! {
                comparison = &mut work => break comparison?,
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    act.tell(&figures::bytes(read.load(Ordering::Relaxed)));
                }
            }
        };
        let found = figures::count(comparison.differences, "difference", "differences");
        act.done("Compared", &format!("{} entries with the source, {found},", comparison.entries));
        for difference in &comparison.first {
            eprintln!("{:>12} {difference}", "differs");
        }
        Ok(comparison)
    }

    async fn report(&self) -> anyhow::Result<PathBuf> {
        let mut act = Act::begin("Reporting");
        self.run(&mut act, &["report"]).await?;
        let file = self.place.path("report.html");
        self.programs.run("reporter", &["report", "--out", &file.to_string_lossy()]).await?;
        act.done("Reported", &file.display().to_string());
        Ok(file)
    }

    /// Has a worker do one task.
    async fn run(&self, act: &mut Act, task: &[&str]) -> anyhow::Result<Run> {
        let arguments = [&["enqueue"], task, &["--wait", "--timeout", PATIENCE, "--json"]].concat();
        let run: Run = while_telling(act, self.programs, self.programs.ask("producer", &arguments)).await?;
        ensure!(
            matches!(run.outcome.as_deref(), Some("success" | "warning")),
            "the {} did not succeed: {}",
            task[0],
            run.error.as_deref().unwrap_or("it was not done in time")
        );
        Ok(run)
    }

    /// What the reporter says in the end.
    async fn judged(&self) -> anyhow::Result<(Vec<RestorePoint>, Vec<Verdict>)> {
        let arguments = ["compliance", "--job", JOB, "--json"];
        let mut answer: Compliance = self.programs.ask("reporter", &arguments).await?;
        ensure!(!answer.jobs.is_empty(), "the reporter does not know the job");
        let job = answer.jobs.remove(0);
        let targets: Vec<Target> = self.programs.ask("producer", &["target", "list", "--json"]).await?;
        let points = job.restore_points.into_iter().map(|written| {
            let place = targets.iter().find(|target| target.name == written.target);
            let place = place.map(|target| &target.place);
            RestorePoint {
                media: place.map(|place| place.media.clone()).unwrap_or_default(),
                site: place.map(|place| place.site.clone()).unwrap_or_default(),
                written,
            }
        });
        Ok((points.collect(), job.verdicts))
    }
}

/// How long anything may take that is still at work. What fails or stops is noticed at once.
const PATIENCE: &str = "12h";

#[derive(Deserialize)]
struct Compliance {
    jobs: Vec<JudgedJob>,
}

#[derive(Deserialize)]
struct JudgedJob {
    verdicts: Vec<Verdict>,
    restore_points: Vec<Written>,
}

/// A target as `producer target list` tells it.
#[derive(Deserialize)]
struct Target {
    name: String,
    state: String,
    place: TargetPlace,
}

#[derive(Deserialize)]
struct TargetPlace {
    media: String,
    site: String,
}
