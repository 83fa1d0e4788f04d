//! The files of a server's certificate and key.

use std::path::PathBuf;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::certificate::{self, Certificate};
use super::provider;
use crate::clock;
use crate::settings::{Settings, key};

/// Where a server's certificate and key are, both in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and behind it those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Files {
    /// Reads `tls.certificate` and `tls.key`, and whether the files are what they should be; `None` without both.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let certificate = key(
            "tls.certificate",
            "A PEM file of the certificate that `listen` shows, those between it and its authority behind it; then `listen` speaks HTTPS only. A renewed file is taken up within seconds",
        );
        let private = key("tls.key", "The PEM file of its private key, without a password");
        let certificate = settings.optional(certificate.such_as("/etc/holdfast/tls.crt"));
        let private = settings.optional(private.such_as("/etc/holdfast/tls.key"));
        let files = match (certificate, private) {
            (Some(certificate), Some(key)) => Self { certificate, key },
            (None, None) => return None,
            (Some(_), None) => {
                settings.reject("tls.certificate: is given without tls.key".to_owned());
                return None;
            }
            (None, Some(_)) => {
                settings.reject("tls.key: is given without tls.certificate".to_owned());
                return None;
            }
        };
        match files.load() {
            Ok(loaded) => files.look_at_its_time(&loaded, settings),
            Err(error) => settings.reject(error),
        }
        Some(files)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Names the setting and the file: it cannot be read, or the key is another certificate's.
    pub(super) fn load(&self) -> Result<CertifiedKey, String> {
        let chain =
            certificate::load(&self.certificate).map_err(|error| format!("tls.certificate: {error}"))?;
        let wrong = |error: &dyn std::fmt::Display| format!("tls.key: {}: {error}", self.key.display());
        let bytes = std::fs::read(&self.key).map_err(|error| wrong(&error))?;
        let private = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| wrong(&"holds no private key in PEM form, or one with a password"))?;
        CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                wrong(&format!("is not the key of {}", self.certificate.display()))
            }
            other => wrong(&other),
        })
    }

    fn look_at_its_time(&self, loaded: &CertifiedKey, settings: &mut Settings) {
        let certificate = loaded.cert.first().and_then(Certificate::read);
        if let Some(until) = certificate.and_then(|certificate| certificate.until)
            && until < clock::now()
        {
            settings.doubt(format!("tls.certificate: {}: expired at {until}", self.certificate.display()));
        }
    }
}
