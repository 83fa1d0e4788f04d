//! Named statements: each that a process runs has a name, by which it is measured, logged when it is slow, and explained.
//!
//! A name is `<table or noun>.<what it does>` and stands beside the statement's text. [`statement`] makes both one constant of
//! the program and adds it to [`all`]; that list holds what any of the processes runs, whichever of them asks. What has no
//! plan (`copy`, settings, definitions of tables) is a [`Command`].

pub mod plan;
pub mod slow;

use std::cell::Cell;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, GenericClient};
use futures_util::TryStreamExt as _;
use linkme::distributed_slice;
use metrics::{Histogram, histogram};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use crate::metric;
use crate::metric::Metric;

/// From a look into an index to what is slow beyond doubt, in seconds.
const CLASSES: [f64; 13] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

metric!(pub SECONDS: Metric::histogram(
    "holdfast_statement_seconds", &["statement"], &CLASSES,
    "How long statements of this process took, by statement: from the call, with the preparation where a connection runs one for the \
     first time, until its last row is here"
));

/// So many statements a connection has ready at most before another one is put together: a plan over a year of months takes some hundred
/// KiB.
const MOST_READY: usize = 64;

/// All statements of the product. Use [`all`], which is sorted.
#[distributed_slice]
pub static ALL: [&'static Statement];

/// All statements of the product, by name.
pub fn all() -> Vec<&'static Statement> {
    let mut all: Vec<&Statement> = ALL.iter().copied().collect();
    all.sort_unstable_by_key(|statement| statement.name());
    all
}

/// A statement with its name. The text may be put together from constants; it is made once, and begins with the name as a comment,
/// so that the server's own views and logs tell it as well.
macro_rules! statement {
    ($name:expr, $text:expr $(,)?) => {{
        static STATEMENT: $crate::db::statement::Statement =
            $crate::db::statement::Statement::new($name, || ::std::format!("/* {} */ {}", $name, $text));
        #[expect(unsafe_code, reason = "the linker gathers the list: no statement can be left out of it")]
        #[::linkme::distributed_slice($crate::db::statement::ALL)]
        static LISTED: &$crate::db::statement::Statement = &STATEMENT;
        &STATEMENT
    }};
}
pub(crate) use statement;

/// A [`Command`] with its name.
macro_rules! command {
    ($name:literal) => {{
        static COMMAND: $crate::db::statement::Command = $crate::db::statement::Command::new($name);
        &COMMAND
    }};
}
pub(crate) use command;

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A statement with its name, its text, and what was measured of it.
pub struct Statement {
    measured: Measured,
    text: LazyLock<String>,
}

impl Statement {
    /// For [`statement`]: only so is it listed.
    #[must_use]
    pub const fn new(name: &'static str, text: fn() -> String) -> Self {
        Self { measured: Measured::new(name), text: LazyLock::new(text) }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.measured.name
    }

    /// Its text, with its name in front, and `$1` and so on for what it is given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Has it ready on a connection, where its order among others on the same connection matters.
    pub(crate) async fn prepared<C: GenericClient>(&'static self, client: &C) -> Result<Prepared, Error> {
        let prepared = client.prepare_cached(&self.text).await?;
        Ok(Prepared { statement: self, prepared })
    }

    /// Returns all rows.
    pub(crate) async fn query<C: GenericClient>(
        &'static self,
        client: &C,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let running = self.begin();
        let prepared = client.prepare_cached(&self.text).await?;
        let rows = client.query(&prepared, parameters).await?;
        running.ended(rows.len() as u64);
        Ok(rows)
    }

    /// Hands over each row as it comes, so that they are never all in memory.
    pub(crate) async fn each<C: GenericClient, E: From<Error>>(
        &'static self,
        client: &C,
        parameters: Parameters<'_>,
        mut take: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let running = self.begin();
        let prepared = client.prepare_cached(&self.text).await?;
        let mut stream = pin!(client.query_raw(&prepared, parameters.iter().copied()).await?);
        let mut rows = 0;
        while let Some(row) = stream.try_next().await? {
            take(&row)?;
            rows += 1;
        }
        running.ended(rows);
        Ok(())
    }

