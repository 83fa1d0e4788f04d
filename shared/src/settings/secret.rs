//! Secrets, and who runs a command.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::SecretString;

use crate::target::SecretRef;

/// The longest name of a user that is kept, in characters.
const MAX_USER: usize = 63;
/// The largest file that a secret is read from, in bytes: whoever names a wrong one does not fill the memory.
const MOST_BYTES: u64 = 64 * 1024;

/// Fetches a secret by its reference.
///
/// # Errors
/// Names the file or variable, never the value.
pub fn secret(reference: &SecretRef) -> Result<SecretString, String> {
    match reference {
        SecretRef::Env(variable) => environment(variable)?
            .map(SecretString::from)
            .ok_or_else(|| format!("the variable {variable} is not set")),
        SecretRef::File(path) => first_line(path),
    }
}

/// The first line of a file, which may be linked to.
///
/// # Errors
/// The file is missing, no regular one, too large, cannot be read, or its first line is empty; names the path, never the content.
pub(super) fn first_line(path: &Path) -> Result<SecretString, String> {
    let told = |error: io::Error| format!("cannot read {}: {error}", path.display());
    // Looked at before it is opened: a pipe would keep whoever opens it waiting.
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(told)?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(told)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("{} is larger than 64 KiB", path.display()));
    }
    match text.lines().next() {
        None | Some("") => Err(format!("{} is empty, or begins with an empty line", path.display())),
        Some(line) => Ok(SecretString::from(line)),
    }
}

/// Who runs a command, as the environment says: a name for the records, no proof.
#[must_use]
pub fn user() -> Option<String> {
    let said = |variable| environment(variable).ok().flatten();
    // Behind sudo stands a person.
    let user = said("SUDO_USER").or_else(|| said("USER")).or_else(|| said("LOGNAME"))?;
    let user: String = user.chars().filter(|c| !c.is_control()).take(MAX_USER).collect();
    (!user.is_empty()).then_some(user)
}

/// An empty variable counts as absent, because that is how compose files leave one out.
#[expect(clippy::disallowed_methods, reason = "the one place where a process reads its environment")]
fn environment(variable: &str) -> Result<Option<String>, String> {
    match std::env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(format!("{variable}: is not UTF-8")),
    }
}
