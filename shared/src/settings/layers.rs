//! Where settings come from: flags over environment over file.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use super::Sources;

/// Keys whose variables have the names that they usually have.
const SERVERS: [&str; 4] = ["database_url", "database_read_url", "amqp_url", "redis_url"];
/// What the variables of all other keys begin with.
const PREFIX: &str = "HOLDFAST_";

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A flag.
    Flag(String),
    /// A variable of the environment.
    Variable(String),
    /// A file and the key in it.
    File(String, String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--set {key}"),
            Self::Variable(variable) => f.write_str(variable),
            Self::File(file, key) => write!(f, "{file}: {key}"),
        }
    }
}

/// All that was given.
#[derive(Debug, Default)]
pub(super) struct Layers {
    flags: BTreeMap<String, String>,
    environment: BTreeMap<String, OsString>,
    file: BTreeMap<String, String>,
    file_name: String,
}

impl Layers {
    /// Reads the sources; what is wrong with them is added to `errors`.
    pub(super) fn read(sources: &Sources, errors: &mut Vec<String>) -> Self {
        let mut flags = BTreeMap::new();
        for pair in &sources.overrides {
            match pair.split_once('=') {
                Some((key, value)) => _ = flags.insert(key.trim().to_owned(), value.to_owned()),
                None => errors.push("--set: write it as KEY=VALUE".to_owned()),
            }
        }
        let file = sources.config.as_deref().map(|path| read_file(path, errors)).unwrap_or_default();
        let file_name = sources.config.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        Self { flags, environment: environment(), file, file_name }
    }

    /// What was given for a key, and where.
    ///
    /// # Errors
    /// The variable is no text.
    pub(super) fn find(&self, key: &str) -> Result<Option<(Origin, String)>, String> {
        if let Some(value) = self.flags.get(key) {
            return Ok(Some((Origin::Flag(key.to_owned()), value.clone())));
        }
        let variable = variable(key);
        if let Some(value) = self.environment.get(&variable) {
            let text = value.to_str().ok_or_else(|| format!("{variable}: is not UTF-8"))?;
            return Ok(Some((Origin::Variable(variable), text.to_owned())));
        }
        let origin = || Origin::File(self.file_name.clone(), key.to_owned());
        Ok(self.file.get(key).map(|value| (origin(), value.clone())))
    }

    /// What was given in the file and in flags for keys that nobody knows.
    pub(super) fn unknown(&self, known: impl Fn(&str) -> bool) -> Vec<String> {
        let in_file = self.file.keys().filter(|key| !known(key));
        let in_flags = self.flags.keys().filter(|key| !known(key));
        in_file
            .map(|key| format!("{}: {key}: is unknown", self.file_name))
            .chain(in_flags.map(|key| unknown_flag(key)))
            .collect()
    }

    /// Variables that have our prefix and belong to no key.
    pub(super) fn unknown_variables(&self, known: impl Fn(&str) -> bool) -> Vec<String> {
        let unknown = |name: &&String| name.starts_with(PREFIX) && !known(name);
        self.environment.keys().filter(unknown).map(|name| format!("{name}: is unknown")).collect()
    }
}

/// Where the key was forgotten a part of a secret stands in its place.
fn unknown_flag(key: &str) -> String {
    let part_of_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
    if key.chars().all(part_of_key) {
        format!("--set {key}: is unknown")
    } else {
        "--set: what stands before the first = is no key: write it as KEY=VALUE".to_owned()
    }
}

/// What the variable of a key is called.
pub(super) fn variable(key: &str) -> String {
    let name = key.to_uppercase().replace(['.', '-'], "_");
    let server = SERVERS.iter().any(|server| key == *server || key.strip_suffix("_file") == Some(server));
    if server { name } else { format!("{PREFIX}{name}") }
}

/// The variables that may be settings. An empty one counts as absent, because that is how compose files leave one out.
fn environment() -> BTreeMap<String, OsString> {
    let ours = |name: OsString| -> Option<String> {
        let name = name.into_string().ok()?;
        let server =
            || SERVERS.iter().any(|key| name.strip_suffix("_FILE").unwrap_or(&name) == variable(key));
        (name.starts_with(PREFIX) || server()).then_some(name)
    };
    let given = std::env::vars_os().filter(|(_, value)| value != OsStr::new(""));
    given.filter_map(|(name, value)| Some((ours(name)?, value))).collect()
}

fn read_file(path: &Path, errors: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let parsed = std::fs::read_to_string(path)
        .map_err(|error| error.to_string())
        .and_then(|text| text.parse::<toml::Table>().map_err(|error| told(&error, &text)));
    match parsed {
        Ok(table) => flatten("", &table, &mut settings),
        Err(error) => errors.push(format!("{}: {error}", path.display())),
    }
    settings
}

/// The parser's own text shows the line, which may hold a secret.
fn told(error: &toml::de::Error, text: &str) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
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
