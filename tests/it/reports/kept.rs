//! A task makes one report, which is kept for 90 days.

use harness::{World, eventually};
use shared::db::report::{self, New};
use shared::task::TaskId;
use shared::work::ReportKind;
use uuid::Uuid;

use super::make;

#[tokio::test]
async fn a_task_that_is_asked_for_or_recorded_again_makes_no_other_report() {
    let world = World::new().await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let id = Uuid::now_v7().to_string();
    for _ in 0..2 {
        let run = world.producer(&["enqueue", "report", "--id", &id, "--wait"]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert_eq!(world.number("select count(*) from report").await, 1);
    let again = New {
        id: Uuid::now_v7(),
        kind: ReportKind::Daily,
        period_start: shared::clock::now(),
        period_end: shared::clock::now(),
        title: "again".to_owned(),
        headline: String::new(),
        summary: String::new(),
        job: None,
        owner: None,
        files: Vec::new(),
        mail_to: Vec::new(),
        task: TaskId(id.parse().unwrap()),
    };
    let mut client = world.database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    assert!(!report::insert(&transaction, &again).await.unwrap());
    transaction.commit().await.unwrap();
    assert_eq!(world.text("select title from report").await.unwrap().split(',').next(), Some("Backups"));
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn reports_are_listed_page_by_page_and_removed_after_90_days() {
    let world = World::new().await;
    world
        .execute(
            "insert into report (id, kind, period_start, period_end, title, headline, summary, task_id, created_at)
             select gen_random_uuid(), 'daily', now(), now(), 'day ' || n, '', '', gen_random_uuid(), now() - interval '1 day' * n
             from generate_series(0, 99) n;
             insert into report_file (report_id, format, sha256, content)
             select id, 'html', encode(sha256(''), 'hex'), '' from report",
        )
        .await;
    let client = world.database.client().await.unwrap();
    let (mut after, mut titles) = (None, Vec::new());
    loop {
        let page = report::list(&client, Some(ReportKind::Daily), after, 30).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.created_at, last.id));
        titles.extend(page.iter().map(|report| report.title.clone()));
    }
    let expected: Vec<String> = (0..100).map(|n| format!("day {n}")).collect();
    assert_eq!(titles, expected);
    assert_eq!(report::list(&client, Some(ReportKind::Audit), None, 30).await.unwrap(), []);
    drop(client);
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let done = "select count(*) from execution where kind = 'maintain' and outcome = 'success'";
    eventually("the old ones are removed", async || (world.number(done).await == 1).then_some(())).await;
    assert_eq!(world.number("select count(*) from report").await, 90);
    assert_eq!(world.number("select count(*) from report_file").await, 90);
    let removed = world.text("select detail ->> 'reports' from execution where kind = 'maintain'").await;
    assert_eq!(removed.as_deref(), Some("10"));
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn the_newest_is_written_without_an_id_and_what_is_not_there_is_said() {
    let world = World::new().await;
    let none = world.run("reporter", ["report", "--kind", "weekly"]).await;
    assert!(none.code == 1 && none.stderr.contains("report=weekly"), "{none:?}");
    let unknown = world.run("reporter", ["report", "show", &Uuid::now_v7().to_string()]).await;
    assert!(unknown.code == 1 && unknown.stderr.contains("no report has the id"), "{unknown:?}");
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    make(&world, &[]).await;
    let newest = make(&world, &[]).await;
    let shown = world.run("reporter", ["report", "show"]).await;
    assert!(shown.stdout.contains(&newest) && shown.stdout.contains("sha256"), "{shown:?}");
    let csv = world.run("reporter", ["report", "--format", "csv"]).await;
    assert!(csv.code == 0 && csv.stdout.starts_with("job,owner,"), "{csv:?}");
    let before = world.run("reporter", ["report", "list", "--before", &newest, "--json"]).await.json();
    assert_eq!(before.as_array().unwrap().len(), 1);
    world.stop(worker).await;
    world.stop(producer).await;
}
