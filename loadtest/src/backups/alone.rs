//! `rustic_core` by itself, with the options that the worker gives it, in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustic_backend::BackendOptions;
use rustic_core::{
    BackupOptions, ConfigOptions, Credentials, KeyOptions, ParentOptions, PathList, Progress, ProgressBars,
    ProgressType, Repository, RepositoryOptions, RusticProgress, RusticResult, SnapshotGroupCriterion,
    SnapshotOptions,
};

use super::timed;

/// One backup by `rustic_core`, without anything of Holdfast around it.
#[derive(Debug, clap::Args)]
pub(crate) struct Alone {
    /// The repository
    repository: PathBuf,
    /// The file with its password
    #[arg(long)]
    password_file: PathBuf,
    /// Creates the repository first
    #[arg(long)]
    init: bool,
    /// The label, by which the parent snapshot is found
    #[arg(long)]
    label: String,
    /// What to back up
    path: PathBuf,
}

impl Alone {
    /// Does it in this process.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let password = std::fs::read_to_string(&self.password_file)?;
        // Rustic's errors print all that they know, over many lines.
        self.backup(&Credentials::password(password.trim_end())).map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Has this program do it in a process of its own; returns its seconds.
    pub(crate) fn time(&self) -> anyhow::Result<f64> {
        let Self { repository, password_file, init, label, path } = self;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("alone").arg(repository).arg(path);
        command.arg("--password-file").arg(password_file).args(["--label", label]);
        if *init {
            command.arg("--init");
        }
        timed(&mut command)
    }

    /// A backup of the same kind into a repository.
    pub(crate) fn new(repository: &Path, password_file: &Path, label: &str, path: &Path) -> Self {
        Self {
            repository: repository.to_owned(),
            password_file: password_file.to_owned(),
            init: false,
            label: label.to_owned(),
            path: path.to_owned(),
        }
    }

    /// The same, into a repository that is created first.
    pub(crate) fn with_init(self) -> Self {
        Self { init: true, ..self }
    }

    fn backup(&self, credentials: &Credentials) -> RusticResult<()> {
        let location = self.repository.to_string_lossy();
        let backends = BackendOptions::default().repository(location).to_backends()?;
        let options = RepositoryOptions::default().no_cache(true);
        let repository = Repository::new_with_progress(&options, &backends, Silent)?;
        let opened = if self.init {
            repository.init(credentials, &KeyOptions::default(), &ConfigOptions::default())?
        } else {
            repository.open(credentials)?
        };
        let by_label = ParentOptions::default().group_by(SnapshotGroupCriterion::new().label(true));
        let options = BackupOptions::default().parent_opts(by_label);
        let snapshot = SnapshotOptions::default().label(self.label.clone()).to_snapshot()?;
        let source = PathList::from_iter([self.path.clone()]);
        opened.to_indexed_ids()?.backup(&options, &source, snapshot)?;
        Ok(())
    }
}

/// Progress that is counted and not shown. Without any, `rustic_core` would leave out its walk ahead of the backup,
/// which tells how much there is; Holdfast and restic both show that.
#[derive(Debug)]
struct Silent;

impl ProgressBars for Silent {
    fn progress(&self, _kind: ProgressType, _prefix: &str) -> Progress {
        Progress::new(Self)
    }
}

impl RusticProgress for Silent {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, _length: u64) {}

    fn set_title(&self, _title: &str) {}

    fn inc(&self, _more: u64) {}

    fn finish(&self) {}
}
