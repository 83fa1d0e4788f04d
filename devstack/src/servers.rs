//! The server programs installed on this machine.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A release number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// What has to fit between data and program.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 where there is none.
    pub patch: Option<u32>,
}

impl Version {
    const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor, patch: None }
    }

    /// Reads the first release number in `text`.
    fn find(text: &str) -> Option<Self> {
        let start = text.find(|character: char| character.is_ascii_digit())?;
        let number =
            text[start..].split(|character: char| !character.is_ascii_digit() && character != '.').next()?;
        let mut parts = number.split('.').filter_map(|part| part.parse().ok());
        Some(Self { major: parts.next()?, minor: parts.next().unwrap_or(0), patch: parts.next() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(formatter, ".{patch}"))
    }
}

/// One of the two servers a stack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The database.
    Postgres,
    /// The message broker.
    RabbitMq,
}

impl Server {
    /// The name its makers give it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::RabbitMq => "RabbitMQ",
        }
    }

    /// The oldest release Holdfast works with.
    #[must_use]
    pub fn oldest(self) -> Version {
        match self {
            Self::Postgres => Version::new(15, 0),
            Self::RabbitMq => Version::new(3, 10),
        }
    }
}

/// An installed server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its release.
    pub version: Version,
    /// The directory of its programs.
    pub programs: PathBuf,
}

/// What the search for a server found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The newest release, new enough.
    Ready(Installed),
    /// Only this release.
    TooOld(Installed),
    /// Nothing, at none of the usual places.
    Nothing,
}

/// Looks for a server at the usual places and along `PATH`; needs no privilege and starts no server.
#[must_use]
pub fn find(server: Server) -> Found {
    let candidates = match server {
        Server::Postgres => postgres_directories().into_iter().filter_map(postgres_in).collect::<Vec<_>>(),
        Server::RabbitMq => rabbitmq_directories().into_iter().filter_map(rabbitmq_in).collect(),
    };
    // The first of equals, hence the reversal: `max_by_key` takes the last.
    match candidates.into_iter().rev().max_by_key(|one| one.version) {
        Some(newest) if newest.version >= server.oldest() => Found::Ready(newest),
        Some(newest) => Found::TooOld(newest),
        None => Found::Nothing,
    }
}

/// Where a program is that `PATH` or the usual system directories hold.
pub(crate) fn find_in_path(program: &str) -> Option<PathBuf> {
    path_directories().into_iter().map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Erlang's port mapper, which a RabbitMQ node needs beside it.
pub(crate) fn find_epmd() -> Option<PathBuf> {
    find_in_path("epmd").or_else(|| {
        let roots =
            ["/usr/lib/erlang", "/usr/lib64/erlang", "/usr/local/lib/erlang", "/opt/erlang/lib/erlang"];
        roots.iter().map(|root| Path::new(root).join("bin/epmd")).find(|path| path.is_file())
    })
}

fn postgres_directories() -> Vec<PathBuf> {
    // Debian and Ubuntu keep the releases apart, and out of PATH; so do the makers' own packages for
    // Fedora.
    let mut directories: Vec<PathBuf> =
        entries("/usr/lib/postgresql").into_iter().map(|release| release.join("bin")).collect();
    directories.extend(
        entries("/usr")
            .into_iter()
            .filter(|path| path.to_string_lossy().starts_with("/usr/pgsql-"))
            .map(|release| release.join("bin")),
    );
    directories.extend(path_directories());
    directories
}

fn postgres_in(programs: PathBuf) -> Option<Installed> {
    if !programs.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let version = Version::find(&String::from_utf8_lossy(&output.stdout))?;
    Some(Installed { version, programs })
}

fn rabbitmq_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        entries("/usr/lib/rabbitmq/lib").into_iter().map(|release| release.join("sbin")).collect();
    directories.push("/opt/rabbitmq/sbin".into());
    // A link in PATH leads to the real place. Debian's leads to a wrapper that insists on the system's user
    // and directories; it fails the next test, because the plugins are not beside it.
    directories.extend(path_directories().into_iter().filter_map(|directory| {
        let program = directory.join("rabbitmq-server").canonicalize().ok()?;
        Some(program.parent()?.to_owned())
    }));
    directories
}

fn rabbitmq_in(programs: PathBuf) -> Option<Installed> {
    if !programs.join("rabbitmq-server").is_file() {
        return None;
    }
    // Every distribution of RabbitMQ has its core as plugins/rabbit-RELEASE; asking the program for its
    // release would start an Erlang machine.
    let version = entries(programs.parent()?.join("plugins"))
        .into_iter()
        .find_map(|plugin| Version::find(plugin.file_name()?.to_str()?.strip_prefix("rabbit-")?))?;
    Some(Installed { version, programs })
}

fn path_directories() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    env::split_paths(&path).chain(system.iter().map(PathBuf::from)).collect()
}

fn entries(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_compared_by_number() {
        let postgres = Version::find("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").unwrap();
        assert_eq!(postgres.to_string(), "15.18");
        assert!(postgres >= Server::Postgres.oldest());
        let beta = Version::find("postgres (PostgreSQL) 19beta1").unwrap();
        assert_eq!(beta.to_string(), "19.0");
        let rabbitmq = Version::find("3.10.8").unwrap();
        assert_eq!(rabbitmq.to_string(), "3.10.8");
        assert!(rabbitmq >= Server::RabbitMq.oldest());
        assert!(Version::find("3.9.29").unwrap() < Server::RabbitMq.oldest());
    }
}
