//! The socket's life: it is nobody else's from its first moment, and is gone with its process.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use axum::serve::Listener;
use rustix::process::geteuid;
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

/// Only its user may connect.
const MODE: u32 = 0o600;

/// A socket that is listened on.
///
/// Its file goes when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another process may have put another one there.
    itself: (u64, u64),
}

impl Listener for Socket {
    type Io = UnixStream;
    type Addr = SocketAddr;

    /// Waits for its user, or root: before it has its mode, a socket is open to whom the process's umask lets in.
    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            let asks = stream.peer_cred().map(|peer| peer.uid());
            if asks.is_ok_and(|user| user == 0 || user == geteuid().as_raw()) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_some_and(|there| there == self.itself) {
            // What stays behind is replaced at the next start.
            _ = fs::remove_file(&self.path);
        }
    }
}

impl Socket {
    /// Makes a socket. One that nobody answers on any more is replaced.
    ///
    /// # Errors
    /// Somebody answers there, something else is there, or the directory cannot be written.
    pub(super) fn bind(path: &Path) -> anyhow::Result<Self> {
        Self::make(path).with_context(|| format!("{}: {}", super::SOCKET, path.display()))
    }

    fn make(path: &Path) -> anyhow::Result<Self> {
        // Of two processes that begin at once with one path the second finds the first.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let turn = fs::File::open(directory.unwrap_or(Path::new(".")))?;
        turn.lock()?;
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => bail!("another process answers on this socket: give each its own"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && is_socket(path) => {}
            Err(error) if is_socket(path) => return Err(error).context("cannot look who answers there"),
            Err(_) => bail!("something that is no socket is there"),
        }
        // It gets its mode under another name, so that at its own nobody ever finds it open for others.
        let name = path.file_name().context("names no file")?.to_string_lossy();
        let unfinished = path.with_file_name(format!(".{name}.{}", std::process::id()));
        _ = fs::remove_file(&unfinished);
        let listener = UnixListener::bind(&unfinished)?;
        let placed = fs::set_permissions(&unfinished, Permissions::from_mode(MODE))
            .and_then(|()| fs::rename(&unfinished, path));
        if let Err(error) = placed {
            _ = fs::remove_file(&unfinished);
            return Err(error.into());
        }
        let itself = identity(path).context("somebody else took it away")?;
        Ok(Self { listener, path: path.to_owned(), itself })
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let refused = format!("{:#}", Socket::bind(&path).unwrap_err());
        assert!(refused.contains("admin.socket") && refused.contains("another process answers"), "{refused}");
        drop(socket);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_replaced_and_what_is_no_socket_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (stale, file) = (directory.path().join("stale"), directory.path().join("file"));
        // A listener of the standard library leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        assert!(is_socket(&stale));
        let socket = Socket::bind(&stale).unwrap();
        std::os::unix::net::UnixStream::connect(&stale).unwrap();
        drop(socket);
        fs::write(&file, "precious").unwrap();
        assert!(Socket::bind(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn what_another_process_put_in_its_place_is_left_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(is_socket(&path));
    }
}
