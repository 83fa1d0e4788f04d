//! Backups of real files through Holdfast, by `rustic_core` alone, and by the `restic` command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use shared::task::TaskKind;

use crate::backups::{Alone, Content, Data, Definitions, Restic, Shape, password_file};
use crate::measure::{Spread, number};
use crate::report::{Report, Table};
use crate::system::{Books, Fleet, Layout, Servers, producer};

/// The `files` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Files {
    /// Small files, of 1 to 8 KiB
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    small: u32,
    /// Large files
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    large: u32,
    /// The size of each large file, in MiB
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mebibytes: u32,
    /// Rounds of all three, in turn, after one to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

/// One round: seconds of one backup of the same data by each.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    /// From the command that asks for it to the command's end.
    holdfast: f64,
    /// From the claim of the task to its record.
    task: f64,
    /// Of that, the engine's process.
    engine: f64,
    rustic_core: f64,
    restic: f64,
}

/// The backups of one kind.
struct Case {
    data: &'static str,
    pass: &'static str,
    runs: Vec<Run>,
}

/// Where the repositories of a round are.
struct Round<'a> {
    directory: PathBuf,
    label: String,
    data: &'a Data,
}

/// What all rounds use.
struct Bench<'a> {
    servers: &'a Servers,
    fleet: Fleet,
    books: Books,
    restic: Restic,
    password_file: PathBuf,
    first: PathBuf,
}

impl Files {
    /// Runs the scenario; fails if the three did not save the same.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let directory = servers.directory().join("files");
        fs::create_dir(&directory)?;
        let password_file = password_file(&directory)?;
        let restic = Restic::new(password_file.clone())?;
        eprintln!("writing the files");
        let first = Data::write(directory.join("first"), &[shape(1, (1, 1), Content::Letters)], 1)?;
        let sets = [
            ("small", Data::write(directory.join("small"), &self.small(), 2)?),
            ("large", Data::write(directory.join("large"), &self.large(), 3)?),
        ];
        let rounds =
            |data: &str| (0..=self.runs).map(move |round| format!("{data}-{round}")).collect::<Vec<_>>();

        let mut definitions = Definitions::new(password_file.clone());
        for (name, data) in &sets {
            for label in rounds(name) {
                definitions.target(&label, &directory.join(&label).join("holdfast"));
                definitions.job(&label, &data.path, &label);
                definitions.job(&format!("first-{label}"), &first.path, &label);
            }
        }
        let fleet = Fleet::start(servers, layout(definitions.into_value())).await?;
        let books = Books::open(&fleet.database, servers.amqp_url(), TaskKind::Backup).await?;
        let first = first.path;
        let mut bench = Bench { servers, fleet, books, restic, password_file, first };
        let mut cases = Vec::new();
        for (name, data) in &sets {
            let mut fresh = Case { data: name, pass: "first", runs: Vec::new() };
            let mut unchanged = Case { data: name, pass: "unchanged", runs: Vec::new() };
            for (number, label) in rounds(name).into_iter().enumerate() {
                let round = Round { directory: directory.join(&label), label, data };
                let [first, again] = bench.round(&round).await?;
                eprintln!("{}: first {first:?}, unchanged {again:?}", round.label);
                if number > 0 {
                    fresh.runs.push(first);
                    unchanged.runs.push(again);
                }
            }
            cases.extend([fresh, unchanged]);
        }
        let Bench { fleet, books, restic, .. } = bench;
        books.check(&fleet.database).await?;
        fleet.stop().await?;
        Ok(self.report(&sets, &cases, &restic.version))
    }

    fn small(&self) -> [Shape; 2] {
        let letters = self.small as usize / 2;
        let shape = |files, content| shape(files, (1024, 8 * 1024), content);
        [shape(letters, Content::Letters), shape(self.small as usize - letters, Content::Random)]
    }

    fn large(&self) -> [Shape; 2] {
        let size = self.mebibytes as usize * 1024 * 1024;
        let letters = self.large as usize / 3;
        let shape = |files, content| shape(files, (size, size), content);
        [shape(letters, Content::Letters), shape(self.large as usize - letters, Content::Random)]
    }

    fn report(&self, sets: &[(&str, Data); 2], cases: &[Case], restic: &str) -> Report {
        let mut table = Table::new([
            "seconds",
            "Holdfast, whole",
            "its task",
            "its engine",
            "rustic_core",
            "restic",
            "Holdfast / restic",
            "over rustic_core",
        ]);
        let mut figures = serde_json::Map::new();
        for case in cases {
            table.rows.push(case.row());
            let of_data = figures.entry(case.data).or_insert_with(|| json!({}));
            of_data[case.pass] = case.json();
        }
        figures.insert("scenario".to_owned(), json!("files"));
        let [(_, small), (_, large)] = sets;
        let mib = |data: &Data| number(data.bytes as f64 / 1024.0 / 1024.0);
        Report {
            about: format!(
                "Backups of {} files of 1 to 8 KiB ({} MiB) and of {} files of {} MiB ({} MiB), in each set some that \
                 compress to half and some that do not compress; {} rounds of Holdfast, rustic_core alone and {restic}, \
                 in turn, each into a repository of its own that already exists and holds one tiny snapshot, then once \
                 more with nothing changed. Whole: the command that asks for the backup and waits for its end, with \
                 broker and database between; task: from claim to record. The other two are timed as processes. All \
                 three compress by their defaults, flush each file of the repository to disk and walk ahead to tell \
                 how much there is; none has a cache for repositories; all data was read once before each backup. By \
                 restic's count all three saved the same number of entries and bytes; no task was lost or doubled.",
                small.files,
                mib(small),
                large.files,
                self.mebibytes,
                mib(large),
                self.runs,
            ),
            tables: vec![table],
            json: Value::Object(figures),
        }
    }
}

