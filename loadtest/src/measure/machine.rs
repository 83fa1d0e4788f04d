//! What the figures were measured on.

use std::fmt;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Instant;

use tokio_postgres::Client;

/// A machine as far as it matters for figures.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Machine {
    processors: usize,
    model: String,
    memory_gib: u64,
    kernel: String,
    postgres: String,
    /// Whether PostgreSQL waits for the disk.
    fsync: String,
    /// One small write with `fdatasync`, in microseconds: the median of many.
    fdatasync_us: f64,
}

impl Machine {
    /// Looks at this machine, at a disk of it, and at a PostgreSQL server on it.
    pub(crate) async fn look(directory: &Path, client: &Client) -> anyhow::Result<Self> {
        let show = async |name: &str| -> anyhow::Result<String> {
            Ok(client.query_one("select current_setting($1)", &[&name]).await?.try_get(0)?)
        };
        Ok(Self {
            processors: std::thread::available_parallelism()?.get(),
            model: field("/proc/cpuinfo", "model name"),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .trim_end_matches(" kB")
                .parse::<u64>()
                .map_or(0, |kib| kib.div_ceil(1024 * 1024)),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            postgres: show("server_version").await?,
            fsync: show("fsync").await?,
            fdatasync_us: fdatasync(directory)?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processors, model, memory_gib, kernel, postgres, fsync, fdatasync_us } = self;
        write!(
            f,
            "{processors} processors ({model}), {memory_gib} GiB, Linux {kernel}, PostgreSQL {postgres}, \
             fsync {fsync}, fdatasync {fdatasync_us:.0} µs"
        )
    }
}

/// The first `key: value` of a file in `/proc`.
fn field(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or_else(|| "unknown".into(), |(_, v)| v.trim().to_owned())
}

fn fdatasync(directory: &Path) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut micros = Vec::new();
    for _ in 0..200 {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[1; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        micros.push(started.elapsed().as_secs_f64() * 1e6);
    }
    Ok(super::Spread::of(micros).median)
}
