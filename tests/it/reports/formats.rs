//! Every kind in every format, from real work.

use harness::World;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{definitions, facts, hash, make, paper, save};

const KINDS: [&str; 5] = ["daily", "weekly", "monthly", "compliance", "audit"];

/// Two jobs, of which one has an owner who is after spreadsheets and pages.
async fn world_with_evil_words() -> World {
    let world = World::new().await;
    let mut definitions = definitions(&world, &["docs", "mail"]);
    definitions["jobs"][1]["owner"] = json!("=cmd()<script>alert(1)</script>");
    world.apply(&definitions).await;
    world
}

/// Reads a page as strictly as XML is read.
async fn assert_well_formed(path: &str) {
    let read = "import sys, xml.etree.ElementTree as tree; tree.parse(sys.argv[1])";
    let output = Command::new(devstack::tools::PYTHON).args(["-c", read, path]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn each_kind_is_made_in_each_format_and_what_is_saved_has_the_hash_that_is_stored() {
    let world = world_with_evil_words().await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for job in ["docs", "mail"] {
        assert_eq!(world.producer(&["enqueue", "backup", "--job", job, "--wait"]).await.code, 0);
    }
    world.wait_until_idle().await;
    for kind in KINDS {
        let id = make(&world, &[&format!("report={kind}"), "period=current"]).await;
        let shown = world.run("reporter", ["report", "show", &id, "--json"]).await.json();
        let files = shown["files"].as_array().unwrap();
        assert_eq!(files.len(), 4, "{shown}");
        for file in files {
            let content = save(&world, &id, file["format"].as_str().unwrap()).await;
            assert_eq!(file["sha256"], hash(&content), "{kind}");
            assert_eq!(file["bytes"], content.len(), "{kind}");
        }
        page(&world, kind, &id).await;
        let pages = paper(&world, &id).await;
        let last = pages.len();
        for (place, page) in pages.iter().enumerate() {
            assert!(page.contains(&format!("page {} of {last}", place + 1)), "{kind}: {page}");
        }
        if kind != "audit" {
            assert!(pages.concat().contains("docs") && pages.concat().contains("mail"), "{kind}: {pages:?}");
        }
        list(&world, kind, &id).await;
    }
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

async fn page(world: &World, kind: &str, id: &str) {
    let page = String::from_utf8(save(world, id, "html").await).unwrap();
    assert_well_formed(world.path(format!("report-{id}.html")).to_str().unwrap()).await;
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script", "<link", "<img"] {
        assert!(!page.contains(outside), "{kind}: {outside}");
    }
    if kind != "audit" {
        assert!(page.contains("=cmd()&#60;script&#62;"), "{kind}: the owner is not there");
    }
}

async fn list(world: &World, kind: &str, id: &str) {
    let content = save(world, id, "csv").await;
    let mut reader = csv::Reader::from_reader(content.as_slice());
    let headers = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    let expected = match kind {
        "compliance" => 2 * 5,
        // The definitions, and each task that was asked for so far.
        "audit" => usize::try_from(world.number("select count(*) from audit").await).unwrap(),
        _ => 2,
    };
    assert_eq!(rows.len(), expected, "{kind}");
    assert!(rows.iter().flatten().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{kind}: {rows:?}");
    if kind != "audit" {
        let owner = headers.iter().position(|name| name == "owner").unwrap();
        assert_eq!(&rows.last().unwrap()[owner], "'=cmd()<script>alert(1)</script>");
    }
}

#[tokio::test]
async fn a_system_without_anything_has_sensible_reports() {
    let world = World::new().await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for kind in KINDS {
        let id = make(&world, &[&format!("report={kind}")]).await;
        let shown = world.run("reporter", ["report", "show", &id, "--json"]).await.json();
        let headline = shown["headline"].as_str().unwrap();
        let expected = match kind {
            "compliance" => "There is no active job.",
            "audit" => ": nothing was changed by commands or over HTTP, and nothing was restored.",
            _ => "There is no active job. No backup was tried.",
        };
        if kind == "audit" {
            // With the days that it is about in front.
            assert!(
                headline.ends_with(expected)
                    && headline.starts_with(|first: char| first.is_ascii_alphanumeric()),
                "{headline}"
            );
        } else {
            assert_eq!(headline, expected, "{kind}");
        }
        assert!(paper(&world, &id).await.len() <= 2, "{kind}");
        page(&world, "audit", &id).await;
    }
    let listed = world.run("reporter", ["report", "list"]).await;
    assert!(KINDS.iter().all(|kind| listed.stdout.contains(kind)), "{listed:?}");
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn the_audit_names_who_did_what_and_what_was_restored() {
    let world = super::world_with(&["docs"]).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    assert_eq!(world.producer(&["token", "create", "erp", "--role", "operator"]).await.code, 0);
    assert_eq!(world.producer(&["enqueue", "backup", "--job", "docs", "--wait"]).await.code, 0);
    world.wait_until_idle().await;
    let restore = ["enqueue", "restore", "--job", "docs", "--param", "into=here", "--wait"];
    assert_eq!(world.producer(&restore).await.code, 0);
    let id = make(&world, &["report=audit", "period=current"]).await;
    let facts = facts(&world, &id).await;
    let done = |action: &str, subject: &str| {
        let changes = facts["changes"].as_array().unwrap();
        changes.iter().filter(|change| change["action"] == action && change["subject"] == subject).count()
    };
    assert_eq!((done("create", "token"), done("enqueue", "task")), (1, 3));
    let restores = facts["restores"].as_array().unwrap();
    assert_eq!((restores.len(), &restores[0]["requested_by"]), (1, &json!("cli")));
    let before =
        world.number("select count(*) from audit where at < (select min(created_at) from report)").await;
    assert_eq!(facts["changes_total"], Value::from(before));
    // The period before has nothing of it.
    let earlier = make(&world, &["report=audit"]).await;
    assert_eq!(super::facts(&world, &earlier).await["changes_total"], 0);
    assert!(paper(&world, &id).await.concat().contains("token erp"));
    world.stop(worker).await;
    world.stop(producer).await;
}
