//! JavaScript packages, as lock files name them, in directories of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::report::step;

/// Directories with a lock file, and what the tests know them by.
const SOURCES: [(&str, &str); 2] = [("docs/publishing/node", "publish"), ("tests/asyncapi", "asyncapi")];
const LOCK: &str = "package-lock.json";

/// Where packages are installed: `NAME/node_modules` for each source.
pub(crate) fn directory(root: &Path) -> PathBuf {
    root.join("target").join("npm")
}

/// Installs what is missing or was locked otherwise.
pub(crate) fn ensure(root: &Path) -> anyhow::Result<()> {
    SOURCES.iter().try_for_each(|(source, name)| ensure_one(&root.join(source), &directory(root).join(name)))
}

fn ensure_one(source: &Path, here: &Path) -> anyhow::Result<()> {
    let lock = fs::read(source.join(LOCK)).with_context(|| format!("{} has no {LOCK}", source.display()))?;
    // Written when all is installed.
    let installed = here.join("installed");
    if fs::read(&installed).is_ok_and(|earlier| earlier == lock) {
        return Ok(());
    }
    step("Installing", &format!("the packages of {}", source.display()));
    fs::create_dir_all(here)?;
    fs::copy(source.join("package.json"), here.join("package.json"))?;
    fs::write(here.join(LOCK), &lock)?;
    // No package's own script runs.
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]).current_dir(here);
    let status = command.status().context("cannot start npm")?;
    ensure!(status.success(), "npm ci in {} failed: {status}", here.display());
    fs::write(installed, lock)?;
    Ok(())
}