    /// Returns the row, if there is one; more than one are an error.
    pub(crate) async fn query_opt<C: GenericClient>(
        &'static self,
        client: &C,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Error> {
        let running = self.begin();
        let prepared = client.prepare_cached(&self.text).await?;
        let row = client.query_opt(&prepared, parameters).await?;
        running.ended(u64::from(row.is_some()));
        Ok(row)
    }

    /// Returns the row; none or more than one are an error.
    pub(crate) async fn query_one<C: GenericClient>(
        &'static self,
        client: &C,
        parameters: Parameters<'_>,
    ) -> Result<Row, Error> {
        let running = self.begin();
        let prepared = client.prepare_cached(&self.text).await?;
        let row = client.query_one(&prepared, parameters).await?;
        running.ended(1);
        Ok(row)
    }

    /// Returns how many rows it has changed.
    pub(crate) async fn execute<C: GenericClient>(
        &'static self,
        client: &C,
        parameters: Parameters<'_>,
    ) -> Result<u64, Error> {
        let running = self.begin();
        let prepared = client.prepare_cached(&self.text).await?;
        let rows = client.execute(&prepared, parameters).await?;
        running.ended(rows);
        Ok(rows)
    }

    fn begin(&'static self) -> Running {
        self.measured.begin(Some(Text::Named(self)))
    }
}

/// A statement that a connection has ready.
pub(crate) struct Prepared {
    statement: &'static Statement,
    prepared: tokio_postgres::Statement,
}

impl Prepared {
    /// As [`Statement::query_one`].
    pub(crate) async fn query_one<C: GenericClient>(
        &self,
        client: &C,
        parameters: Parameters<'_>,
    ) -> Result<Row, Error> {
        let running = self.statement.begin();
        let row = client.query_one(&self.prepared, parameters).await?;
        running.ended(1);
        Ok(row)
    }
}

/// What has a name and no text of its own: settings, locks of whole tables, `copy`, definitions of tables, upkeep, and statements that are put
/// together for one call.
pub struct Command(Measured);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Command {
    /// For [`command`], and for texts of many forms that have one name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(Measured::new(name))
    }

    /// Runs a statement that was put together of constants for one call, and returns its rows. Their texts are many: a connection keeps the
    /// latest ones ready and forgets all of them when they are too many, because each holds a plan in the server's memory.
    pub(crate) async fn query(
        &'static self,
        client: &Client,
        text: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let text: Arc<str> = format!("/* {} */ {text}", self.0.name).into();
        let running = self.0.begin(Some(Text::Made(Arc::clone(&text))));
        if client.statement_cache.size() >= MOST_READY {
            client.statement_cache.clear();
        }
        let prepared = client.prepare_cached(&text).await?;
        let rows = client.query(&prepared, parameters).await?;
        running.ended(rows.len() as u64);
        Ok(rows)
    }

    /// Runs one or more statements without parameters. They are made of constants and of names that this program made.
    pub(crate) async fn run<C: GenericClient>(&'static self, client: &C, text: &str) -> Result<(), Error> {
        let running = self.begin();
        client.batch_execute(text).await?;
        running.ended(0);
        Ok(())
    }

    /// Runs one statement whose text names a table that is not always there; returns how many rows it has changed.
    pub(crate) async fn execute<C: GenericClient>(
        &'static self,
        client: &C,
        text: &str,
    ) -> Result<u64, Error> {
        let running = self.begin();
        let rows = client.execute(text, &[]).await?;
        running.ended(rows);
        Ok(rows)
    }

    /// For what takes more than one call; it ends when that is told or dropped.
    pub(crate) fn begin(&'static self) -> Running {
        self.0.begin(None)
    }
}

/// What is kept of a name while the process runs.
struct Measured {
    name: &'static str,
    seconds: OnceLock<Histogram>,
    told: slow::Told,
}

impl Measured {
    const fn new(name: &'static str) -> Self {
        Self { name, seconds: OnceLock::new(), told: slow::Told::new() }
    }

    fn begin(&'static self, text: Option<Text>) -> Running {
        // Outside of what is counted there is nothing to count in.
        _ = COUNTED.try_with(|counted| counted.set(counted.get() + 1));
        Running { measured: self, text, began: Instant::now(), rows: None }
    }

    fn seconds(&self) -> &Histogram {
        self.seconds.get_or_init(|| histogram!(SECONDS, "statement" => self.name))
    }
}

/// The text of a statement.
#[derive(Clone)]
enum Text {
    Named(&'static Statement),
    /// Put together for one call.
    Made(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Named(statement) => statement.text(),
            Self::Made(text) => text,
        }
    }
}

/// A statement that runs. Also one that fails, or that nobody waits for any more, has taken its time.
pub(crate) struct Running {
    measured: &'static Measured,
    /// What has a plan.
    text: Option<Text>,
    began: Instant,
    rows: Option<u64>,
}

impl Running {
    /// All its rows are here.
    pub(crate) fn ended(mut self, rows: u64) {
        self.rows = Some(rows);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.measured.seconds().record(took.as_secs_f64());
        slow::note(self, took);
    }
}

tokio::task_local! {
    static COUNTED: Cell<u64>;
}

/// Runs a piece of work and counts the statements that it sends from its own task; preparing one is not counted.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, u64) {
    COUNTED
        .scope(Cell::new(0), async {
            let done = work.await;
            (done, COUNTED.with(Cell::get))
        })
        .await
}

/// How long statements may take before they are logged with their plans, where nothing else is set.
pub(super) const SLOW: Duration = Duration::from_millis(500);
