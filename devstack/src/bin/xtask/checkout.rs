//! Where things are in this checkout.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// The directory of the workspace.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Cargo tells at run time; a target directory shared by several checkouts may hold another one's
    // program.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    Ok(package.parent().context("this package is in no workspace")?.to_owned())
}

/// The directory of the developer's servers.
pub(crate) fn servers(root: &Path) -> PathBuf {
    root.join("target").join("devstack")
}
