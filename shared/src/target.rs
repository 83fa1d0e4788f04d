//! A target: a place that holds copies.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::Place;
use crate::name::{id_type, name_type, text_enum};

id_type! {
    /// A target's number in the database.
    TargetId(i32)
}

name_type! {
    /// A target's name, as definitions say it.
    TargetName
}

text_enum! {
    /// Classes of medium that rule `2-media` tells apart.
    Media {
        /// A disk in or at a server.
        Disk = "disk",
        /// Network attached storage.
        Nas = "nas",
        /// Object storage.
        Object = "object",
        /// Tape.
        Tape = "tape",
        /// A medium that is taken away: a USB disk, a cartridge.
        Removable = "removable",
    }
}

text_enum! {
    /// How a target is kept out of an attacker's reach.
    Isolation {
        /// Not at all.
        None = "none",
        /// The storage refuses to delete until a lock ends.
        Immutable = "immutable",
        /// It is taken away after it was written.
        Detached = "detached",
    }
}

text_enum! {
    /// Whether workers may use a target at this moment.
    TargetState {
        /// In use.
        Attached = "attached",
        /// No new work starts; what runs is let finish, then the contents are listed.
        Detaching = "detaching",
        /// Taken away, or about to be: everything but a probe waits.
        Detached = "detached",
    }
}

/// A target as it is defined and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name that definitions and parameters use.
    pub name: TargetName,
    /// A path, or `rest:URL`.
    pub repository: String,
    /// Where the worker finds the repository's password.
    pub password: SecretRef,
    /// Where it is.
    pub place: Place,
    /// How it is isolated.
    pub isolation: Isolation,
}

/// A secret by reference: its value is never in a definition, a message, a log or the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// The first line of a file on the machine of whoever uses it.
    File(PathBuf),
    /// A variable in the environment of whoever uses it.
    Env(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(variable) => write!(f, "the variable {variable}"),
        }
    }
}
