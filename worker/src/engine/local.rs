//! Repositories on this machine's file systems: what the engine does not check by itself.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    failure,
    protocol::{Failure, Repository},
};

/// What `init` leaves in the directory of a local repository, also when it dies half way.
const OWN_NAMES: [&str; 6] = ["config", "data", "index", "keys", "locks", "snapshots"];

/// The path of a repository on this machine, or `None` if it is elsewhere.
///
/// # Errors
///
/// If the path is not absolute.
pub fn path_of(repository: &Repository) -> Result<Option<PathBuf>, Failure> {
    let path = match repository.location.split_once(':') {
        None => Path::new(&repository.location),
        Some(("local", path)) => Path::new(path),
        Some(_) => return Ok(None),
    };
    if path.is_absolute() {
        Ok(Some(path.to_owned()))
    } else {
        Err(Failure::permanent(format!("the repository's path {} is not absolute", path.display())))
    }
}

/// Makes sure that the folders of a local repository can be listed: the engine takes an unreadable one for empty.
pub fn require_folders(path: &Path) -> Result<(), Failure> {
    match fs::metadata(path.join("config")) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = if path.exists() { "there is no config file" } else { "there is no such directory" };
            return Err(Failure::gone(format!("the repository is gone from {}: {what}", path.display())));
        }
        Err(error) => return Err(failure::transient(&format!("cannot reach {}", path.display()), &error)),
    }
    for name in OWN_NAMES.iter().filter(|name| **name != "config" && **name != "locks") {
        match fs::read_dir(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failure::transient(
                    &format!("cannot list {}", path.join(name).display()),
                    &error,
                ));
            }
            _ => {}
        }
    }
    match fs::read_dir(path.join("keys")).map(|mut keys| keys.next().is_none()) {
        Ok(false) => Ok(()),
        _ => Err(Failure::permanent(format!("the repository at {} has lost its keys", path.display()))),
    }
}

/// Makes sure that a local repository may be created here: the parent is there, and nothing else is in the way.
pub fn require_room(path: &Path) -> Result<(), Failure> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(Failure::permanent(format!(
            "the directory that shall hold the repository {} does not exist",
            path.display()
        )));
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure::transient(&format!("cannot list {}", path.display()), &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failure::transient("cannot list the repository's path", &error))?;
        let name = entry.file_name();
        if !OWN_NAMES.iter().any(|own| name == *own) {
            return Err(Failure::permanent(format!(
                "{} is not empty and no repository: it holds {}",
                path.display(),
                name.display()
            )));
        }
    }
    Ok(())
}
