//! Jobs and targets over HTTP: the same plan as that of `producer apply`, one definition at a time.

use harness::World;
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Client};

async fn world_with_a_target() -> World {
    let world = World::new().await;
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))] })).await;
    world
}

fn job(world: &World) -> Value {
    let mut job = world.simulated_job("docs", &["disk-a"], &json!({}));
    job.as_object_mut().unwrap().remove("name");
    job
}

async fn with(
    client: &Client,
    method: Method,
    path: &str,
    header: (&str, &str),
    body: Option<&Value>,
) -> Answer {
    client.send_with(method, path, &[header], body).await
}

#[tokio::test]
async fn a_job_is_created_changed_and_taken_away_and_nobodys_change_is_overwritten_unseen() {
    let world = world_with_a_target().await;
    let client = Client::new(&world, "admin").await;
    let mut job = job(&world);
    job["rpo"] = json!("26h");
    let created = with(&client, Method::PUT, "jobs/docs", ("If-None-Match", "*"), Some(&job)).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.headers["location"], "/api/v1/jobs/docs");
    assert_eq!(created.body["definition"]["rpo"], "26h");
    let rules: Vec<&str> =
        created.body["warnings"].as_array().unwrap().iter().map(|w| w["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"3-copies"), "one target makes two copies: {created:?}");
    let tag = created.headers["etag"].to_str().unwrap().to_owned();

    let again = with(&client, Method::PUT, "jobs/docs", ("If-None-Match", "*"), Some(&job)).await;
    assert_eq!(again.problem(412).1, "it is there already");
    let unconditional = client.send(Method::PUT, "jobs/docs", Some(&job)).await;
    assert!(unconditional.problem(428).1.contains("send If-Match"));
    assert_eq!(unconditional.headers["etag"], tag);
    job["rpo"] = json!("12h");
    let changed = with(&client, Method::PUT, "jobs/docs", ("If-Match", &tag), Some(&job)).await;
    assert_eq!((changed.status, &changed.body["definition"]["rpo"]), (200, &json!("12h")), "{changed:?}");
    let late = with(&client, Method::PUT, "jobs/docs", ("If-Match", &tag), Some(&job)).await;
    assert_eq!(late.problem(412).1, "it was changed meanwhile: its ETag is another");
    assert_eq!(late.headers["etag"], changed.headers["etag"], "the answer says which one");
    let audit = "select count(*) from audit where subject = 'job' and name = 'docs' and action = 'change'
         and before ->> 'rpo' = '26h' and after ->> 'rpo' = '12h' and actor = 'erp'";
    assert_eq!(world.number(audit).await, 1);

    let unseen = client.send(Method::DELETE, "jobs/docs", None).await;
    assert!(unseen.problem(428).1.contains("send If-Match"));
    assert_eq!(with(&client, Method::DELETE, "jobs/docs", ("If-Match", &tag), None).await.status, 412);
    let tag = changed.headers["etag"].to_str().unwrap();
    assert_eq!(with(&client, Method::DELETE, "jobs/docs", ("If-Match", tag), None).await.status, 204);
    let gone = with(&client, Method::DELETE, "jobs/docs", ("If-Match", "*"), None).await;
    assert_eq!(gone.problem(404).1, "no job is named \"docs\"");
    let task = json!({ "kind": "backup", "job": "docs" });
    assert!(client.send(Method::POST, "tasks", Some(&task)).await.problem(404).1.contains("no job is named"));
}

#[tokio::test]
async fn a_target_is_taken_away_only_when_no_job_uses_it() {
    let world = world_with_a_target().await;
    let client = Client::new(&world, "admin").await;
    let mut vault = world.target("vault", &json!({ "limits": { "concurrency": 2 } }));
    let created = client.send(Method::PUT, "targets/vault", Some(&vault)).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!(created.body["definition"]["limits"]["concurrency"], 2);
    vault["site"] = json!("bunker");
    let changed = with(&client, Method::PUT, "targets/vault", ("If-Match", "*"), Some(&vault)).await;
    assert_eq!((changed.status, &changed.body["definition"]["site"]), (200, &json!("bunker")));

    assert_eq!(client.send(Method::PUT, "jobs/docs", Some(&job(&world))).await.status, 201);
    let used = with(&client, Method::DELETE, "targets/disk-a", ("If-Match", "*"), None).await;
    used.problem(409);
    assert!(used.body["errors"][0]["detail"].as_str().unwrap().contains("docs"), "{used:?}");
    assert_eq!(with(&client, Method::DELETE, "targets/vault", ("If-Match", "*"), None).await.status, 204);
    assert_eq!(world.number("select count(*) from limit_setting").await, 0);
}

#[tokio::test]
async fn each_wrong_field_of_a_definition_is_named() {
    let world = world_with_a_target().await;
    let client = Client::new(&world, "admin").await;
    let mut wrong = job(&world);
    wrong["rpo"] = json!(5);
    wrong["targets"] = json!(["nowhere"]);
    wrong["colour"] = json!("red");
    let answer = client.send(Method::PUT, "jobs/docs", Some(&wrong)).await;
    let mut fields = answer.problem(422).0;
    fields.sort_unstable();
    assert_eq!(fields, ["colour", "rpo", "targets"], "{answer:?}");
    let mut other = job(&world);
    other["name"] = json!("mail");
    assert_eq!(client.send(Method::PUT, "jobs/docs", Some(&other)).await.problem(422).0, ["name"]);
    let unnameable = client.send(Method::PUT, "jobs/a%2Fb", Some(&job(&world))).await;
    assert_eq!(unnameable.problem(422).0, ["name"]);
    assert_eq!(world.number("select count(*) from job").await, 0);
}
