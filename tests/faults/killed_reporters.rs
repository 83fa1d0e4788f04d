//! rollups: three reporters, of which one rolls up, are killed and stopped at random while attempts are recorded.

use std::time::Duration;

use devstack::Service;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::form::Form;
use super::killed_producers::leader;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

const REPORTERS: usize = 3;
/// How long a stopped leader is stopped: longer than it may lead without a word.
const STOPPED: Duration = Duration::from_secs(7);
/// How long it may take until somebody leads again, and all is rolled up.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (blows, rhythm, rate) = form.pick((4, 2.0..=3.0, 200.0), (40, 3.0..=10.0, 300.0));
    let arena = Arena::bare(servers, "rollups", form, screen).await;
    arena.define([("short".to_owned(), json!({ "duration": "0s" }))]).await;
    let (producer, worker) = (arena.producer(&[]), arena.worker("w1", &[]));
    let mut reporters: Vec<Service> = (0..REPORTERS).map(|number| start(&arena, number, 0)).collect();

    let struck = CancellationToken::new();
    let publishing = arena.load.steady(rate, usize::MAX, &struck, |_| restore("short"));
    let striking = async {
        for round in 1..=blows {
            tokio::time::sleep(Duration::from_secs_f64(rand::random_range(rhythm.clone()))).await;
            // A leader each other time at least.
            let victim = if round % 2 == 0 { leader(&reporters) } else { rand::random_range(0..REPORTERS) };
            if round % 4 == 0 {
                arena.tell("a leader hangs");
                reporters[victim].pause()?;
                tokio::time::sleep(STOPPED).await;
                reporters[victim].resume()?;
            } else {
                arena.tell("killing reporters");
                reporters[victim].kill().await?;
                reporters[victim] = start(&arena, victim, round);
            }
            arena.injected();
        }
        struck.cancel();
        anyhow::Ok(())
    };
    let ((), struck) = tokio::join!(publishing, striking);
    struck?;
    arena.drain().await;
    let behind = "select count(*) from execution where xact >= (select xact from rollup_state)";
    arena.until_number("the reporters have rolled all up", LIMIT, behind, 0).await;

    let terms = arena.number("select coalesce(max(term), 0) from leader where role = 'reporter'").await;
    let terms = terms.unwrap_or_default();
    let differences = arena.world.run("reporter", ["rollup", "check"]).await;
    let findings = Findings {
        load: format!("{rate} attempts a second, {REPORTERS} reporters, {terms} terms"),
        recovery: None,
        bars: vec![
            bar(differences.code == 0, format!("I9: rollups equal a recount: {}", differences.stdout.trim())),
            bar(terms > 1, "the lead changed hands"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, worker, reporters));
    report
}

fn start(arena: &Arena, number: usize, round: usize) -> Service {
    let settings = [("HOLDFAST_LISTEN", "127.0.0.1:0"), ("HOLDFAST_REFRESH", "100ms")];
    arena.world.start("reporter", &format!("reporter-{number}-{round}"), &settings)
}
