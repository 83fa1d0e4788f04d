//! The definitions that a demo applies, for a person to read and to learn from.

use std::path::Path;

use anyhow::Context as _;

use super::place::Place;

/// The job.
pub(super) const JOB: &str = "demo";
/// Its targets; the first takes the backup, the others get copies of it.
pub(super) const TARGETS: [&str; 3] = ["disk-a", "nas-b", VAULT];
/// The one that is taken away.
pub(super) const VAULT: &str = "vault-c";
/// The directory of its repository, below the other repositories.
pub(super) const VAULT_MEDIUM: &str = "repositories/removable";

/// Writes `definitions.yaml`.
pub(super) fn write(place: &Place, source: &Path) -> anyhow::Result<()> {
    let file = place.path("definitions.yaml");
    let text = text(place, source)?;
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn text(place: &Place, source: &Path) -> anyhow::Result<String> {
    let disk = quoted(&place.path("repositories/disk"))?;
    let nas = quoted(&place.path("repositories/nas"))?;
    let removable = quoted(&place.path(VAULT_MEDIUM))?;
    let password = quoted(&place.path("password"))?;
    let source = quoted(source)?;
    Ok(format!(
        r"# What `cargo xtask demo` applies: one job whose copies follow the 3-2-1-1-0 rule.
#
# Three copies (the source counts) on two media, one of them off-site, one out of reach, and no error when
# they are verified. A demo has one machine, so the media and sites below are only said to differ; in
# production they must.

targets:
  # The first target of a job takes the backup itself.
  - name: disk-a
    repository: {disk}
    # Secrets stand in a file or in a variable of the worker's environment, never in a definition.
    password: {{ file: {password} }}
    media: disk
    site: hq                    # the building: what burns down together
    failure_domain: array-1     # what fails together: a host, an array

  # Off-site: another building than the source's.
  - name: nas-b
    repository: {nas}
    password: {{ file: {password} }}
    media: nas
    site: branch
    failure_domain: nas-1

  # Isolated: `producer target detach vault-c` has a worker list what it holds, says when to take the medium
  # away, and counts it as isolated once a worker could not reach it any more.
  - name: vault-c
    repository: {removable}
    password: {{ file: {password} }}
    media: removable
    site: vault
    failure_domain: cartridge-1
    isolation: detached

jobs:
  - name: demo
    owner: whoever reads this
    source:
      kind: files
      paths: [{source}]
      hashes: all               # a restore test compares the content of every file, not of a sample
      site: hq
      failure_domain: host-1
      media: disk
    targets: [disk-a, nas-b, vault-c]
    rpo: 26h                    # how old the newest restore point may be
    rto: 1h                     # how long a restore may take
    verify: {{ structure: 7d, read: 30d, restore: 90d }}   # how old each level of verification may be
"
    ))
}

/// A path as YAML: every JSON string is one.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("definitions cannot name {}: it is no UTF-8", path.display()))?;
    Ok(serde_json::to_string(text)?)
}
