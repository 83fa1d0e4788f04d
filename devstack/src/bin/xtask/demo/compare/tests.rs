use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    time::{Duration, SystemTime},
};

use super::*;

/// Two equal trees with one entry of each type.
struct Pair(tempfile::TempDir);

impl Pair {
    fn new() -> Self {
        let pair = Self(tempfile::tempdir().unwrap());
        for side in ["source", "restored"] {
            let at = |name: &str| pair.0.path().join(side).join(name);
            fs::create_dir_all(at("directory/empty")).unwrap();
            fs::write(at("directory/file"), "content").unwrap();
            fs::write(at("first"), "linked").unwrap();
            fs::hard_link(at("first"), at("second")).unwrap();
            symlink("nowhere", at("dangling")).unwrap();
            for name in ["first", "directory/file", "directory/empty", "directory"] {
                touch(&at(name), 0);
            }
            let times = rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
                last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 2 },
            };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, at("dangling"), &times, flags).unwrap();
        }
        pair
    }

    fn restored(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("restored").join(name)
    }

    /// The differences, after making the directory's own time equal again.
    fn differences(&self) -> Vec<String> {
        touch(&self.restored("directory"), 0);
        let read = AtomicU64::new(0);
        let comparison =
            compare(&self.0.path().join("source"), &self.0.path().join("restored"), &read).unwrap();
        assert_eq!(comparison.differences, comparison.first.len() as u64);
        comparison.first
    }
}

fn touch(path: &Path, nanoseconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 0) + Duration::from_nanos(nanoseconds);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn equal_trees_do_not_differ() {
    let pair = Pair::new();
    assert_eq!(pair.differences(), Vec::<String>::new());
}

#[test]
fn another_content_of_the_same_size_is_found() {
    let pair = Pair::new();
    fs::write(pair.restored("directory/file"), "CONTENT").unwrap();
    touch(&pair.restored("directory/file"), 0);
    assert_eq!(pair.differences(), ["\"directory/file\" has another content"]);
}

#[test]
fn another_size_is_found() {
    let pair = Pair::new();
    fs::write(pair.restored("directory/file"), "more content").unwrap();
    touch(&pair.restored("directory/file"), 0);
    assert_eq!(pair.differences(), ["\"directory/file\" has 12 bytes instead of 7"]);
}

#[test]
fn another_mode_is_found() {
    let pair = Pair::new();
    fs::set_permissions(pair.restored("directory/empty"), Permissions::from_mode(0o1700)).unwrap();
    fs::set_permissions(pair.0.path().join("source/directory/empty"), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(pair.differences(), ["\"directory/empty\" has the permissions 1700 instead of 0755"]);
}

#[test]
fn another_time_is_found_by_the_nanosecond() {
    let pair = Pair::new();
    touch(&pair.restored("directory/file"), 1);
    let expected = "\"directory/file\" was modified at (1000000000, 1) instead of (1000000000, 0)";
    assert_eq!(pair.differences(), [expected]);
}

#[test]
fn another_target_of_a_link_is_found() {
    let pair = Pair::new();
    let link = pair.restored("dangling");
    let times = fs::symlink_metadata(&link).unwrap();
    fs::remove_file(&link).unwrap();
    symlink("elsewhere", &link).unwrap();
    let differences = pair.differences();
    assert!(times.is_symlink());
    assert!(
        differences
            .contains(&"\"dangling\" points to Some(\"elsewhere\") instead of Some(\"nowhere\")".to_owned()),
        "{differences:?}"
    );
}

#[test]
fn a_missing_and_a_surplus_entry_are_found() {
    let pair = Pair::new();
    fs::rename(pair.restored("directory/file"), pair.restored("directory/fil\u{e9}\n")).unwrap();
    let expected = ["\"directory/file\" is missing", "\"directory/filé\\n\" is not in the source"];
    assert_eq!(pair.differences(), expected);
}

#[test]
fn another_type_is_found() {
    let pair = Pair::new();
    fs::remove_dir(pair.restored("directory/empty")).unwrap();
    fs::write(pair.restored("directory/empty"), "").unwrap();
    assert_eq!(pair.differences(), ["\"directory/empty\" is a File instead of a Directory"]);
}

#[test]
fn a_hard_link_that_became_a_copy_is_found() {
    let pair = Pair::new();
    fs::remove_file(pair.restored("second")).unwrap();
    fs::write(pair.restored("second"), "linked").unwrap();
    touch(&pair.restored("second"), 0);
    assert_eq!(pair.differences(), ["\"second\" is a hard link of None instead of Some(\"first\")"]);
}

#[test]
fn all_differences_are_counted_and_the_first_are_told() {
    let pair = Pair::new();
    for number in 0..30 {
        fs::write(pair.restored(&format!("surplus-{number}")), "").unwrap();
    }
    let read = AtomicU64::new(0);
    let comparison = compare(&pair.0.path().join("source"), &pair.0.path().join("restored"), &read).unwrap();
    assert_eq!((comparison.differences, comparison.first.len()), (30, 20));
}
