//! Configuration: `--set` over environment over file over defaults, everything wrong reported at once.
//!
//! A key such as `pools.backup.slots` is written so in a TOML file and as `HOLDFAST_POOLS_BACKUP_SLOTS` in the
//! environment. The URLs of servers keep their usual names, `DATABASE_URL`, `DATABASE_READ_URL`, `AMQP_URL` and `REDIS_URL`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use crate::target::SecretRef;

/// Keys whose variables have the names that they usually have.
const URLS: [&str; 4] = ["database_url", "database_read_url", "amqp_url", "redis_url"];

/// The longest name of a user that is kept, in characters.
const MAX_USER: usize = 63;

/// Where settings come from, as flags of every process.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Sources {
    /// Reads settings from a TOML file
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Sets one setting, over environment and file
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub overrides: Vec<String>,
}

/// All that is wrong with a process's settings.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct Invalid(Vec<String>);

/// Settings that are being read.
pub struct Settings {
    file: BTreeMap<String, String>,
    file_name: String,
    overrides: BTreeMap<String, String>,
    asked: BTreeSet<String>,
    errors: Vec<String>,
}

impl Settings {
    /// Opens the sources; what is wrong with them is reported by [`Settings::finish`].
    #[must_use]
    pub fn open(sources: &Sources) -> Self {
        let mut errors = Vec::new();
        let file = sources.config.as_deref().map(|path| read_file(path, &mut errors)).unwrap_or_default();
        let mut overrides = BTreeMap::new();
        for pair in &sources.overrides {
            match pair.split_once('=') {
                Some((key, value)) => _ = overrides.insert(key.trim().to_owned(), value.to_owned()),
                None => errors.push(format!("--set {pair}: write it as KEY=VALUE")),
            }
        }
        let file_name = sources.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        Self { file, file_name, overrides, asked: BTreeSet::new(), errors }
    }

    /// A setting with a default.
    pub fn get<T: FromStr<Err: Display>>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A setting that may be absent.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        let (origin, text) = self.find(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.errors.push(format!("{origin}: {error}"));
                None
            }
        }
    }

    /// A length of time such as `30s` or `5m`.
    pub fn duration(&mut self, key: &str, default: Duration) -> Duration {
        self.optional::<humantime::Duration>(key).map_or(default, Into::into)
    }

    /// A URL that may hold a password, and must be there.
    pub fn url(&mut self, key: &str) -> SecretString {
        match self.find(key) {
            Some((_, url)) => SecretString::from(url),
            None => {
                self.errors.push(format!("{}: is missing", environment_name(key)));
                SecretString::default()
            }
        }
    }

    /// Reports a rule that several settings break together.
    pub fn reject(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that was wrong, each with its key's name; keys that the process does not know are wrong as well.
    pub fn finish(mut self) -> Result<(), Invalid> {
        let unknown_in_file = self.file.keys().filter(|key| !self.asked.contains(*key));
        let unknown_in_flags = self.overrides.keys().filter(|key| !self.asked.contains(*key));
        let unknown: Vec<String> = unknown_in_file
            .map(|key| format!("{}: {key}: is unknown", self.file_name))
            .chain(unknown_in_flags.map(|key| format!("--set {key}: is unknown")))
            .collect();
        self.errors.extend(unknown);
        if self.errors.is_empty() { Ok(()) } else { Err(Invalid(self.errors)) }
    }

    fn find(&mut self, key: &str) -> Option<(String, String)> {
        self.asked.insert(key.to_owned());
        if let Some(value) = self.overrides.get(key) {
            return Some((format!("--set {key}"), value.clone()));
        }
        let variable = environment_name(key);
        match environment(&variable) {
            Ok(Some(value)) => return Some((variable, value)),
            Ok(None) => {}
            Err(error) => self.errors.push(error),
        }
        self.file.get(key).map(|value| (format!("{}: {key}", self.file_name), value.clone()))
    }
}

fn environment_name(key: &str) -> String {
    let name = key.to_uppercase().replace(['.', '-'], "_");
    if URLS.contains(&key) { name } else { format!("HOLDFAST_{name}") }
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

/// Who runs a command, as the environment says: a name for the records, no proof.
#[must_use]
pub fn user() -> Option<String> {
    let said = |variable| environment(variable).ok().flatten();
    // Behind sudo stands a person.
    let user = said("SUDO_USER").or_else(|| said("USER")).or_else(|| said("LOGNAME"))?;
    let user: String = user.chars().filter(|c| !c.is_control()).take(MAX_USER).collect();
    (!user.is_empty()).then_some(user)
}

fn read_file(path: &Path, errors: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let parsed = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| error.to_string()));
    match parsed {
        Ok(table) => flatten("", &table, &mut settings),
        Err(error) => errors.push(format!("{}: {error}", path.display())),
    }
    settings
}

fn flatten(prefix: &str, table: &toml::Table, settings: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, settings),
            toml::Value::String(text) => _ = settings.insert(key, text.clone()),
            other => _ = settings.insert(key, other.to_string()),
        }
    }
}

/// Fetches a secret by its reference.
///
/// # Errors
/// Names the file or variable, never the value.
pub fn secret(reference: &SecretRef) -> Result<SecretString, String> {
    let value = match reference {
        SecretRef::Env(variable) => {
            environment(variable)?.ok_or_else(|| format!("the variable {variable} is not set"))?
        }
        SecretRef::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
    };
    if value.is_empty() {
        return Err(format!("{reference} is empty"));
    }
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(overrides: &[&str]) -> Settings {
        let overrides = overrides.iter().map(ToString::to_string).collect();
        Settings::open(&Sources { config: None, overrides })
    }

    #[test]
    fn everything_wrong_is_reported_at_once_with_its_key() {
        let mut settings = open(&["pools.backup.slots=many", "colour=blue", "nonsense"]);
        settings.get("pools.backup.slots", 2_usize);
        settings.duration("lease", Duration::from_mins(5));
        settings.url("some_url");
        let message = settings.finish().unwrap_err().to_string();
        for part in ["pools.backup.slots", "colour: is unknown", "nonsense", "HOLDFAST_SOME_URL: is missing"]
        {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }

    #[test]
    fn a_file_is_under_the_flags_and_over_the_defaults() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "lease = \"7m\"\n[pools.backup]\nslots = 9\n").unwrap();
        let overrides = vec!["pools.backup.slots=3".to_owned()];
        let mut settings = Settings::open(&Sources { config: Some(file.path().to_owned()), overrides });
        assert_eq!(settings.get("pools.backup.slots", 2_usize), 3);
        assert_eq!(settings.duration("lease", Duration::from_mins(5)).as_secs(), 420);
        assert_eq!(settings.get("pools.copy.slots", 2_usize), 2);
        settings.finish().unwrap();
    }

    #[test]
    fn a_secret_that_cannot_be_had_names_its_reference() {
        let error = secret(&SecretRef::File("/nonexistent/key".into())).unwrap_err();
        assert!(error.contains("/nonexistent/key"), "{error}");
        assert!(secret(&SecretRef::Env("HOLDFAST_NO_SUCH_SECRET".into())).is_err());
    }
}
