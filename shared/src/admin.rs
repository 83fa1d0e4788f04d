//! Looking into a process while it runs, and changing what it logs: over a Unix socket that only its user may use.
//!
//! * [`dump`] is what a process tells of itself, put together from what it gives as its [`Insight`]
//! * [`socket`] is where it is asked, [`server`] answers, [`profile`] says where its time goes
//! * [`command`] is the subcommand of each program that asks
//!
//! Who may open the socket may ask everything: there are no tokens. Nothing that is told is a secret, but it names jobs and tasks.

pub mod command;
pub mod dump;
pub mod profile;

mod client;
mod server;
mod socket;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Access;
use tokio_util::sync::CancellationToken;

use crate::db::Database;
use crate::lifecycle::Lifecycle;
use crate::settings::{Settings, key};
use dump::Work;

/// The setting with the path of the socket.
const SOCKET: &str = "admin.socket";

/// What a process can tell of itself.
#[derive(Clone)]
pub struct Insight {
    /// Its name.
    pub program: &'static str,
    /// Its connections to databases, by what they are for.
    pub databases: Vec<(&'static str, Database)>,
    /// What it works on; nothing for processes without pools.
    pub work: Option<Arc<dyn Fn() -> Work + Send + Sync>>,
}

/// Reads where a process is to be looked into.
pub fn socket(settings: &mut Settings) -> Option<PathBuf> {
    let about = "The path of a Unix socket on which the process is looked into, by its own user: each process needs one of its own; none when absent";
    let path: PathBuf = settings.optional(key(SOCKET, about).such_as("/run/holdfast/admin.sock"))?;
    check(settings, &path);
    Some(path)
}

/// Looks whether a socket can be made there.
fn check(settings: &mut Settings, path: &Path) {
    let (Some(parent), Some(_)) = (path.parent(), path.file_name()) else {
        settings.reject(format!("{SOCKET}: {} names no file", path.display()));
        return;
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if !parent.is_dir() {
        settings.reject(format!("{SOCKET}: {} is not a directory", parent.display()));
    } else if let Err(error) = rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK) {
        settings.doubt(format!("{SOCKET}: {} cannot be written to: {error}", parent.display()));
    }
}

/// Answers on a socket until `stop`, if there is to be one.
///
/// # Errors
/// Another process answers there, or the socket cannot be made. The message names the setting.
pub fn spawn(
    lifecycle: &Lifecycle,
    path: Option<&Path>,
    insight: Insight,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let socket = socket::Socket::bind(path)?;
    let loops = lifecycle.loops();
    lifecycle.spawn("admin", async move { Ok(server::serve(socket, insight, loops, stop).await?) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Sources;

    #[test]
    fn a_socket_has_a_directory_to_be_made_in() {
        let directory = tempfile::tempdir().unwrap();
        let read = |path: PathBuf| {
            let overrides = vec![format!("{SOCKET}={}", path.display())];
            let mut settings = Settings::open(&Sources { config: None, overrides });
            socket(&mut settings);
            settings.finish().map_err(|error| error.to_string())
        };
        let doubts = read(directory.path().join("admin.sock")).unwrap();
        assert!(!doubts.iter().any(|doubt| doubt.contains(SOCKET)), "{doubts:?}");
        assert!(read("admin.sock".into()).is_ok(), "where the process is started");
        let missing = read(directory.path().join("missing/admin.sock")).unwrap_err();
        assert!(
            missing.contains("admin.socket: ") && missing.contains("missing is not a directory"),
            "{missing}"
        );
        let no_file = read("/".into()).unwrap_err();
        assert!(no_file.contains("admin.socket: / names no file"), "{no_file}");
    }
}
