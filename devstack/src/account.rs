//! The user the servers run as.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use rustix::process::geteuid;

/// Who runs the servers: the caller itself, or `nobody` when the caller is root.
///
/// PostgreSQL refuses to run as root. `nobody` exists on every Linux, whatever packages are installed, and
/// owns nothing: a server of ours can neither read nor change what belongs to the system's own servers,
/// which the users `postgres` and `rabbitmq` could.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    reduced_to: Option<Ids>,
}

#[derive(Clone, Copy, Debug)]
struct Ids {
    user: u32,
    group: u32,
}

impl Account {
    /// Errors: the caller is root and there is no user `nobody`.
    pub(crate) fn choose() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self { reduced_to: None });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let nobody = find_user(&users, "nobody")
            .context("started by root, and there is no user `nobody` to run the servers as")?;
        Ok(Self { reduced_to: Some(nobody) })
    }

    /// Makes `command` run as this user, with no group but the user's own.
    pub(crate) fn apply_to(self, command: &mut Command) {
        if let Some(ids) = self.reduced_to {
            // With a user given, the standard library also drops root's supplementary groups.
            command.uid(ids.user).gid(ids.group);
        }
    }

    /// Gives one file or directory to this user.
    pub(crate) fn give(self, path: &Path) -> anyhow::Result<()> {
        let Some(ids) = self.reduced_to else { return Ok(()) };
        chown(path, Some(ids.user), Some(ids.group))
            .with_context(|| format!("cannot give {} to the user `nobody`", path.display()))
    }

    /// The user's number.
    pub(crate) fn user(self) -> u32 {
        self.reduced_to.map_or_else(|| geteuid().as_raw(), |ids| ids.user)
    }

    /// Whether this user can reach `directory`: found out by trying, since every directory above it, access
    /// lists and security modules have a say.
    pub(crate) fn can_enter(self, directory: &Path) -> bool {
        let mut command = Command::new("ls");
        command.arg("-d").arg(directory.join(".")).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.apply_to(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

fn find_user(passwd: &str, name: &str) -> Option<Ids> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        Some(Ids { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "nobody2:x:7:8::/:/bin/sh\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n";
        let ids = find_user(users, "nobody").unwrap();
        assert_eq!((ids.user, ids.group), (65534, 65533));
        assert!(find_user(users, "postgres").is_none());
    }
}
