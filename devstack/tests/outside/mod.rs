//! What can be seen of processes from outside.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A directory that the servers' user can reach, wherever the checkout is.
pub(crate) fn scratch() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    // Closed to others as made by root; the servers run as `nobody` then.
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

/// The command lines of all processes that mention the directory in it, or in their environment or as their place.
pub(crate) fn processes_of(directory: &Path) -> Vec<String> {
    let directory = directory.canonicalize().unwrap().display().to_string();
    let mentions = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&directory);
    pids()
        .filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let place = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let line = read("cmdline");
            let ours = mentions(&line)
                || mentions(&read("environ"))
                || mentions(place.as_os_str().as_encoded_bytes());
            ours.then(|| String::from_utf8_lossy(&line).replace('\0', " "))
        })
        .collect()
}

/// The numbers of all processes but this one.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    let own = std::process::id();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

/// Looks until there is something to see.
pub(crate) async fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
