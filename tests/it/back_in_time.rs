//! `worker restore` of another restore point than the newest.

use harness::World;
use serde_json::json;

#[tokio::test]
async fn a_person_gets_back_what_was_there_at_a_moment_or_in_a_restore_point() {
    let world = World::new().await;
    let (targets, jobs) = ([world.target("disk-a", &json!({}))], [world.files_job("docs", &["disk-a"])]);
    world.apply(&json!({ "targets": targets, "jobs": jobs })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for content in ["first", "second", "third"] {
        world.write("source/a.txt", content);
        let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
        assert_eq!(run.code, 0, "{run:?}");
    }
    let of = async |what: &str, place: i64| {
        let value = format!("select {what} from restore_point order by data_time offset {place} limit 1");
        world.text(&value).await.unwrap()
    };
    let moment = "to_char(data_time at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let first = of("id::text", 0).await;
    for (into, choice, content) in [
        ("newest", vec![], "third"),
        ("then", vec!["--at".to_owned(), of(moment, 1).await], "second"),
        ("that", vec!["--restore-point".to_owned(), first.clone()], "first"),
    ] {
        let directory = world.path(into);
        let mut restore = vec!["restore", "--job", "docs", "--into", directory.to_str().unwrap()];
        restore.extend(choice.iter().map(String::as_str));
        let run = world.run("worker", restore).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(std::fs::read_to_string(directory.join("a.txt")).unwrap(), content, "{into}");
    }

    let nowhere = world.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let early = ["--at", "2001-01-01T00:00:00Z"];
    let run =
        world.run("worker", [&["restore", "--job", "docs", "--into", nowhere][..], &early].concat()).await;
    assert!(
        run.code == 1 && run.stderr.contains("from 2001-01-01 00:00:00 UTC or before is in reach"),
        "{run:?}"
    );
    let both = ["--at", "2001-01-01T00:00:00Z", "--restore-point", &first];
    let run =
        world.run("worker", [&["restore", "--job", "docs", "--into", nowhere][..], &both].concat()).await;
    assert_eq!(run.code, 2, "{run:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}
