//! T8: the database's disk is full, and then is not any more.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use devstack::{Options, Service};
use serde_json::json;
use shared::task::{Priority, TaskKind};
use shared::topology;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::arena::{Arena, Findings, OwnServers, until};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Room for a cluster with its template and a minute's log, and not for much more.
const DISK: &str = "320m";
/// What a worker says when the database takes nothing.
const PAUSED: [&str; 2] = ["the database did not take a batch", "heartbeat failed"];
/// How long a step may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let disk = Disk::mount()?;
    let options = Options {
        postgres_directory: Some(disk.path.clone()),
        postgres_settings: "max_wal_size = '64MB'\nmin_wal_size = '32MB'\n".to_owned(),
        ..Options::default()
    };
    let mut own = OwnServers::start(options, screen).await?;
    let arena = Arena::on(&own.servers(), "T8", form, screen).await;
    arena.define([("short".to_owned(), json!({}))]).await;
    let producer = arena.producer(&[]);
    let mut workers = start(&arena, "first");

    let (over, published) = (CancellationToken::new(), CancellationToken::new());
    let publishing = async {
        arena.load.steady(form.pick(50.0, 200.0), usize::MAX, &over, |_| restore("short")).await;
        published.cancel();
    };
    let breaking = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        arena.mark("short", LIMIT).await;
        arena.tell("filling the disk");
        let ballast = disk.fill()?;
        arena.injected();
        until("claims pause", LIMIT, async || {
            workers.iter().any(|worker| PAUSED.iter().any(|word| worker.log().contains(word))).then_some(())
        })
        .await;
        arena.tell("the disk is full");
        // The fault itself takes its time.
        tokio::time::sleep(form.seconds(5, 60)).await;

        // Nothing moves while both sides are counted: what was acknowledged has to be in the database.
        over.cancel();
        published.cancelled().await;
        for worker in &mut workers {
            worker.kill().await?;
        }
        let confirmed = arena.load.confirmed();
        let held = messages(&arena).await;
        std::fs::remove_file(ballast)?;
        if own.stack.postgres.exit()?.is_some() {
            own.stack.postgres.restart().await?;
        }
        let known = until("the database answers", LIMIT, async || arena.known(&confirmed).await).await;
        workers = start(&arena, "second");
        let recovery = arena.mark("short", LIMIT).await;
        anyhow::Ok((confirmed.len(), held, known, recovery))
    };
    let ((), counted) = tokio::join!(publishing, breaking);
    let (confirmed, held, known, recovery) = counted?;
    arena.drain().await;

    let findings = Findings {
        load: format!("{} tasks/s", form.pick(50, 200)),
        recovery: Some(recovery),
        bars: vec![
            bar(true, "claims paused"),
            bar(
                held + known >= confirmed,
                format!(
                    "nothing was acknowledged before its commit: {confirmed} confirmed, {known} in the database, {held} in the broker"
                ),
            ),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    own.discard().await?;
    drop(disk);
    report
}

fn start(arena: &Arena, name: &str) -> Vec<Service> {
    (0..2).map(|number| arena.worker(&format!("{name}{number}"), &[])).collect()
}

/// The messages in the tasks' queue, once what its dead consumers had has returned to it.
async fn messages(arena: &Arena) -> usize {
    let queue = topology::queue(TaskKind::Restore, Priority::Normal);
    let ready = until("the queue has no consumers", LIMIT, async || {
        let (ready, consumers) = arena.world.broker.count(&queue).await;
        (consumers == 0).then_some(ready)
    });
    usize::try_from(ready.await).unwrap_or(usize::MAX)
}

/// A small file system in memory.
struct Disk {
    path: PathBuf,
    _directory: TempDir,
}

impl Disk {
    fn mount() -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a full disk needs a file system that may be filled, and only root can mount one: run this fault as root"
        );
        let directory = tempfile::Builder::new().prefix("holdfast-disk-").tempdir()?;
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let path = directory.path().join("disk");
        std::fs::create_dir(&path)?;
        command("mount", &["-t", "tmpfs", "-o", &format!("size={DISK},mode=0755"), "holdfast"], &path)?;
        Ok(Self { path, _directory: directory })
    }

    /// Writes until nothing fits any more; returns the file to remove.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("ballast");
        let mut ballast = OpenOptions::new().create_new(true).write(true).open(&path)?;
        for size in [1024 * 1024, 4096] {
            let block = vec![0x5A; size];
            while ballast.write_all(&block).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while a server still has files open there.
        if let Err(error) = command("umount", &["--lazy"], &self.path) {
            eprintln!("{error:#}");
        }
    }
}

fn command(program: &str, arguments: &[&str], path: &Path) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).arg(path).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {said}", path.display());
    Ok(())
}
