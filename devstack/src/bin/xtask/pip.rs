//! Python packages, as files of requirements name them, in environments of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use devstack::tools::PYTHON;

use crate::report::step;

/// Directories with requirements, which are also what the tests know them by.
const SOURCES: [&str; 2] = ["schemathesis", "deploy"];
const REQUIREMENTS: &str = "requirements.txt";

/// Where packages are installed: `NAME/bin` for each source.
pub(crate) fn directory(root: &Path) -> PathBuf {
    root.join("target").join("pip")
}

/// Installs what is missing or was required otherwise.
pub(crate) fn ensure(root: &Path) -> anyhow::Result<()> {
    let mut sources = SOURCES.iter();
    sources.try_for_each(|name| ensure_one(&root.join("tests").join(name), &directory(root).join(name)))
}

fn ensure_one(source: &Path, here: &Path) -> anyhow::Result<()> {
    let requirements = source.join(REQUIREMENTS);
    let required =
        fs::read(&requirements).with_context(|| format!("{} cannot be read", requirements.display()))?;
    // Written when all is installed.
    let installed = here.join("installed");
    if fs::read(&installed).is_ok_and(|earlier| earlier == required) {
        return Ok(());
    }
    step("Installing", &format!("the packages of {}", source.display()));
    run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(here))?;
    let pip = here.join("bin").join("pip");
    run(Command::new(pip)
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    fs::write(installed, required)?;
    Ok(())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
