//! Whom a process trusts: the authorities of the system, and further ones.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::certificate::{self, Certificate};
use super::provider;
use super::verifier::{Checks, Verifier};
use crate::clock;
use crate::settings::{Settings, key};

/// Certificate authorities.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    further: Arc<[CertificateDer<'static>]>,
    file: Option<PathBuf>,
    alone: bool,
    /// Reading the system's takes milliseconds, and is done when it is needed.
    roots: Arc<OnceLock<Arc<RootCertStore>>>,
}

impl Trust {
    /// Reads `tls.ca`.
    pub fn read(settings: &mut Settings) -> Self {
        let ca = key(
            "tls.ca",
            "A PEM file of certificate authorities that are trusted beside the system's: for PostgreSQL, RabbitMQ, Redis, webhooks and mail",
        );
        let Some(path) = settings.optional::<PathBuf>(ca.such_as("/etc/holdfast/ca.pem")) else {
            return Self::default();
        };
        let further = match certificate::load(&path) {
            Ok(further) => further,
            Err(error) => {
                settings.reject(format!("tls.ca: {error}"));
                return Self::default();
            }
        };
        for authority in further.iter().filter_map(Certificate::read) {
            if authority.until.is_some_and(|until| until < clock::now()) {
                settings.doubt(format!("tls.ca: {}: {} has expired", path.display(), authority.subject));
            }
        }
        Self { further: further.into(), file: Some(path), ..Self::default() }
    }

    /// Those of one PEM file and no others.
    ///
    /// # Errors
    /// Names the file.
    pub fn only(path: &Path) -> Result<Self, String> {
        let further = certificate::load(path)?.into();
        Ok(Self { further, file: Some(path.to_owned()), alone: true, ..Self::default() })
    }

    /// The file of the further ones, for clients that have a way of their own to read it.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// How a client connects.
    ///
    /// # Errors
    /// Nobody is trusted: the system has no authorities, and none were named.
    pub fn client(&self, checks: Checks) -> Result<ClientConfig, rustls::Error> {
        let verifier = match checks {
            Checks::Nothing => None,
            Checks::Everything | Checks::Issuer => {
                let building = WebPkiServerVerifier::builder_with_provider(self.roots(), provider()).build();
                Some(building.map_err(|_| {
                    let why = "no certificate authority is known: install the system's (ca-certificates), or name a file in tls.ca";
                    rustls::Error::General(why.to_owned())
                })?)
            }
        };
        Ok(ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(verifier, checks)))
            .with_no_client_auth())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let load = || {
            let mut roots = RootCertStore::empty();
            if !self.alone {
                // What of the system's cannot be read is as good as not there.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            roots.add_parsable_certificates(self.further.iter().cloned());
            Arc::new(roots)
        };
        self.roots.get_or_init(load).clone()
    }
}
