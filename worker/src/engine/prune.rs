//! Ridding a repository of what no snapshot needs.
//!
//! In two phases, as the engine does by default: what is not needed is marked, and removed by a prune that finds it marked for
//! 23 hours. What is needed again by then is taken back.

use rustic_core::PruneOptions;

use super::{
    failure,
    forget::{removing, require_deletion},
    output::{Bars, phase},
    protocol::{Failure, PruneResult, Repository},
    repository::{self, Cache, Opened},
    warnings,
};

/// Prunes a repository.
///
/// # Errors
///
/// See [`repository::open`]. Permanent, with nothing changed: the repository is append-only, or what snapshots need is missing
/// or cannot be read. Transient: it cannot be listed in full, or not be written.
pub fn run(repository: &Repository) -> Result<PruneResult, Failure> {
    let opened = repository::open(repository, Cache::Use, Bars::default())?;
    require_deletion(&opened)?;
    let doing = format!("cannot prune {}", opened.shown);
    phase("plan");
    let options = PruneOptions::default();
    let plan = opened.rustic.prune_plan(&options).map_err(|error| failure::reading(&doing, &*error))?;
    // What only a snapshot needs that was not seen would be taken for waste.
    if warnings::listing_was_incomplete() {
        return Err(Failure::transient(format!("{doing}: it cannot be listed in full")));
    }
    let (size, held) = (plan.stats.size_sum(), plan.stats.size_to_delete);
    let bytes_marked = held.keep + size.remove + size.repack + plan.stats.size_unref;
    phase("prune");
    opened.rustic.prune(&options, plan).map_err(|error| removing(&doing, &*error))?;
    let bytes_kept = bytes_of_packs(&opened, &doing)?.saturating_sub(bytes_marked);
    Ok(PruneResult { bytes_removed: held.remove, bytes_marked, bytes_kept })
}

fn bytes_of_packs(opened: &Opened, doing: &str) -> Result<u64, Failure> {
    let files = opened.rustic.infos_files().map_err(|error| failure::reading(doing, &*error))?;
    let packs = files.repo.iter().filter(|files| files.tpe == rustic_core::FileType::Pack);
    Ok(packs.map(|packs| packs.size).sum())
}
