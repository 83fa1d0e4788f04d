//! Pages: none is missed and none comes twice, whatever comes in meanwhile.

use std::collections::BTreeSet;

use harness::World;
use serde_json::{Value, json};

use super::{LISTS, Reader, column, world_with};

/// Reads a list to its end, page by page, and does something between them.
async fn read_all(reader: &Reader, path: &str, mut between: impl AsyncFnMut(usize)) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), String::new());
    for page in 0.. {
        let separator = if path.contains('?') { '&' } else { '?' };
        let after = if next.is_empty() { String::new() } else { format!("{separator}after={next}") };
        let answer = reader.get(&format!("{path}{after}")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        items.extend(answer.body["items"].as_array().unwrap().clone());
        match answer.body["next"].as_str() {
            None => {
                assert!(!answer.headers.contains_key("link"));
                break;
            }
            Some(cursor) => {
                let link = answer.headers["link"].to_str().unwrap();
                assert!(link.ends_with(">; rel=\"next\"") && link.contains(cursor), "{link}");
                next = cursor.to_owned();
            }
        }
        between(page).await;
    }
    items
}

async fn insert_attempts(world: &World, count: usize, at: &str) {
    world
        .execute(&format!(
            "insert into execution (task_id, epoch, attempt, kind, job_id, outcome, requested_by, enqueued_at, started_at, finished_at, seconds)
             select gen_random_uuid(), 1, 1, 'backup', (select id from job limit 1), 'success', 'erp', now(), now(), {at}, 1
             from generate_series(1, {count})"
        ))
        .await;
}

#[tokio::test]
async fn each_attempt_is_on_one_page_although_many_have_one_time_and_more_come_in_meanwhile() {
    let world = world_with(1).await;
    let reader = Reader::with(&world, "viewer", &[("HOLDFAST_CACHE_TTL_EXECUTIONS", "0s")]).await;
    insert_attempts(&world, 40, "'2026-11-01T00:00:00.123456Z'").await;
    insert_attempts(&world, 20, "'2026-11-01T00:00:00.123457Z'").await;
    insert_attempts(&world, 20, "'2026-10-01T00:00:00Z'").await;
    let before = read_all(&reader, "executions?limit=500", async |_| {}).await;
    assert_eq!(before.len(), 84);
    for order in ["-finished_at", "finished_at"] {
        let path = format!("executions?limit=7&sort={order}&to=2026-11-02");
        let read = read_all(&reader, &path, async |page| {
            // At the front of one order, and amid what is read already of the other.
            insert_attempts(&world, 2, "now() + interval '1 hour'").await;
            if page == 3 {
                insert_attempts(&world, 1, "'2020-01-01T00:00:00Z'").await;
            }
        })
        .await;
        let read: Vec<Value> =
            read.into_iter().filter(|item| item["finished_at"] != "2020-01-01T00:00:00Z").collect();
        let mut expected: Vec<Value> =
            before.iter().filter(|item| item["finished_at"].as_str() < Some("2026-11-02")).cloned().collect();
        if order == "finished_at" {
            expected.reverse();
        }
        assert_eq!(read.len(), 80);
        assert_eq!(read, expected, "{order}");
    }
}

#[tokio::test]
async fn each_list_is_the_same_in_pages_of_three_and_backwards() {
    let world = world_with(5).await;
    let reader = Reader::new(&world, "auditor").await;
    for list in LISTS {
        // Others come and go, as the reporter finds something wrong.
        let list = if list == "alerts" { "alerts?rule=worker_lost&" } else { &format!("{list}?") };
        let whole = read_all(&reader, &format!("{list}limit=500"), async |_| {}).await;
        assert!(!whole.is_empty(), "{list}");
        let pages = read_all(&reader, &format!("{list}limit=3"), async |_| {}).await;
        assert_eq!(pages, whole, "{list}");
        let distinct: BTreeSet<String> = whole.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), whole.len(), "{list}");
        let wrong = reader.get(&format!("{list}sort=x")).await;
        let (_, why) = wrong.problem(400);
        let names = why.split("use ").nth(1).unwrap().split(", with").next().unwrap().to_owned();
        for name in names.split(", ") {
            let order = |sign: &str| format!("{list}limit=3&sort={sign}{name}&job=job-001");
            let order = |sign: &str| {
                let order = order(sign);
                if wrong_job(list) { order.replace("&job=job-001", "") } else { order }
            };
            let forwards = read_all(&reader, &order(""), async |_| {}).await;
            let mut backwards = read_all(&reader, &order("-"), async |_| {}).await;
            backwards.reverse();
            assert_eq!(forwards, backwards, "{list} by {name}");
        }
    }
}

/// Lists that have no filter by job.
fn wrong_job(list: &str) -> bool {
    ["audit?", "jobs?", "pools?", "targets?", "workers?"].contains(&list)
}

