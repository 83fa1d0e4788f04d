//! `cargo xtask demo`: everything Holdfast does, once, from an empty machine to five verdicts.

mod place;
mod source;

mod definitions;
mod programs;
mod services;
mod status;

mod acts;
mod compare;
mod tree;

mod facts;
mod tables;

mod early;
mod figures;
mod screen;
mod thread;

use std::{
    path::{Path, PathBuf, absolute},
    process::ExitCode,
    time::Instant,
};

use anyhow::Context as _;
use devstack::{Claim, Options, Progress, Stack};

use crate::{cargo::Cargo, checkout, report::step, setup, stopped::Stop};
use early::{Early, unless_stopped};
use facts::Facts;
use place::Place;
use programs::Programs;
use services::Services;
use source::Source;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory to back up [default: a copy of this repository's tracked files]
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Stop everything at the end; exit with 0 only if the restored files equal the source and all five
    /// verdicts pass
    #[arg(long)]
    once: bool,
    /// Also write what the tables show to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match play(arguments).await {
        Ok(code) | Err(Early::Exit(code)) => Ok(code),
        Err(Early::Failed(error)) => Err(error),
    }
}

async fn play(arguments: Arguments) -> Result<ExitCode, Early> {
    let mut stop = Stop::listen()?;
    let began = Instant::now();
    let root = checkout::root()?;
    let (claim, _) = Claim::first_free(&checkout::servers(&root), "demo")?;
    let place = Place::at(claim.directory());
    let source = Source::choose(arguments.source.as_deref(), &root, &place).map_err(Early::refused)?;
    let json = arguments.json.map(|file| writable(&file)).transpose().map_err(Early::refused)?;
    if let Some(code) = setup::ensure()? {
        return Err(Early::Exit(code));
    }
    build(&root, &mut stop).await?;
    place.prepare()?;
    unless_stopped(&mut stop, source.prepare()).await?;
    let options = Options { fresh: true, progress: Progress::Shown, ..Options::default() };
    let stack = unless_stopped(&mut stop, Stack::start_in(claim, options)).await?;
    let demo =
        Demo { programs: Programs::new(&place, &stack), place, source, stack, json, once: arguments.once };
    let shown = demo.show(&mut stop, began).await;
    demo.close(shown).await
}

/// Tests start the services too, from the same build: another selection of packages would build them again,
/// with other features.
async fn build(root: &Path, stop: &mut Stop) -> Result<(), Early> {
    let mut arguments = vec!["build", "--workspace", "--bins"];
    if !cfg!(debug_assertions) {
        arguments.push("--release");
    }
    let mut cargo = Cargo { root: root.to_owned(), stop };
    match cargo.run("Building", "the services", &arguments, &[]).await? {
        Some(code) => Err(Early::Exit(code)),
        None => Ok(()),
    }
}

/// The file's absolute path. Errors: its directory does not exist, which must not turn out at the end.
fn writable(file: &Path) -> anyhow::Result<PathBuf> {
    let file = absolute(file)?;
    let directory = file.parent().context("--json: this is no file")?;
    anyhow::ensure!(directory.is_dir(), "--json: there is no directory {}", directory.display());
    Ok(file)
}

struct Demo {
    place: Place,
    source: Source,
    programs: Programs,
    stack: Stack,
    json: Option<PathBuf>,
    once: bool,
}

impl Demo {
    /// Plays all acts; whatever comes of it, no service runs afterwards. Tells whether everything is well.
    async fn show(&self, stop: &mut Stop, began: Instant) -> Result<bool, Early> {
        let services = unless_stopped(stop, Services::start(&self.programs, &self.place)).await?;
        let shown = tokio::select! {
            biased;
            code = stop.asked() => Err(Early::Exit(code)),
            error = services.unexpected_end(&self.stack) => Err(error.into()),
            shown = self.acts(began) => shown.map_err(Early::from),
        };
        let shown = match shown {
            Ok(well) if !self.once => self.stay(stop, &services).await.map(|()| well),
            shown => shown,
        };
        step("Stopping", "services and servers");
        services.stop().await?;
        shown
    }

    async fn acts(&self, began: Instant) -> anyhow::Result<bool> {
        let mut facts = acts::play(&self.programs, &self.place, &self.source).await?;
        facts.seconds = began.elapsed().as_secs_f64();
        tables::print(&facts);
        self.write(&facts)?;
        Ok(facts.all_is_well())
    }

    fn write(&self, facts: &Facts) -> anyhow::Result<()> {
        let Some(file) = &self.json else { return Ok(()) };
        let text = serde_json::to_string_pretty(&facts.json())? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Leaves everything running for a person to look around, until asked to stop.
    async fn stay(&self, stop: &mut Stop, services: &Services) -> Result<(), Early> {
        println!();
        for (name, value) in [
            ("DATABASE_URL", self.stack.postgres.url()),
            ("AMQP_URL", self.stack.rabbitmq.url()),
            ("RabbitMQ", self.stack.rabbitmq.management_url()),
            ("metrics", format!("{}/metrics", services.reporter_url)),
            ("files", self.place.directory().display().to_string()),
        ] {
            println!("{name:<12} {value}");
        }
        println!("\nPress Ctrl-C to stop");
        tokio::select! {
            _ = stop.asked() => Ok(()),
            error = services.unexpected_end(&self.stack) => Err(error.into()),
        }
    }

    /// Stops the servers, and removes what nobody will look at.
    async fn close(self, shown: Result<bool, Early>) -> Result<ExitCode, Early> {
        if matches!(shown, Ok(true)) && self.once {
            self.stack.discard().await?;
            self.place.remove_data()?;
            return Ok(ExitCode::SUCCESS);
        }
        self.stack.stop().await?;
        step("Kept", &self.place.directory().display().to_string());
        let well = shown?;
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
