//! Configuration: `--set` over environment over file over defaults, everything wrong reported at once.
//!
//! A key such as `pools.backup.slots` is written so in a TOML file and as `HOLDFAST_POOLS_BACKUP_SLOTS` in the
//! environment. The URLs of servers keep their usual names, `DATABASE_URL`, `DATABASE_READ_URL`, `AMQP_URL` and `REDIS_URL`;
//! they are secrets, which may come from files that `DATABASE_URL_FILE` and so on name.
//!
//! What a setting is called, what it may be and what it is for is said where it is read. Documents ([`document`]), the check of
//! a configuration ([`check`]) and what counts as unknown come from that.

pub mod check;
pub mod document;
pub mod key;

mod layers;
mod secret;

use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

pub use key::{Key, Value, key};
pub use secret::{secret, user};

use layers::{Layers, Origin, variable};

/// The keys of all programs, one a line: each program minds only its own, and tells those of others from misspelt ones.
const KEYS: &str = include_str!("settings/keys.txt");

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

/// A setting as documents show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its name in files and flags.
    pub key: String,
    /// Its name in the environment.
    pub variable: String,
    /// What it may be.
    pub kind: String,
    /// Which values it may have, where not all.
    pub range: Option<String>,
    /// What it is when nothing is given; `None` where it is absent then.
    pub default: Option<String>,
    /// What the example file has, as TOML.
    pub example: String,
    /// Whether the process does not start without it.
    pub required: bool,
    /// Whether it is never shown.
    pub secret: bool,
    /// What it is for.
    pub about: String,
}

/// What came of reading one setting.
#[derive(Debug, Clone)]
struct Asked {
    described: Described,
    /// The value as it is shown, and where it came from; `None` where it is absent.
    value: Option<(String, String)>,
}

/// Settings that are being read.
#[derive(Debug, Default)]
pub struct Settings {
    layers: Layers,
    asked: BTreeMap<String, Asked>,
    errors: Vec<String>,
    doubts: Vec<String>,
    remarks: Vec<String>,
}

impl Settings {
    /// Opens the sources; what is wrong with them is reported by [`Settings::finish`].
    #[must_use]
    pub fn open(sources: &Sources) -> Self {
        let mut errors = Vec::new();
        let layers = Layers::read(sources, &mut errors);
        Self { layers, errors, ..Self::default() }
    }

    /// Opens nothing: reading then finds out which settings there are.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// A setting with a default.
    pub fn get<T: Value>(&mut self, key: Key, default: T) -> T {
        self.within(key, default, ..)
    }

    /// A setting with a default, of some values only.
    pub fn within<T: Value>(&mut self, key: Key, default: T, range: impl RangeBounds<T>) -> T {
        let words = key::words(&range);
        let shown = key.default.map_or_else(|| default.show(), str::to_owned);
        let described = described::<T>(key, words.clone(), Some((shown, default.show())));
        let Some((origin, value)) = self.find::<T>(&described) else {
            self.note(described, default.show(), "default");
            return default;
        };
        if !range.contains(&value) {
            self.errors.push(format!("{origin}: use {}", words.unwrap_or_default()));
            return default;
        }
        self.note(described, value.show(), &origin);
        value
    }

    /// A setting that may be absent.
    pub fn optional<T: Value>(&mut self, key: Key) -> Option<T> {
        let described = described::<T>(key, None, None);
        let Some((origin, value)) = self.find::<T>(&described) else {
            self.asked.entry(described.key.clone()).or_insert(Asked { described, value: None });
            return None;
        };
        self.note(described, value.show(), &origin);
        Some(value)
    }

    /// A length of time such as `30s` or `5m`.
    pub fn duration(&mut self, key: Key, default: Duration) -> Duration {
        self.get(key, default)
    }

    /// A secret that must be there, such as a URL with a password.
    pub fn secret(&mut self, key: Key) -> SecretString {
        let name = key.name.clone();
        match self.read_secret(key, true) {
            Ok(Some(secret)) => secret,
            Ok(None) => {
                let variable = variable(&name);
                self.errors.push(format!("{variable}: is missing, and so is {variable}_FILE"));
                SecretString::default()
            }
            Err(error) => {
                self.errors.push(error);
                SecretString::default()
            }
        }
    }

    /// A secret that may be absent.
    pub fn optional_secret(&mut self, key: Key) -> Option<SecretString> {
        self.read_secret(key, false).unwrap_or_else(|error| {
            self.errors.push(error);
            None
        })
    }

