//! Checking one snapshot inside its repository.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rustic_core::{CheckOptions, LsOptions, RusticResult, repofile::SnapshotFile};

use super::{
    failure::{self, Cause, cause, chain},
    protocol::{Failure, Named},
    repository::Indexed,
    restore::panic_message,
    warnings,
};

/// Checks the index, the snapshot's trees and the presence and size of its packs; with `read` also all bytes of these
/// packs. Returns what is wrong with this snapshot: damage that only others suffer from is left out.
///
/// # Errors
///
/// Transient: the repository could not be asked, which is no evidence against it.
pub fn check(rustic: &Indexed, snapshot: &SnapshotFile, read: bool) -> Result<Named, Failure> {
    let options = CheckOptions::default().read_data(read);
    let checked = catch_unwind(AssertUnwindSafe(|| rustic.check_with_trees(options, vec![snapshot.tree])));
    let results = match checked {
        Ok(Ok(results)) => results,
        Ok(Err(error)) if cause(&*error) == Cause::Damage => return Ok(finding(chain(&*error))),
        Ok(Err(error)) => return Err(failure::transient("cannot check the repository", &*error)),
        Err(panic) => return judge_panic(&panic_message(&*panic)),
    };
    if warnings::listing_was_incomplete() {
        return Err(Failure::transient("the packs of the repository cannot all be listed"));
    }
    let mut findings = Named::default();
    let mut needed = None;
    for (level, error) in &results.0 {
        // The type of the level has no public name.
        if format!("{level:?}") != "Error" {
            continue;
        }
        if cause(error) == Cause::Outage {
            return Err(failure::transient("cannot check the repository", error));
        }
        let text = chain(error);
        let needed = needed.get_or_insert_with(|| needed_packs(rustic, snapshot).ok());
        let others = pack_of(&text).zip(needed.as_ref()).is_some_and(|(pack, needed)| !needed.contains(pack));
        if !others {
            findings.push(text);
        }
    }
    Ok(findings)
}

/// `rustic_core` panics on data that decrypts but does not decompress, and the like. It also does so when its own
/// threads are slow to let go of the index on a busy machine, which says nothing about the copy.
fn judge_panic(message: &str) -> Result<Named, Failure> {
    if message.starts_with("index still in use") {
        return Err(Failure::transient("the check's threads did not end in time"));
    }
    Ok(finding(message.to_owned()))
}

fn finding(text: String) -> Named {
    let mut findings = Named::default();
    findings.push(text);
    findings
}

/// How many digits of an id the engine shows. Two packs of one repository hardly ever share them; if they do, damage
/// of one is reported for snapshots that only need the other.
const SHOWN: usize = 8;

/// The pack that a finding is about, if it is about one.
fn pack_of(finding: &str) -> Option<&str> {
    let start = finding.find("pack ")? + "pack ".len();
    finding.get(start..start + SHOWN).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The packs that hold the snapshot's trees and data, as far as all trees can be read.
fn needed_packs(rustic: &Indexed, snapshot: &SnapshotFile) -> RusticResult<BTreeSet<String>> {
    let mut packs = BTreeSet::new();
    packs.insert(rustic.get_index_entry(&snapshot.tree)?.pack.to_string());
    let root = rustic.node_from_snapshot_and_path(snapshot, "")?;
    for node in rustic.ls(&root, &LsOptions::default())? {
        let (_, node) = node?;
        if let Some(tree) = &node.subtree {
            packs.insert(rustic.get_index_entry(tree)?.pack.to_string());
        }
        for blob in node.content.iter().flatten() {
            packs.insert(rustic.get_index_entry(blob)?.pack.to_string());
        }
    }
    Ok(packs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_about_a_pack_is_recognised() {
        let id = "01234def";
        assert_eq!(pack_of(&format!("pack {id} marked to-delete: false")), Some(id));
        assert_eq!(pack_of(&format!("error reading pack {id} : odd")), Some(id));
        assert_eq!(pack_of(&format!("file \"a\" blob {id} is missing in index")), None);
        assert_eq!(pack_of("pack of wolves"), None);
    }

    #[test]
    fn a_panic_of_the_engine_s_own_threads_is_no_evidence_against_the_copy() {
        let slow = super::judge_panic("index still in use: Index({Tree: TypeIndex { packs: [..] }})");
        assert_eq!(slow.unwrap_err().class, crate::engine::protocol::Class::Transient);
        assert_eq!(super::judge_panic("called `Option::unwrap()` on a `None` value").unwrap().count, 1);
    }
}
