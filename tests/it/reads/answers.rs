//! Answers: what is not said again, how it is packed, and who gets any.

use harness::{World, eventually};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{LISTS, Reader, world_with};
use crate::http::token;

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again_and_what_has_is_at_once() {
    let world = world_with(3).await;
    let reader = Reader::new(&world, "viewer").await;
    let first = reader.get("jobs").await;
    let known = tag(&first.headers);
    let again = reader.get_with("jobs", &[("If-None-Match", &known)]).await;
    assert_eq!((again.status, &again.body), (304, &Value::Null));
    assert_eq!(tag(&again.headers), known);
    let other = reader.get_with("jobs?limit=2", &[("If-None-Match", &known)]).await;
    assert_eq!(other.status, 200);

    let mut job = world.simulated_job("job-000", &["disk-a"], &json!({}));
    job["owner"] = json!("somebody else");
    world.apply(&json!({ "jobs": [job] })).await;
    let changed = reader.get_with("jobs", &[("If-None-Match", &known)]).await;
    assert_eq!((changed.status, &changed.body["items"][0]["owner"]), (200, &json!("somebody else")));
    assert_ne!(tag(&changed.headers), known);
}

#[tokio::test]
async fn answers_are_packed_as_whoever_asks_likes_and_not_where_they_are_small() {
    let world = world_with(20).await;
    let reader = Reader::new(&world, "viewer").await;
    let length = reader.read("jobs").await.to_string().len();
    for packing in ["gzip", "br", "zstd"] {
        let request =
            reqwest::Client::new().get(format!("{}/api/v1/jobs", reader.url)).bearer_auth(&reader.token);
        let answer = request.header("Accept-Encoding", packing).send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], packing);
        assert!(answer.headers()["vary"].to_str().unwrap().to_lowercase().contains("accept-encoding"));
        let bytes = answer.bytes().await.unwrap().len();
        assert!(bytes * 4 < length, "{packing}: {bytes} of {length}");
    }
    let plain = reader.get("jobs").await;
    assert!(!plain.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn viewers_read_everything_but_who_changed_what_and_nobody_without_a_token_reads_anything() {
    let world = world_with(1).await;
    let mut reader = Reader::new(&world, "viewer").await;
    for list in LISTS {
        let answer = reader.get(list).await;
        if list == "audit" {
            assert_eq!(answer.problem(403).1, "the token \"portal\" has the role viewer, auditor is needed");
        } else {
            assert_eq!(answer.status, 200, "{list}: {answer:?}");
        }
    }
    reader.get("audit/1").await.problem(403);
    reader.token = token(&world, "auditor", &["--role", "auditor"]).await;
    let whole = reader.read("audit?fields=action,name,after&subject=job").await;
    assert_eq!(whole["items"][0]["after"]["owner"], "ops");
    reader.token.replace_range(reader.token.len() - 4.., "0000");
    let denied = reader.get("jobs").await;
    assert_eq!(denied.problem(401).1, "the token is not good: it is unknown, revoked or expired");
    assert_eq!(denied.headers["www-authenticate"], "Bearer realm=\"holdfast\"");
    let none = reqwest::get(format!("{}/api/v1/summary", reader.url)).await.unwrap();
    assert_eq!(none.status(), 401);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_good_for_some_seconds_and_a_wrong_one_is_locked_out() {
    let world = World::new().await;
    let mut reader = Reader::new(&world, "viewer").await;
    reader.read("jobs").await;
    assert_eq!(world.producer(&["token", "revoke", "portal"]).await.code, 0);
    eventually("the token is forgotten", async || (reader.get("jobs").await.status == 401).then_some(()))
        .await;
    let good = token(&world, "other", &["--role", "viewer"]).await;
    let (id, _) = good.rsplit_once('_').unwrap();
    for _ in 0..10 {
        reader.token = format!("{id}_{}", "0".repeat(64));
        reader.get("jobs").await.problem(401);
    }
    assert_eq!(reader.by(good).get("jobs").await.problem(429).1, "too many requests with a wrong token");

    // Who is known already is not locked out by somebody who guesses.
    let known = reader.by(token(&world, "known", &["--role", "viewer"]).await);
    known.read("jobs").await;
    let (id, _) = known.token.rsplit_once('_').unwrap();
    let guesses = reader.by(format!("{id}_{}", "0".repeat(64)));
    for _ in 0..10 {
        guesses.get("jobs").await;
    }
    assert_eq!(guesses.get("jobs").await.status, 429);
    known.read("jobs").await;
}

#[tokio::test]
async fn no_answer_holds_where_secrets_are_or_what_they_are() {
    let world = world_with(2).await;
    let reader = Reader::new(&world, "admin").await;
    let stored = world.text("select encode(secret_sha256, 'hex') from api_token").await.unwrap();
    let password = world.path("password").display().to_string();
    for list in LISTS.iter().filter(|list| **list != "audit") {
        let all = reader.read(list).await["items"].as_array().unwrap().clone();
        for item in all {
            let text = item.to_string();
            assert!(
                !text.contains("hf_") && !text.contains(&stored) && !text.contains(&password),
                "{list}: {text}"
            );
        }
    }
    let audit = reader.read("audit?fields=name,before,after").await.to_string();
    assert!(!audit.contains("hf_") && !audit.contains(&stored) && !audit.contains("correct horse"));
}
