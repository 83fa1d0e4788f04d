//! Taking the third copy away: as a person who pulls out a cartridge, after the producer said that it may go.

use std::{fs, time::Duration};

use anyhow::Context as _;
use tokio::time::sleep;

use super::Target;
use crate::demo::{
    definitions::{VAULT, VAULT_MEDIUM},
    place::Place,
    programs::Programs,
    screen::Act,
};

/// How long each step of the detach may take; a listing takes seconds.
const WITHIN: &str = "10m";

/// Detaches the target, moves its repository out of reach, and waits until a worker could not reach it.
pub(super) async fn take_away(programs: &Programs, place: &Place) -> anyhow::Result<()> {
    let mut act = Act::begin("Taking away");
    act.tell(&format!("{VAULT}: a worker lists what it holds"));
    let detach = programs.run("producer", &["target", "detach", VAULT, "--timeout", WITHIN]);
    let hand = async {
        until_detached(programs).await?;
        let (medium, away) = (place.path(VAULT_MEDIUM), place.path("taken-away"));
        fs::rename(&medium, &away).with_context(|| format!("cannot take {} away", medium.display()))?;
        act.tell(&format!("{VAULT}: a worker tries to reach it"));
        // The detach alone ends this act, well or not.
        std::future::pending().await
    };
    tokio::select! {
        detached = detach => detached?,
        failed = hand => return failed,
    }
    act.done("Taken away", &format!("{VAULT}: no worker can reach it,"));
    Ok(())
}

async fn until_detached(programs: &Programs) -> anyhow::Result<()> {
    loop {
        let targets: Vec<Target> = programs.ask("producer", &["target", "list", "--json"]).await?;
        if targets.iter().any(|target| target.name == VAULT && target.state == "detached") {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
