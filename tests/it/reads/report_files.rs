//! Files of reports, downloaded as they were stored.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Reader, world_with};

#[tokio::test]
async fn the_file_of_a_report_is_what_its_hash_says_and_an_audit_report_is_not_for_everybody() {
    let world = world_with(1).await;
    let reader = Reader::new(&world, "viewer").await;
    let listed = reader.read("reports").await;
    let report = &listed["items"][0];
    let (id, hash) = (report["id"].as_str().unwrap(), report["files"][0]["sha256"].as_str().unwrap());
    assert_eq!(report["headline"], "all is well");
    let url = |id: &str, format: &str| format!("{}/api/v1/reports/{id}/{format}", reader.url);
    let http = reqwest::Client::new();
    let get = async |url: String, tag: Option<&str>| {
        let request = http.get(url).bearer_auth(&reader.token);
        tag.map_or(request.try_clone().unwrap(), |tag| request.header("if-none-match", tag))
            .send()
            .await
            .unwrap()
    };
    let answer = get(url(id, "html"), None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        answer.headers()["content-disposition"],
        "attachment; filename=\"holdfast-daily-2026-11-25.html\""
    );
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(hex::encode(Sha256::digest(answer.bytes().await.unwrap())), hash);
    assert_eq!(get(url(id, "html"), Some(&tag)).await.status(), 304);
    for wrong in
        [url(id, "pdf"), url(id, "exe"), url("nothing", "html"), url(&uuid::Uuid::nil().to_string(), "html")]
    {
        let answer = get(wrong.clone(), None).await;
        assert_eq!(answer.status(), 404, "{wrong}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["title"].is_string() || problem["detail"].is_string(), "{problem}");
    }

    world.execute("update report set kind = 'audit'").await;
    let listed = reader.read("reports?fields=headline,summary").await;
    assert_eq!(listed["items"][0], json!({ "headline": null, "summary": null }));
    assert_eq!(get(url(id, "html"), None).await.status(), 403);
    let auditor = crate::http::token(&world, "auditor", &["--role", "auditor", "--machine"]).await;
    let answer = http.get(url(id, "html")).bearer_auth(auditor).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn the_newest_report_without_an_id_is_the_newest_about_all_jobs() {
    let world = world_with(1).await;
    world
        .execute(
            "insert into report (id, kind, period_start, period_end, title, headline, summary, owner, task_id, created_at)
             select gen_random_uuid(), 'daily', '2026-11-25', '2026-11-26', 'about some', '', '', 'ops', gen_random_uuid(), now() + interval '1 hour';
             insert into report_file (report_id, format, sha256, content) select id, 'html', encode(sha256('some'), 'hex'), 'some' from report
             where owner = 'ops'",
        )
        .await;
    let run = world.run("reporter", ["report"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (0, "Daily report of job-000"), "{run:?}");
}
