//! How many statements a request makes: as many for two hundred jobs as for one.

use std::collections::BTreeMap;

use harness::{World, metrics};
use secrecy::ExposeSecret as _;
use shared::access::{Bearer, Holder, Role};
use shared::db::api_token::{self, New};

use super::{LISTS, Reader, column, warmed, world_with};

/// What the key of one thing is called in its path.
fn key(list: &str) -> &'static str {
    match list {
        "jobs" | "targets" => "name",
        "pools" => "kind",
        _ => "id",
    }
}

/// Each route with the statements of a request that finds nothing kept: one for its token, one for the version where there is one, and one
/// for the page.
fn expected() -> BTreeMap<String, f64> {
    let counted = ["alerts", "jobs", "reports", "schedules", "targets"];
    let mut expected = BTreeMap::from([("/api/v1/summary".to_owned(), 11.0)]);
    for list in LISTS {
        let statements = if counted.contains(&list) { 3.0 } else { 2.0 };
        expected.insert(format!("/api/v1/{list}"), statements);
        if list != "verdicts" {
            expected.insert(format!("/api/v1/{list}/{{{}}}", key(list)), statements);
        }
    }
    expected
}

async fn statements(reader: &Reader, route: &str) -> f64 {
    let name = format!("holdfast_http_statements_total{{route=\"{route}\"}}");
    metrics(&reader.url).await.get(&name).copied().unwrap_or_default()
}

/// Somebody whose token is not remembered, as it may have been forgotten at any moment.
async fn somebody_new(world: &World, reader: &Reader) -> Reader {
    let bearer = Bearer::generate();
    let name = bearer.id.to_string();
    let new =
        New { name: &name, role: Role::Auditor, holder: Holder::Machine, expires_at: None, by: "tests" };
    assert!(api_token::insert(&world.database.client().await.unwrap(), &bearer, &new).await.unwrap());
    reader.by(bearer.expose().expose_secret().to_owned())
}

async fn measured(jobs: usize) -> BTreeMap<String, f64> {
    let world = world_with(jobs).await;
    let reader = Reader::with(&world, "auditor", &[("HOLDFAST_CACHE_TTL_SUMMARY", "0s")]).await;
    warmed(&reader).await;
    let mut measured = BTreeMap::new();
    let summary = "/api/v1/summary".to_owned();
    let before = statements(&reader, &summary).await;
    somebody_new(&world, &reader).await.read("summary").await;
    measured.insert(summary.clone(), statements(&reader, &summary).await - before);
    for list in LISTS {
        let route = format!("/api/v1/{list}");
        let before = statements(&reader, &route).await;
        // Nobody has asked for so many.
        let page = somebody_new(&world, &reader).await.read(&format!("{list}?limit=499")).await;
        measured.insert(route.clone(), statements(&reader, &route).await - before);
        let rows = page["items"].as_array().unwrap().len();
        assert!(
            rows >= jobs.min(499) || ["audit", "pools", "targets", "workers"].contains(&list),
            "{list}: {rows}"
        );
        if list == "verdicts" {
            continue;
        }
        let id = column(&page, key(list))[0].clone();
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let route = format!("{route}/{{{}}}", key(list));
        let before = statements(&reader, &route).await;
        somebody_new(&world, &reader).await.read(&format!("{list}/{id}")).await;
        measured.insert(route.clone(), statements(&reader, &route).await - before);
    }
    measured
}

#[tokio::test]
async fn a_request_makes_as_many_statements_for_two_hundred_jobs_as_for_one() {
    let (one, many) = tokio::join!(measured(1), measured(200));
    assert_eq!(one, expected());
    assert_eq!(many, expected());
}

#[tokio::test]
async fn what_is_kept_costs_no_statement_but_the_look_for_its_version() {
    let world = world_with(3).await;
    let settings = [("HOLDFAST_CACHE_TTL_EXECUTIONS", "10m")];
    let reader = Reader::with(&world, "viewer", &settings).await;
    warmed(&reader).await;
    let about_a_job = ["evidence", "restore-points", "verdicts"].map(|list| (list, "?job=job-001", 10.0));
    for (list, query, expected) in
        [("jobs", "", 10.0), ("executions", "", 0.0)].into_iter().chain(about_a_job)
    {
        let (route, path) = (format!("/api/v1/{list}"), format!("{list}{query}"));
        let empty = statements(&reader, &route).await;
        assert_ne!(reader.read(&path).await["items"], serde_json::json!([]), "{path}");
        let before = statements(&reader, &route).await;
        assert!(before - empty <= 2.0, "{path}: {}", before - empty);
        for _ in 0..10 {
            reader.read(&path).await;
        }
        let after = statements(&reader, &route).await;
        assert!((after - before - expected).abs() < 1e-9, "{path}: {}", after - before);
    }
    let kept = metrics(&reader.url).await;
    let hits = kept[r#"holdfast_cache_requests_total{entity="jobs",tier="memory",result="hit"}"#];
    assert!(hits >= 10.0, "{hits}");
}
