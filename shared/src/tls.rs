//! TLS: whom a client of ours trusts ([`Trust`]), why a server was refused ([`explain`]), and what a server of ours shows ([`Files`]).
//!
//! There is one stack, rustls with aws-lc-rs, TLS 1.2 and newer, for every connection that a process opens or takes.

mod certificate;
mod files;
mod identity;
mod refused;
mod trust;
mod verifier;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub use files::Files;
pub use identity::Identity;
pub use refused::explain;
pub use trust::Trust;
pub use verifier::Checks;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