#[tokio::test]
async fn lists_are_narrowed_by_their_filters_and_show_the_fields_that_are_asked_for() {
    let world = world_with(4).await;
    let reader = Reader::new(&world, "auditor").await;
    let job = "job-001";
    for (path, expected) in [
        ("jobs", 4),
        ("jobs?owner=dba", 2),
        ("jobs?owner=nobody", 0),
        ("jobs?tag=prod&active=true", 4),
        ("jobs?active=false", 0),
        ("jobs?target=disk-a&source=simulated", 4),
        ("jobs?source=files,reported", 0),
        ("executions", 16),
        ("executions?job=job-001", 4),
        ("executions?job=nobody", 0),
        ("executions?outcome=failed", 8),
        ("executions?outcome=failed,success&target=disk-a", 16),
        ("executions?kind=copy,verify", 0),
        ("executions?from=2000-01-01&to=2001-01-01", 0),
        ("executions?from=2000-01-01T00:00:00Z&to=2900-01-01T00:00:00%2B02:00", 16),
        ("restore-points?job=job-001", 3),
        ("restore-points?forgotten=true", 0),
        ("restore-points?job=job-001&sort=-data_time&reported=false", 3),
        ("evidence?job=job-001&kind=listing", 1),
        ("evidence?kind=lock", 0),
        ("verdicts", 20),
        ("verdicts?job=job-001", 5),
        ("verdicts?rule=0-errors", 4),
        ("verdicts?rule=0-errors,3-copies&owner=ops", 4),
        ("verdicts?compliant=true", 0),
        ("alerts?severity=warning&state=resolved&rule=worker_lost&job=job-001", 1),
        ("alerts?severity=critical&rule=worker_lost", 0),
        ("alerts?acknowledged=true", 0),
        ("dead-tasks", 4),
        ("dead-tasks?reason=lost", 0),
        ("dead-tasks?job=job-001&state=any", 1),
        ("dead-tasks?state=dropped,replayed", 0),
        ("workers?present=true", 3),
        ("workers?name=w1", 1),
        ("pools", 9),
        ("pools?state=paused", 0),
        ("schedules?kind=backup&job=job-001", 1),
        ("schedules?paused=true", 0),
        ("audit?subject=job", 4),
        ("audit?action=dance", 0),
        ("targets?state=attached&media=disk&site=hq", 1),
    ] {
        let items = reader.read(path).await["items"].as_array().unwrap().len();
        assert_eq!(items, expected, "{path}");
    }
    let slim = reader.read("jobs?fields=owner,name&limit=1").await;
    assert_eq!(slim["items"], json!([{ "name": "job-000", "owner": "ops" }]));
    let large = reader.read("executions?fields=detail&limit=1").await;
    assert_eq!(large["items"], json!([{ "detail": { "a": 1 } }]));
    assert!(reader.read("executions?limit=1").await["items"][0].get("detail").is_none());
    let whole = reader.read(&format!("jobs/{job}")).await;
    assert_eq!((&whole["name"], &whole["definition"]["owner"]), (&json!(job), &json!("dba")));
}

#[tokio::test]
async fn each_thing_is_found_by_what_its_list_calls_it_and_what_is_not_there_is_not() {
    let world = world_with(2).await;
    let reader = Reader::new(&world, "admin").await;
    for (list, key) in [
        ("alerts", "id"),
        ("audit", "id"),
        ("dead-tasks", "id"),
        ("evidence", "id"),
        ("executions", "id"),
        ("jobs", "name"),
        ("pools", "kind"),
        ("restore-points", "id"),
        ("schedules", "id"),
        ("targets", "name"),
        ("workers", "id"),
    ] {
        let page = reader.read(&format!("{list}?limit=1")).await;
        let keys = column(&page, key);
        let id = keys[0].as_str().map_or_else(|| keys[0].to_string(), str::to_owned);
        let found = reader.read(&format!("{list}/{id}")).await;
        for (field, value) in page["items"][0].as_object().unwrap() {
            assert_eq!(&found[field], value, "{list}: {field}");
        }
        let only = reader.read(&format!("{list}/{id}?fields={key}")).await;
        assert_eq!(only.as_object().unwrap().len(), 1, "{list}: {only}");
        for unknown in [
            "999999999",
            "nobody",
            "0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f",
            "%00",
            "0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f.1",
        ] {
            let answer = reader.get(&format!("{list}/{unknown}")).await;
            assert!(answer.problem(404).1.starts_with("there is no such"), "{list}/{unknown}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_named() {
    let world = World::new().await;
    let reader = Reader::new(&world, "viewer").await;
    for (path, field, why) in [
        ("jobs?limit=501", "limit", "from 1 to 500"),
        ("jobs?limit=x", "limit", "from 1 to 500"),
        ("jobs?fields=name,colour", "fields", "use name, owner"),
        ("jobs?sort=colour", "sort", "use name"),
        ("jobs?colour=blue", "colour", "use limit, after, sort, fields, owner"),
        ("jobs?owner=a&owner=b", "owner", "twice"),
        ("jobs?after=zzz", "after", "nothing that came as `next`"),
        ("executions?from=soon", "from", "no moment"),
        ("executions?from=2026-11-27&to=2026-11-26", "to", "is before from"),
        ("executions?task=17", "task", "no UUID"),
        ("executions?outcome=sad", "outcome", "use success"),
        ("alerts/1?limit=3", "limit", "use fields"),
        ("summary?limit=3", "limit", "nothing is asked for here"),
    ] {
        let answer = reader.get(path).await;
        let (fields, said) = answer.problem(400);
        assert!(fields == [field] && said.contains(why), "{path}: {answer:?}");
    }
    let long = reader.get(&format!("jobs?owner={}", "x".repeat(9_000))).await;
    assert!(long.problem(414).1.contains("8192 bytes"));
    reader.get("nothing").await.problem(404);
}
