//! Definitions: applied whole or not at all, and never twice.

use harness::World;
use serde_json::json;

#[tokio::test]
async fn a_wrong_definition_names_file_line_and_field_and_nothing_is_applied() {
    let world = World::new().await;
    let good =
        world.write("good.yaml", json!({ "targets": [world.target("disk-a", &json!({}))] }).to_string());
    let bad = world.write(
        "bad.yaml",
        "targets:\n  - name: disk-b\n    repository: /backups/b\n    password: { file: /etc/key }\n    media: disk\n    \
         site: hq\n    failure_domain: b\n    limits: { concurrency: 0 }\njobs:\n  - name: docs\n    owner: ops\n    \
         targets: [nowhere]\n    source: { kind: files, paths: [/srv], site: hq, failure_domain: h, media: disk }\n    \
         colour: blue\n",
    );
    let run = world.producer(&["apply", good.to_str().unwrap(), bad.to_str().unwrap()]).await;
    assert_eq!(run.code, 2, "{run:?}");
    for expected in
        ["bad.yaml:8", "limits.concurrency", "use 1 to", "bad.yaml:12", "nowhere", "bad.yaml:14", "colour"]
    {
        assert!(run.stderr.contains(expected), "{expected} is not in {}", run.stderr);
    }
    assert_eq!(world.number("select (select count(*) from target) + (select count(*) from job)").await, 0);
}

#[tokio::test]
async fn what_is_applied_already_is_not_written_again() {
    let world = World::new().await;
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({}))],
        "jobs": [world.files_job("docs", &["disk-a"])],
    });
    world.apply(&definitions).await;
    world.apply(&definitions).await;
    assert_eq!(world.number("select sum(version)::bigint from job").await, 1);
    assert_eq!(world.number("select sum(version)::bigint from target").await, 1);
}
