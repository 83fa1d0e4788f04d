//! The summary agrees with the metrics and the commands to the unit.

use harness::{eventually, metrics};
use serde_json::{Value, json};

use super::{Reader, world_with};

#[tokio::test]
async fn the_summary_the_metrics_and_the_commands_say_the_same() {
    let world = world_with(4).await;
    for job in ["job-000", "job-001"] {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", job]).await.code, 0);
    }
    world.execute("update compliance set compliant = true where job_id = (select min(id) from job)").await;
    let reader = Reader::with(&world, "viewer", &[("HOLDFAST_CACHE_TTL_SUMMARY", "0s")]).await;
    // What the leader does first moves the figures: it rolls up, folds, and looks at the rules.
    let (summary, measured) = eventually("the metrics say what the summary says", async || {
        let summary = reader.read("summary").await;
        let measured = metrics(&reader.url).await;
        let value = |name: &str| measured.get(name).copied();
        let alerts: f64 = measured
            .iter()
            .filter(|(name, _)| {
                name.starts_with("holdfast_alerts{")
                    && name.contains("state=\"open\"")
                    && name.contains("severity=\"warning\"")
            })
            .map(|(_, value)| *value)
            .sum();
        let pairs = [
            (value("holdfast_jobs"), &summary["jobs"]["active"]),
            (value("holdfast_jobs_compliant"), &summary["jobs"]["compliant"]),
            (value("holdfast_tasks_dead"), &summary["tasks"]["dead"]),
            (value("holdfast_workers"), &summary["workers"]),
            (value(r#"holdfast_tasks_waiting{kind="backup"}"#), &summary["tasks"]["waiting"]["backup"]),
            (value(r#"holdfast_tasks_running{kind="backup"}"#), &summary["tasks"]["running"]["backup"]),
            (value(r#"holdfast_success_rate{period="day"}"#), &summary["figures"]["day"]["success_rate"]),
            (value(r#"holdfast_success_rate{period="month"}"#), &summary["figures"]["month"]["success_rate"]),
            (
                value(r#"holdfast_verdicts{rule="0-errors",answer="unknown"}"#),
                &summary["jobs"]["answers"]["0-errors"]["unknown"],
            ),
            (Some(alerts), &summary["open_alerts"]["warning"]),
        ];
        let agree = pairs.iter().all(|(measured, said)| match (measured, said.as_f64()) {
            (Some(measured), Some(said)) => (measured - said).abs() < 1e-9,
            _ => false,
        });
        agree.then_some((summary, measured))
    })
    .await;
    assert_eq!(summary["jobs"]["active"], json!(4), "{measured:?}");
    assert_eq!(summary["figures"]["day"]["success_rate"], json!(0.5));
    assert_eq!(summary["tasks"]["waiting"]["backup"], json!(2));
    assert_eq!(summary["replica"], Value::Null);

    let status = world.run("reporter", ["status", "--json"]).await.json();
    assert_eq!(
        (&status["jobs"], &status["compliant"]),
        (&summary["jobs"]["active"], &summary["jobs"]["compliant"])
    );
    assert_eq!(status["dead"], summary["tasks"]["dead"]);
    assert_eq!(status["workers"].as_array().unwrap().len(), 3);
    let waiting: i64 =
        status["waiting"].as_array().unwrap().iter().map(|kind| kind["tasks"].as_i64().unwrap()).sum();
    assert_eq!(json!(waiting), summary["tasks"]["waiting"]["backup"]);
    let figures = world.run("reporter", ["figures", "--json"]).await.json();
    for (number, period) in ["day", "week", "month"].iter().enumerate() {
        for figure in ["backups", "success_rate", "source_bytes", "storage_growth", "p95_seconds"] {
            assert_eq!(
                figures["periods"][number][figure], summary["figures"][period][figure],
                "{period}: {figure}"
            );
        }
    }
}
