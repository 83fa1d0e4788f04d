//! Who may do what over HTTP: bearer tokens with a role.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::name::text_enum;

text_enum! {
    /// What a token's holder may do; each may also do what those before it may.
    Role {
        /// Look.
        Viewer = "viewer",
        /// Look also into who changed what.
        Auditor = "auditor",
        /// Have work done, and stopped.
        Operator = "operator",
        /// Change what is worked on, and how much of it goes on at once.
        Admin = "admin",
    }
}

text_enum! {
    /// Who holds a token.
    Holder {
        /// A person, who does one thing after the other.
        Person = "person",
        /// Another system.
        Machine = "machine",
    }
}

/// What a token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "hf_";
/// The bytes of a secret: no guess comes near it, so that a plain hash of it is as good as a slow one.
const SECRET_BYTES: usize = 32;

/// A token as its holder has it: `hf_<id>_<secret>`.
pub struct Bearer {
    /// Which token it is.
    pub id: Uuid,
    secret: SecretString,
}

/// Text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no token: they look like hf_<32 hexadecimal digits>_<64 hexadecimal digits>")]
pub struct InvalidBearer;

impl Bearer {
    /// A new token.
    #[must_use]
    pub fn generate() -> Self {
        let secret: [u8; SECRET_BYTES] = rand::random();
        Self { id: Uuid::now_v7(), secret: hex::encode(secret).into() }
    }

    /// The SHA-256 of the secret, which is all that is stored.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret.expose_secret().as_bytes()).to_vec()
    }

    /// The whole token, to be shown once.
    #[must_use]
    pub fn expose(&self) -> SecretString {
        let mut text = String::new();
        _ = write!(text, "{PREFIX}{}_{}", self.id.simple(), self.secret.expose_secret());
        text.into()
    }
}

impl FromStr for Bearer {
    type Err = InvalidBearer;

    fn from_str(text: &str) -> Result<Self, InvalidBearer> {
        let (id, secret) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(InvalidBearer)?;
        let is_secret =
            secret.len() == 2 * SECRET_BYTES && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = Uuid::try_parse(id).ok().filter(|_| id.len() == 32 && is_secret).ok_or(InvalidBearer)?;
        Ok(Self { id, secret: secret.to_owned().into() })
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_shown_and_its_secret_is_told_by_nothing_else() {
        let made = Bearer::generate();
        let read: Bearer = made.expose().expose_secret().parse().unwrap();
        assert_eq!((read.id, read.hash()), (made.id, made.hash()));
        let secret = made.secret.expose_secret();
        assert!(!format!("{made:?}").contains(secret));
        assert_ne!(made.hash(), Bearer::generate().hash());
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = Bearer::generate().expose();
        let token = token.expose_secret();
        for text in [
            "",
            "hf_",
            &token[1..],
            &token[..token.len() - 1],
            &format!("{token}0"),
            &token.replace("hf_", "hf_-"),
        ] {
            assert!(text.parse::<Bearer>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_higher_role_may_do_what_a_lower_one_may() {
        assert!(Role::ALL.is_sorted() && Role::Admin > Role::Operator && Role::Auditor > Role::Viewer);
    }
}
