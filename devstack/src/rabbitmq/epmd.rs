//! Erlang's port mapper.

use std::time::Duration;

use anyhow::Context as _;

use super::Failure;
use crate::{
    group::Group,
    home::Home,
    launch::{Launch, Parting},
    probe::listens,
    servers::find_epmd,
};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// An `epmd` for one node.
///
/// Left to itself Erlang starts one as a daemon for the whole machine, on port 4369 and for good. This one
/// is a child like any other, and the node is told not to start one (`-start_epmd false`).
#[derive(Debug)]
pub(super) struct Epmd(Group);

impl Epmd {
    pub(super) async fn start(home: &Home, port: u16) -> Result<Self, Failure> {
        let program = find_epmd().context("`epmd`, which comes with Erlang, is not in PATH")?;
        let mut command = home.command(&program);
        command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
        let epmd = Group::start(Launch {
            name: "epmd".to_owned(),
            command,
            bare: true,
            account: Some(home.account()),
            input: None,
            log: home.log("epmd"),
            record: Some(home.record("epmd")),
            parting: Parting::Kill,
        })?;
        epmd.wait_until(READY_WITHIN, async || listens(port).await)
            .await
            .map_err(|error| Failure::of(error, &epmd.output()))?;
        Ok(Self(epmd))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.0.exit(), Ok(None))
    }

    pub(super) async fn end(self) -> anyhow::Result<()> {
        // It has nothing to lose, and refuses to be asked while a node is registered.
        self.0.kill().await.map(drop)
    }
}
