//! Names that people choose, and numbers that the database chooses.

use std::fmt;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: use 1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or a digit"
)]
pub struct InvalidName(String);

/// The rule of [`check`] as a regular expression.
pub(crate) const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";

/// Checks the one rule for all names, so that a name is safe in a tag, a label, a file name and a routing key.
pub(crate) fn check(name: &str) -> Result<(), InvalidName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= 63 && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(InvalidName(name.chars().take(80).collect()))
    }
}

/// Defines a validated name as a type of its own.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::InvalidName;
            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $crate::name::check(name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::name::InvalidName;
            fn try_from(name: String) -> Result<Self, Self::Error> {
                $crate::name::check(&name)?;
                Ok(Self(name))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $crate::name::PATTERN })
            }
        }
    };
}

/// Defines an identifier as a type of its own around the database's column type.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(pub $inner);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// Defines an enum that is text on the wire, in the database and on the terminal, with one spelling.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one spelling of this value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::name::UnknownWord::new(other, &[$($text),+])),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(crate) use {id_type, name_type, text_enum};

/// A word that is none of those that a field knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownWord {
    word: String,
    known: &'static [&'static str],
}

impl UnknownWord {
    pub(crate) fn new(word: &str, known: &'static [&'static str]) -> Self {
        Self { word: word.chars().take(80).collect(), known }
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is unknown, use one of: {}", self.word, self.known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_name_that_could_leave_its_place_is_refused() {
        for name in ["", ".hidden", "a/b", "a b", "ä", "-flag", "a\n", &"x".repeat(64)] {
            assert!(check(name).is_err(), "{name:?} was taken");
        }
    }

    #[test]
    fn the_pattern_says_what_the_check_does() {
        let pattern = jsonschema::validator_for(&serde_json::json!({ "pattern": super::PATTERN })).unwrap();
        let long = |length| "x".repeat(length);
        for name in
            ["", "a", "0", "-a", "a-", ".a", "a.b_c-9", "a/b", "a b", "ä", "a\n", "A", &long(63), &long(64)]
        {
            assert_eq!(pattern.is_valid(&name.into()), check(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn an_ordinary_name_is_taken() {
        for name in ["docs", "disk-a", "A.b_c-9", "0", &"x".repeat(63)] {
            assert!(check(name).is_ok(), "{name:?} was refused");
        }
    }
}