fn shape(files: usize, (least, most): (usize, usize), content: Content) -> Shape {
    Shape { files, least, most, content }
}

/// One worker that does one backup at a time and leaves all that follows from it in the queue.
fn layout(definitions: Value) -> Layout {
    let slots = [("backup", "1"), ("verify", "0"), ("copy", "0")];
    let settings = slots.map(|(kind, slots)| (format!("pools.{kind}.slots"), slots.to_owned()));
    Layout {
        definitions: Some(definitions),
        settings: BTreeMap::from(settings),
        producer: true,
        ..Layout::default()
    }
}

impl Bench<'_> {
    /// Two backups by each: into a new repository, and again.
    async fn round(&mut self, round: &Round<'_>) -> anyhow::Result<[Run; 2]> {
        fs::create_dir(&round.directory)?;
        self.prepare(round)?;
        let first = self.backups(round).await?;
        let again = self.backups(round).await?;
        fs::remove_dir_all(&round.directory)?;
        Ok([first, again])
    }

    /// Makes the three repositories, each with one tiny snapshot.
    fn prepare(&mut self, round: &Round<'_>) -> anyhow::Result<()> {
        self.enqueue(&format!("first-{}", round.label))?;
        self.alone(round, "first", &self.first).with_init().time()?;
        let repository = round.directory.join("restic");
        self.restic.init(&repository)?;
        self.restic.backup(&repository, &self.first)?;
        Ok(())
    }

    async fn backups(&mut self, round: &Round<'_>) -> anyhow::Result<Run> {
        let path = &round.data.path;
        round.data.warm()?;
        let holdfast = self.enqueue(&round.label)?;
        round.data.warm()?;
        let rustic_core = self.alone(round, &round.label, path).time()?;
        round.data.warm()?;
        let restic = self.restic.backup(&round.directory.join("restic"), path)?;
        self.compare(round)?;
        let (task, engine) = self.recorded(round).await?;
        Ok(Run { holdfast, task, engine, rustic_core, restic })
    }

    /// Asks for a backup as a person would, and waits for its end.
    fn enqueue(&mut self, job: &str) -> anyhow::Result<f64> {
        self.books.ask(1)?;
        let started = Instant::now();
        let arguments = ["enqueue", "backup", "--job", job, "--wait"];
        producer(self.servers, &self.fleet.database_url, &arguments)?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn alone(&self, round: &Round<'_>, label: &str, path: &Path) -> Alone {
        Alone::new(&round.directory.join("rustic_core"), &self.password_file, label, path)
    }

    /// Restic, which reads all three repositories, must find the same in each.
    fn compare(&self, round: &Round<'_>) -> anyhow::Result<()> {
        let size = |by: &str| self.restic.size_of_latest(&round.directory.join(by), &round.data.path);
        let (holdfast, alone, restic) = (size("holdfast")?, size("rustic_core")?, size("restic")?);
        ensure!(
            holdfast == restic && alone == restic && restic.bytes == round.data.bytes,
            "{} bytes were to be saved: Holdfast saved {holdfast:?}, rustic_core {alone:?}, restic {restic:?}",
            round.data.bytes
        );
        Ok(())
    }

    /// The times of a job's newest backup as the database has them: of the task and of the engine.
    async fn recorded(&self, round: &Round<'_>) -> anyhow::Result<(f64, f64)> {
        let statement =
            "select extract(epoch from e.finished_at - e.started_at)::float8 as task, p.seconds as engine,
                 p.files, p.bytes
             from execution e join job j on j.id = e.job_id join restore_point p on p.task_id = e.task_id
             where j.name = $1 order by e.finished_at desc limit 1";
        let client = self.fleet.database.client().await?;
        let row =
            client.query_opt(statement, &[&round.label]).await?.context("no restore point was recorded")?;
        let (files, bytes): (i64, i64) = (row.try_get("files")?, row.try_get("bytes")?);
        let Data { files: all, bytes: size, .. } = round.data;
        ensure!(
            (u64::try_from(files)?, u64::try_from(bytes)?) == (*all, *size),
            "the database says {files} files with {bytes} bytes instead of {all} with {size}"
        );
        Ok((row.try_get("task")?, row.try_get("engine")?))
    }
}

impl Case {
    fn spread(&self, figure: fn(&Run) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(figure))
    }

    fn row(&self) -> Vec<String> {
        let (over, ratio) = (self.spread(Run::over), self.spread(Run::over_ratio));
        vec![
            format!("{}, {}", self.data, self.pass),
            self.spread(|run| run.holdfast).to_string(),
            self.spread(|run| run.task).to_string(),
            self.spread(|run| run.engine).to_string(),
            self.spread(|run| run.rustic_core).to_string(),
            self.spread(|run| run.restic).to_string(),
            self.spread(Run::ratio).to_string(),
            format!("{:+.2} s, {:+.0} %", over.median, ratio.median * 100.0),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "holdfast_seconds": self.spread(|run| run.holdfast).median,
            "task_seconds": self.spread(|run| run.task).median,
            "rustic_core_seconds": self.spread(|run| run.rustic_core).median,
            "restic_seconds": self.spread(|run| run.restic).median,
            "to_restic": self.spread(Run::ratio).median,
            "over_rustic_core_seconds": self.spread(Run::over).median,
            "over_rustic_core": self.spread(Run::over_ratio).median,
            "runs": self.runs,
        })
    }
}

impl Run {
    fn ratio(&self) -> f64 {
        self.holdfast / self.restic
    }

    /// What the task takes beyond the bare engine, in seconds.
    fn over(&self) -> f64 {
        self.task - self.rustic_core
    }

    fn over_ratio(&self) -> f64 {
        self.over() / self.rustic_core
    }
}
