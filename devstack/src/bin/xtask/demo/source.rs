//! What is backed up: a directory of the person's choice, or a copy of what git tracks in this checkout.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::{place::Place, screen::Act, thread::on_thread};

/// The source of the backup.
pub(super) struct Source {
    directory: PathBuf,
    /// The files to be copied there first.
    tracked: Option<Tracked>,
}

#[derive(Clone)]
struct Tracked {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Source {
    /// Errors: what was chosen cannot be backed up in a demo.
    pub(super) fn choose(wanted: Option<&Path>, root: &Path, place: &Place) -> anyhow::Result<Self> {
        match wanted {
            Some(wanted) => Ok(Self { directory: checked(wanted, place)?, tracked: None }),
            None => {
                let tracked = Tracked { root: root.to_owned(), files: tracked_files(root)? };
                Ok(Self { directory: place.path("source"), tracked: Some(tracked) })
            }
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Copies the tracked files, if they are the source: the checkout itself also holds `target`, and with
    /// it the repositories.
    pub(super) async fn prepare(&self) -> anyhow::Result<()> {
        let Some(tracked) = self.tracked.clone() else { return Ok(()) };
        let act = Act::begin("Copying");
        let to = self.directory.clone();
        let copied = on_thread(move || tracked.copy(&to)).await?;
        act.done("Prepared", &format!("a source: {copied} files that git tracks here, copied"));
        Ok(())
    }
}

fn checked(wanted: &Path, place: &Place) -> anyhow::Result<PathBuf> {
    let directory =
        wanted.canonicalize().with_context(|| format!("--source: cannot find {}", wanted.display()))?;
    ensure!(directory.is_dir(), "--source: {} is no directory", directory.display());
    let name = directory.display();
    ensure!(directory.to_str().is_some(), "--source: definitions cannot name {name}: it is no UTF-8");
    let demo = place.directory();
    if demo.starts_with(&directory) || directory.starts_with(demo) {
        bail!(
            "--source: {} and the demo's own directory {} overlap: a backup of repositories that are being \
             written never equals its source. Choose a directory beside it, or leave --source out to back \
             up a copy of what git tracks here",
            directory.display(),
            demo.display()
        );
    }
    Ok(directory)
}

fn tracked_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    let listed =
        listed.context("cannot run git to list the files to back up: choose some with --source DIR")?;
    ensure!(
        listed.status.success(),
        "cannot list the files to back up: choose some with --source DIR. git says: {}",
        String::from_utf8_lossy(&listed.stderr).trim()
    );
    let names = listed.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let files: Vec<PathBuf> = names.map(|name| OsStr::from_bytes(name).into()).collect();
    ensure!(!files.is_empty(), "git tracks no file in {}: choose some with --source DIR", root.display());
    Ok(files)
}

impl Tracked {
    /// Answers with the number of files.
    fn copy(&self, to: &Path) -> anyhow::Result<usize> {
        let mut copied = 0;
        for file in &self.files {
            let (from, to) = (self.root.join(file), to.join(file));
            let present = copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            copied += usize::from(present);
        }
        Ok(copied)
    }
}

/// Copies a file or a symbolic link with its permissions and time; `false` when there is none: a deletion that
/// was not committed yet, or a submodule.
fn copy(from: &Path, to: &Path) -> std::io::Result<bool> {
    let metadata = match fs::symlink_metadata(from) {
        Ok(metadata) if !metadata.is_dir() => metadata,
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() };
        let times = Timestamps { last_access, last_modification };
        utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    } else {
        fs::copy(from, to)?;
        File::open(to)?.set_modified(metadata.modified()?)?;
    }
    Ok(true)
}