    /// Reports what is wrong with a value, or a rule that several settings break together.
    pub fn reject(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Reports what the process can begin with and nobody wants: it is told at the start, and a check of the configuration fails.
    pub fn doubt(&mut self, doubt: String) {
        self.doubts.push(doubt);
    }

    /// Tells something that may be meant so.
    pub fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    /// Ends the reading; returns what is to be told at the start.
    ///
    /// # Errors
    /// Everything that was wrong, each with its key's name; keys that no program knows are wrong as well.
    pub fn finish(mut self) -> Result<Vec<String>, Invalid> {
        self.look_for_unknown();
        if !self.errors.is_empty() {
            return Err(Invalid(self.errors));
        }
        self.doubts.append(&mut self.remarks);
        Ok(self.doubts)
    }

    /// The settings that were read.
    #[must_use]
    pub fn described(self) -> Vec<Described> {
        self.asked.into_values().map(|asked| asked.described).collect()
    }

    fn look_for_unknown(&mut self) {
        let asked = |key: &str| self.asked.contains_key(key);
        let known = |key: &str| asked(key) || KEYS.lines().any(|other| other == key);
        let variables: Vec<String> =
            self.asked.keys().map(String::as_str).chain(KEYS.lines()).map(variable).collect();
        self.errors.extend(self.layers.unknown(known));
        let unknown = self.layers.unknown_variables(|name| variables.iter().any(|known| known == name));
        self.doubts.extend(unknown);
    }

    fn find<T: Value>(&mut self, described: &Described) -> Option<(String, T)> {
        match self.layers.find(&described.key) {
            Ok(found) => {
                let (origin, text) = found?;
                match T::read(&text) {
                    Ok(value) => return Some((origin.to_string(), value)),
                    Err(error) => self.errors.push(format!("{origin}: {error}")),
                }
            }
            Err(error) => self.errors.push(error),
        }
        None
    }

    fn note(&mut self, described: Described, value: String, origin: &str) {
        let value = Some((value, origin.to_owned()));
        self.asked.insert(described.key.clone(), Asked { described, value });
    }

    /// The value itself, or the first line of the file that another key names.
    fn read_secret(&mut self, key: Key, required: bool) -> Result<Option<SecretString>, String> {
        let file_name = format!("{}_file", key.name);
        let about = format!("A file whose first line is `{}`; give one of the two", key.name);
        let file_key = self::key(file_name.clone(), about);
        let mut described = described::<String>(key, None, None);
        (described.secret, described.required) = (true, required);
        "a secret".clone_into(&mut described.kind);
        let given = self.layers.find(&described.key)?;
        let file = self.optional::<PathBuf>(file_key);
        let file_origin = self.layers.find(&file_name)?.map(|(origin, _)| origin.to_string());
        if let Some((origin @ Origin::Flag(_), _)) = &given {
            let variable = variable(&described.key);
            return Err(format!(
                "{origin}: others can read it in the list of processes: use {variable} or {variable}_FILE"
            ));
        }
        let hidden = |origin: &str| Some(("(hidden)".to_owned(), origin.to_owned()));
        let (value, secret) = match (given, file.zip(file_origin)) {
            (Some((origin, _)), Some((_, file_origin))) => {
                return Err(format!("{origin}: is given, and so is {file_origin}: leave one of them out"));
            }
            (Some((origin, value)), None) => (hidden(&origin.to_string()), Some(SecretString::from(value))),
            (None, Some((path, origin))) => {
                let secret = secret::first_line(&path).map_err(|error| format!("{origin}: {error}"));
                (hidden(&origin), Some(secret?))
            }
            (None, None) => (None, None),
        };
        self.asked.insert(described.key.clone(), Asked { described, value });
        Ok(secret.filter(|secret| !secret.expose_secret().is_empty()))
    }
}

/// `default` is as documents show it, and as it is written.
fn described<T: Value>(key: Key, range: Option<String>, default: Option<(String, String)>) -> Described {
    let Key { name, about, example, .. } = key;
    let (default, written) = default.unzip();
    let example = example.map(str::to_owned).or(written).unwrap_or_default();
    Described {
        key: name.to_string(),
        variable: variable(&name),
        kind: T::KIND.to_owned(),
        range,
        default,
        example: if T::BARE { example } else { toml::Value::String(example).to_string() },
        required: false,
        secret: false,
        about: about.to_string(),
    }
}

#[cfg(test)]
mod tests;
