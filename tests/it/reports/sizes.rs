//! Many jobs, and long words.

use harness::World;
use serde_json::{Value, json};

use super::{definitions, make, paper, save};

#[tokio::test]
async fn a_thousand_jobs_go_on_over_pages_each_with_its_title_its_number_and_the_head_of_the_list() {
    let world = World::new().await;
    let mut defined = definitions(&world, &[]);
    let jobs: Vec<Value> = (0..1000)
        .map(|number| {
            let mut job = world.simulated_job(&format!("job-{number:04}"), &["disk-a"], &json!({}));
            job["owner"] = json!(format!("team {}", number % 7));
            job
        })
        .collect();
    defined["jobs"] = json!(jobs);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    for kind in ["compliance", "monthly"] {
        let id = make(&world, &[&format!("report={kind}"), "period=current"]).await;
        let pages = paper(&world, &id).await;
        assert!(pages.len() > 10, "{kind}: {} pages", pages.len());
        let title = world.text(&format!("select title from report where id = '{id}'")).await.unwrap();
        for (place, page) in pages.iter().enumerate().skip(1) {
            assert!(page.contains(&title), "{kind}, page {}: {page}", place + 1);
            assert!(page.contains(&format!("page {} of {}", place + 1, pages.len())), "{kind}: {page}");
        }
        for page in &pages[2..8] {
            assert!(page.contains("Owner") && page.contains("Job"), "{kind}: {page}");
        }
        let words = pages.concat();
        assert!((0..1000).all(|number| words.contains(&format!("job-{number:04}"))), "{kind}");
    }
    let of_owner = make(&world, &["report=compliance", "owner=team 3"]).await;
    let content = save(&world, &of_owner, "csv").await;
    assert_eq!(csv::Reader::from_reader(content.as_slice()).records().count(), 143 * 5);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn long_names_and_other_scripts_are_broken_and_not_lost() {
    let world = World::new().await;
    let name = "a".repeat(30) + "." + &"b".repeat(32);
    let mut defined = definitions(&world, &[&name]);
    let owner = "Überlandleitungsbetriebsgesellschaft".repeat(5);
    defined["jobs"][0]["owner"] = json!(owner);
    world.apply(&defined).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let id = make(&world, &["report=compliance"]).await;
    let words: String = paper(&world, &id).await.concat().split_whitespace().collect();
    assert!(words.contains(&name) && words.contains(&owner), "{words}");
    let page = String::from_utf8(save(&world, &id, "html").await).unwrap();
    assert!(page.contains(&name) && page.contains(&owner));
    world.stop(worker).await;
    world.stop(producer).await;
}
