//! What stands in a certificate.

use std::path::Path;

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What people want to know about a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Whose it is, such as `CN=db.example.org`.
    pub(super) subject: String,
    /// Who signed it.
    pub(super) issuer: String,
    /// The names and addresses of servers that it is for.
    pub(super) names: Vec<String>,
    /// From when it is valid.
    pub(super) from: Option<DateTime<Utc>>,
    /// Until when.
    pub(super) until: Option<DateTime<Utc>>,
}

impl Certificate {
    /// `None` if it is no certificate.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        let at = |time: i64| DateTime::from_timestamp(time, 0);
        Some(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            from: at(parsed.validity().not_before.timestamp()),
            until: at(parsed.validity().not_after.timestamp()),
        })
    }

    /// Whether nobody but its owner vouches for it.
    pub(super) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
            let six = <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string());
            four.or(six).ok()
        }
        _ => None,
    }
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// Names the file.
pub(super) fn load(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|error| wrong(&error))?;
    if certificates.is_empty() {
        return Err(wrong(&"holds no certificate in PEM form"));
    }
    match certificates.iter().position(|der| Certificate::read(der).is_none()) {
        Some(place) => Err(wrong(&format!("its certificate {} cannot be read", place + 1))),
        None => Ok(certificates),
    }
}
