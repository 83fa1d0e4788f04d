//! What a server shows of itself by TLS.

/// A certificate with its private key, both in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The server's own, and behind it those between it and its authority.
    pub chain: String,
    /// The key, without a password.
    pub key: String,
}
