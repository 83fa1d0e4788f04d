//! T3: the broker vanishes behind a network that answers nothing and hangs up nothing, while long tasks run.

use std::time::Duration;

use devstack::proxy::Mode;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Runs the scenario.
pub(super) async fn run(servers: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (tasks, takes) = form.pick((6_usize, "10s"), (40, "90s"));
    let hole = form.seconds(7, 60);
    let mut arena = Arena::on(servers, "T3", form, screen).await;
    let jobs = [("long", json!({ "duration": takes })), ("short", json!({}))];
    arena.define(jobs.map(|(name, source)| (name.to_owned(), source))).await;
    let proxy = arena.broker_behind_a_proxy().await;
    let producer = arena.producer(&[]);
    let workers: Vec<_> = (0..2).map(|number| arena.worker(&format!("w{number}"), &[])).collect();

    arena.load.publish_all(vec![restore("long"); tasks]).await;
    let running = i64::try_from(tasks)?;
    arena.until_number("all run", Duration::from_mins(1), "select count(*) from lease", running).await;
    proxy.set(Mode::BlackHole);
    arena.injected();
    arena.tell("the broker is in a black hole");
    // Others reach the broker: what they publish meanwhile waits in it.
    let over = CancellationToken::new();
    let publishing = arena.load.steady(5.0, usize::MAX, &over, |_| restore("short"));
    let passing = async {
        // The fault itself takes its time.
        tokio::time::sleep(hole).await;
        over.cancel();
    };
    tokio::join!(publishing, passing);
    let running = arena.number("select count(*) from lease where lease_until > now()").await;
    proxy.set(Mode::Pass);
    arena.tell("the broker is back");
    let recovery = arena.mark("short", Duration::from_mins(3)).await;
    arena.drain().await;

    let again = "select count(*) from execution where attempt > 1 or epoch > 1 or outcome <> 'success'";
    let again = arena.number(again).await.unwrap_or(-1);
    let findings = Findings {
        load: format!("{tasks} tasks of {takes}"),
        recovery: Some(recovery),
        bars: vec![
            bar(again == 0, format!("{again} tasks needed another attempt")),
            bar(running == i64::try_from(tasks).ok(), "the long tasks outlasted the black hole"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers, proxy));
    report
}
