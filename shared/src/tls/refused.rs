//! Why a connection with TLS did not come about, in a sentence that says what to do.

use std::error::Error;
use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, OtherError};

use super::certificate::Certificate;

/// A server's certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate of {server} {why}")]
pub(super) struct Refused {
    server: String,
    why: String,
}

impl Refused {
    pub(super) fn new(
        end_entity: &CertificateDer<'_>,
        server: &ServerName<'_>,
        why: &CertificateError,
    ) -> Self {
        let server = server.to_str().into_owned();
        let why = match Certificate::read(end_entity) {
            Some(certificate) => reason(&certificate, &server, why),
            None => "cannot be read".to_owned(),
        };
        Self { server, why }
    }
}

fn reason(certificate: &Certificate, server: &str, why: &CertificateError) -> String {
    let Certificate { subject, issuer, names, from, until } = certificate;
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("expired at {}: renew it on the server", moment(*until))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("is valid from {} on: look at the clocks of both machines", moment(*from))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!(
                "is for {names}, and not for {server}: use one of its names, or a certificate with this one"
            )
        }
        _ if certificate.is_self_signed() => {
            format!("is self-signed ({subject}): have it issued by an authority, and name that in tls.ca")
        }
        CertificateError::UnknownIssuer => format!(
            "is issued by {issuer}, which is not trusted, or the server does not send the certificates in between: \
             name the authority's file in tls.ca"
        ),
        CertificateError::BadSignature => format!(
            "is issued by {issuer}, and signed by another key than the one of that name in tls.ca: is that an older ca.crt?"
        ),
        other => format!("is not accepted: {other}"),
    }
}

fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Says what went wrong with TLS, if an error is about that.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(sentence(error));
    }
    // What such an error wraps is not its source: that is the source of what it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => explain(wrapped),
        None => explain(error.source()?),
    }
}

fn sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refused))) => {
            refused.to_string()
        }
        rustls::Error::InvalidMessage(_) => "what answers there does not speak TLS".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("the other side ended the handshake: {alert:?}"),
        other => format!("TLS: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(subject: &str, issuer: &str) -> Certificate {
        let at = |text: &str| text.parse().ok();
        Certificate {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            names: vec!["db.example.org".to_owned(), "10.0.0.7".to_owned()],
            from: at("2026-01-01T00:00:00Z"),
            until: at("2026-02-01T00:00:00Z"),
        }
    }

    #[test]
    fn each_reason_is_told_from_the_others() {
        let ours = certificate("CN=db", "CN=Our CA");
        let own = certificate("CN=db", "CN=db");
        for (certificate, why, said) in [
            (&ours, CertificateError::Expired, "expired at 2026-02-01T00:00:00Z"),
            (&ours, CertificateError::BadSignature, "by CN=Our CA, and signed by another key"),
            (&ours, CertificateError::NotValidYet, "from 2026-01-01T00:00:00Z on"),
            (&ours, CertificateError::NotValidForName, "for db.example.org, 10.0.0.7, and not for localhost"),
            (&ours, CertificateError::UnknownIssuer, "issued by CN=Our CA, which is not trusted"),
            (&own, CertificateError::UnknownIssuer, "self-signed (CN=db)"),
            (&ours, CertificateError::Revoked, "not accepted"),
        ] {
            let reason = reason(certificate, "localhost", &why);
            assert!(reason.contains(said), "{why:?}: {reason}");
        }
    }

    #[test]
    fn an_error_is_found_behind_others_and_only_if_it_is_about_tls() {
        let inner = rustls::Error::General("no way".to_owned());
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        assert_eq!(explain(&wrapped).unwrap(), "TLS: unexpected error: no way");
        assert_eq!(explain(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
