//! Where the servers' files live.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{account::Account, claim::Claim};

/// A directory that the servers' user owns and can reach.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    path: PathBuf,
    stack: PathBuf,
    account: Account,
}

impl Home {
    /// Opens the stack's `servers` directory and creates it if need be.
    ///
    /// When the servers' user cannot come there (a checkout below `/root`), it is a symbolic link to a
    /// directory below the one for temporary files.
    pub(crate) fn open(claim: &Claim, account: Account) -> anyhow::Result<Self> {
        let entry = claim.directory().join(SERVERS);
        let home = |path| Self { path, stack: claim.directory().to_owned(), account };
        if let Some(path) = existing(&entry, account)? {
            return Ok(home(path));
        }
        if account.can_enter(claim.directory()) {
            fs::create_dir(&entry).with_context(|| format!("cannot create {}", entry.display()))?;
            account.give(&entry)?;
            return Ok(home(entry));
        }
        for parent in [env::temp_dir(), "/tmp".into(), "/var/tmp".into()] {
            if account.can_enter(&parent) {
                let path = tempfile::Builder::new().prefix("holdfast-devstack-").tempdir_in(&parent)?.keep();
                account.give(&path)?;
                symlink(&path, &entry).with_context(|| format!("cannot create {}", entry.display()))?;
                return Ok(home(path));
            }
        }
        bail!("the user the servers run as can reach neither {} nor /tmp", claim.directory().display());
    }

    pub(crate) fn account(&self) -> Account {
        self.account
    }

    /// Creates a directory for the servers, with the ones above it.
    pub(crate) fn directory(&self, name: &Path) -> anyhow::Result<PathBuf> {
        let mut path = self.path.clone();
        for part in name {
            path.push(part);
            match fs::create_dir(&path) {
                Ok(()) => self.account.give(&path)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
            }
        }
        Ok(path)
    }

    /// Creates a directory for the servers in an existing one elsewhere, which becomes theirs.
    pub(crate) fn directory_in(&self, parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
        self.account.give(parent)?;
        if !self.account.can_enter(parent) {
            bail!("the user the servers run as cannot reach {}", parent.display());
        }
        Self { path: parent.to_owned(), ..self.clone() }.directory(name.as_ref())
    }

    /// Writes a file only the servers' user and root can read.
    pub(crate) fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let write = || {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        self.account.give(path)
    }

    /// A command with the environment every server gets: none of the caller's but `PATH`, and the stack's
    /// mark.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .current_dir(&self.path)
            .env("PATH", path)
            .env("HOME", &self.path)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env(MARK, &self.stack);
        command
    }

    pub(crate) fn log(&self, server: &str) -> PathBuf {
        self.stack.join(format!("{server}.log"))
    }

    /// Removes the logs of the run before: the files would grow for ever.
    pub(crate) fn remove_logs(&self) {
        for server in ["postgres", "standby", "rabbitmq", "epmd"] {
            fs::remove_file(self.log(server)).ok();
        }
    }

    pub(crate) fn record(&self, server: &str) -> PathBuf {
        self.stack.join(format!("{server}{RECORD_ENDING}"))
    }
}

/// The name of the servers' directory, or of the link to it, inside a stack's directory.
pub(crate) const SERVERS: &str = "servers";

/// The environment variable by which a stack's processes know their own; its value is the stack's
/// directory.
pub(crate) const MARK: &str = "HOLDFAST_DEVSTACK";

/// Ends the name of a file that says which process a server is.
pub(crate) const RECORD_ENDING: &str = ".process.json";

/// Where the servers' files of the claimed directory are, if there are any.
///
/// A link is followed only to a directory of the servers' user: anybody can create names below `/tmp`.
fn existing(entry: &Path, account: Account) -> anyhow::Result<Option<PathBuf>> {
    let Ok(own) = fs::symlink_metadata(entry) else { return Ok(None) };
    if own.is_dir() {
        if own.uid() != account.user() {
            bail!("{} belongs to another user: remove it, or start as the user who made it", entry.display());
        }
        return Ok(Some(entry.to_owned()));
    }
    let target = fs::read_link(entry).with_context(|| format!("{} is in the way", entry.display()))?;
    if fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir() && found.uid() == account.user()) {
        return Ok(Some(target));
    }
    fs::remove_file(entry).with_context(|| format!("cannot remove {}", entry.display()))?;
    Ok(None)
}

/// Removes all files of the claimed directory's servers.
pub(crate) fn remove(claim: &Claim, account: Account) -> anyhow::Result<()> {
    let entry = claim.directory().join(SERVERS);
    let Some(path) = existing(&entry, account)? else { return Ok(()) };
    fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    if path != entry {
        fs::remove_file(&entry).with_context(|| format!("cannot remove {}", entry.display()))?;
    }
    Ok(())
}
