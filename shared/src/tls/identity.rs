//! The certificate that a server of ours shows: the newest of its files that is whole.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::files::Files;
use super::provider;

/// How often the files are looked at. Whoever renews a certificate does so days before the old one expires.
const LOOK: Duration = Duration::from_secs(5);

/// What is shown, and where it comes from.
#[derive(Debug)]
pub struct Identity {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
    /// What was said last about files that are no good, so that it is said once.
    said: Mutex<Option<String>>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the setting and the file.
    pub fn load(files: &Files) -> anyhow::Result<Arc<Self>> {
        let current = RwLock::new(Arc::new(files.load().map_err(anyhow::Error::msg)?));
        Ok(Arc::new(Self { files: files.clone(), current, said: Mutex::default() }))
    }

    /// Answers handshakes: TLS 1.2 and newer, HTTP 1.1 behind it.
    ///
    /// # Errors
    /// None, as long as the versions are those that the provider has.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes up what is renewed, for as long as it is awaited.
    pub async fn keep(self: Arc<Self>) {
        let mut every = tokio::time::interval(LOOK);
        loop {
            every.tick().await;
            let identity = self.clone();
            // A panic in there would be ours; the certificate stays as it is.
            _ = tokio::task::spawn_blocking(move || identity.renew()).await;
        }
    }

    fn renew(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match self.files.load() {
            Ok(loaded) => {
                *said = None;
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                if current.cert != loaded.cert {
                    tracing::info!(file = %self.files.certificate.display(), "a renewed certificate is shown from now on");
                    *current = Arc::new(loaded);
                }
            }
            Err(error) if said.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::warn!(error, "the renewed certificate is no good: the old one goes on being shown");
                *said = Some(error);
            }
        }
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
