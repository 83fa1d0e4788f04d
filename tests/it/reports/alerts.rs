//! Alerts in reports: counted truly whatever else is open, and named where they need attention.

use harness::World;
use serde_json::json;
use shared::alert::Severity;

use super::{definitions, facts, make, save, world_with};

/// What matters in some lines.
async fn summary(world: &World, id: &str) -> String {
    world.text(&format!("select summary from report where id = '{id}'")).await.unwrap()
}

async fn page(world: &World, id: &str) -> String {
    String::from_utf8(save(world, id, "html").await).unwrap()
}

#[tokio::test]
async fn alerts_are_counted_truly_and_those_of_a_job_are_found_among_sixty_others() {
    let world = world_with(&["docs", "mail"]).await;
    world.open_alert("docs", Severity::Warning, Some("docs")).await;
    for number in 0..60 {
        world.open_alert(&format!("usb-{number}"), Severity::Critical, None).await;
    }
    world
        .execute(
            "update alert set acknowledged_at = now(), acknowledged_by = 'ops' where subject in ('usb-0', 'usb-1')",
        )
        .await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));

    let of_job = make(&world, &["job=docs"]).await;
    let said = facts(&world, &of_job).await["alerts"].clone();
    let counts = json!({
        "open": { "critical": 0, "warning": 1, "info": 0 }, "acknowledged": { "critical": 0, "warning": 0, "info": 0 }
    });
    assert_eq!(said["counts"], counts);
    assert_eq!(said["open"].as_array().unwrap().len(), 1, "{said}");
    assert!(page(&world, &of_job).await.contains("open now: 1."));

    let of_all = make(&world, &[]).await;
    let said = facts(&world, &of_all).await["alerts"].clone();
    let counts = json!({
        "open": { "critical": 58, "warning": 1, "info": 0 }, "acknowledged": { "critical": 2, "warning": 0, "info": 0 }
    });
    assert_eq!(said["counts"], counts);
    assert_eq!(said["open"].as_array().unwrap().len(), 61, "all are in the facts");
    let words = page(&world, &of_all).await;
    assert!(words.contains("open now: 61, of which 2 are acknowledged."), "{words}");
    assert!(words.contains("And 11 more."), "what is not listed is not counted: {words}");
    // Two jobs were never judged, and one of them has an alert; eight things are named.
    let said = summary(&world, &of_all).await;
    assert!(said.contains(&format!("- and {} more", 2 + 58 - 8)), "{said}");

    let of_other = make(&world, &["job=mail"]).await;
    assert!(page(&world, &of_other).await.contains("open now: 0."));
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn an_alert_of_a_job_needs_attention_once_whether_or_not_the_job_is_well_otherwise() {
    let world = World::new().await;
    let mut defined = definitions(&world, &["docs", "mail"]);
    defined["jobs"][0]["exceptions"] = json!([
        { "rule": "1-isolated", "reason": "in spring", "owner": "it-lead", "until": "2999-12-31" }
    ]);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for job in ["docs", "mail"] {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", job, "--wait"]).await.code, 0);
    }
    world.wait_until_idle().await;
    let before = summary(&world, &make(&world, &[]).await).await;
    assert!(!before.contains(": docs (ops): "), "{before}");
    assert!(before.contains("- fails: mail (ops): 1-isolated: "), "{before}");

    world.open_alert("docs", Severity::Critical, Some("docs")).await;
    world.open_alert("docs/late", Severity::Warning, Some("docs")).await;
    world.open_alert("mail", Severity::Critical, Some("mail")).await;
    // It says what the job's answers say.
    world
        .execute(
            "insert into alert (cause, rule, severity, state, subject, job_id, group_key, summary, since, opened_at)
             select 'verdict_failing/' || name, 'verdict_failing', 'critical', 'open', name, id, 'g', name || ' breaks a rule', now(), now()
             from job",
        )
        .await;
    let id = make(&world, &[]).await;
    let said = summary(&world, &id).await;
    for line in [
        "- critical: docs (ops): the backup of docs failed, and 1 other alert\n",
        "; alert: the backup of mail failed\n",
    ] {
        assert!((said.clone() + "\n").contains(line), "{line}: {said}");
    }
    for once in [": docs (ops): ", ": mail (ops): ", "the backup of docs failed", "the backup of mail failed"]
    {
        assert_eq!(said.matches(once).count(), 1, "{once}: {said}");
    }
    assert!(!said.contains("breaks a rule"), "{said}");
    world.stop(worker).await;
    world.stop(producer).await;
}
