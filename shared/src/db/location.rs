//! Where a database is, and how the way there is protected: what libpq calls `sslmode` and `sslrootcert` stands in the URL.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use deadpool_postgres::{Manager, ManagerConfig};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error;
use crate::name::UnknownWord;
use crate::tls::{Checks, Trust};

/// How the way to the database is protected, as libpq's `sslmode` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// Nothing is encrypted.
    Disable,
    /// Encrypted if the server offers it, whoever that is.
    Prefer,
    /// Encrypted, whoever the server is.
    Require,
    /// Encrypted, and some trusted authority vouches for the server.
    VerifyCa,
    /// Encrypted, and a trusted authority vouches for the server under this name.
    VerifyFull,
}

impl FromStr for Protection {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => {
                Err(UnknownWord::new(other, &["disable", "prefer", "require", "verify-ca", "verify-full"]))
            }
        }
    }
}

/// Where a database is.
#[derive(Clone)]
pub(super) struct Location {
    pub(super) config: Config,
    tls: Option<MakeRustlsConnect>,
}

/// What a URL says of TLS, and the rest of it.
struct Said {
    rest: String,
    mode: Option<Protection>,
    authority: Option<String>,
}

impl Location {
    /// Reads a URL. Without `sslmode` a server on this machine is spoken to plainly, and any other one is verified in full.
    ///
    /// # Errors
    /// What is wrong, without the URL, because a password may stand in it.
    pub(super) fn read(url: &SecretString, trust: &Trust) -> Result<Self, String> {
        let said = Said::read(url.expose_secret())?;
        let mut config: Config =
            said.rest.parse().map_err(|error: tokio_postgres::Error| error::describe(&error))?;
        let mode = said.mode(&config);
        let checks = match mode {
            Protection::Disable => {
                config.ssl_mode(SslMode::Disable);
                return Ok(Self { config, tls: None });
            }
            Protection::Prefer | Protection::Require => Checks::Nothing,
            Protection::VerifyCa => Checks::Issuer,
            Protection::VerifyFull => Checks::Everything,
        };
        config.ssl_mode(if mode == Protection::Prefer { SslMode::Prefer } else { SslMode::Require });
        let client = match said.authority.as_deref() {
            None => trust.client(checks),
            Some("system") => Trust::default().client(checks),
            Some(path) => {
                Trust::only(Path::new(path)).map_err(|error| format!("sslrootcert: {error}"))?.client(checks)
            }
        };
        let client = client.map_err(|error| format!("sslmode: {error}"))?;
        Ok(Self { config, tls: Some(MakeRustlsConnect::new(client)) })
    }

    /// Which database it is, and as whom: `HOST:PORT/DATABASE as USER`.
    pub(super) fn place(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(place, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            };
            format!("{host}:{}", ports.get(place).or(ports.first()).copied().unwrap_or(5432))
        });
        let hosts: Vec<String> = hosts.collect();
        let (name, user) =
            (self.config.get_dbname().unwrap_or_default(), self.config.get_user().unwrap_or_default());
        format!("{}/{name} as {user}", hosts.join(","))
    }

    /// What opens connections.
    pub(super) fn manager(&self, config: ManagerConfig) -> Manager {
        match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), config),
            None => Manager::from_config(self.config.clone(), NoTls, config),
        }
    }

    /// Asks the server to end what a session does, the same way as the session's connection went.
    ///
    /// # Errors
    /// The server could not be told.
    pub(super) async fn cancel(&self, session: &CancelToken) -> Result<(), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => session.cancel_query(tls.clone()).await,
            None => session.cancel_query(NoTls).await,
        }
    }
}

impl Said {
    fn read(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it is not of the form postgres://USER:PASSWORD@HOST:PORT/DATABASE".to_owned());
        }
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut said = Self { rest: String::new(), mode: None, authority: None };
        let mut others = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = || {
                let decoded = percent_decode_str(value).decode_utf8();
                decoded.map(String::from).map_err(|_| format!("{name}: is not UTF-8"))
            };
            match name {
                "sslmode" => {
                    let mode = value()?.parse().map_err(|error: UnknownWord| format!("sslmode: {error}"))?;
                    said.mode = Some(mode);
                }
                "sslrootcert" => said.authority = Some(value()?),
                _ => others.push(parameter),
            }
        }
        said.check()?;
        said.rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        Ok(said)
    }

    /// Whoever names an authority wants it to be asked, and would not notice that nobody asks.
    fn check(&self) -> Result<(), String> {
        match (self.authority.as_deref(), self.mode) {
            // Anybody can have a certificate of the system's authorities, for a name of their own.
            (Some("system"), Some(mode)) if mode != Protection::VerifyFull => {
                Err("sslrootcert=system: says too little without the server's name: use sslmode=verify-full".to_owned())
            }
            (Some(_), Some(Protection::Disable | Protection::Prefer)) => Err(
                "sslrootcert: would not be looked at: use sslmode=verify-full or verify-ca, or leave sslrootcert out".to_owned(),
            ),
            _ => Ok(()),
        }
    }

    fn mode(&self, config: &Config) -> Protection {
        // An address is what is connected to, whatever the hosts are.
        let hosts = if config.get_hostaddrs().is_empty() { config.get_hosts() } else { &[] };
        if !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_))) {
            return Protection::Disable;
        }
        match self.mode {
            // As libpq does: whoever names an authority wants it to be asked.
            Some(Protection::Require) if self.authority.is_some() => Protection::VerifyCa,
            Some(mode) => mode,
            None if self.authority.is_none() && is_here(config) => Protection::Disable,
            None => Protection::VerifyFull,
        }
    }
}

/// Whether nobody can stand between us and the server.
fn is_here(config: &Config) -> bool {
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Protection {
        let said = Said::read(url).unwrap();
        let config: Config = said.rest.parse().unwrap();
        said.mode(&config)
    }

    #[test]
    fn another_machine_is_verified_in_full_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("postgres://u:p@127.0.0.1:5432/d", Protection::Disable),
            ("postgres://u:p@localhost/d", Protection::Disable),
            ("postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d", Protection::Disable),
            // An address counts before the socket.
            ("postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d?hostaddr=192.0.2.7", Protection::VerifyFull),
            ("postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d?hostaddr=127.0.0.1", Protection::Disable),
            ("postgres://u:p@db.example.org/d", Protection::VerifyFull),
            ("postgres://u:p@localhost,db.example.org/d", Protection::VerifyFull),
            ("postgresql://u:p@db/d?sslmode=disable&connect_timeout=3", Protection::Disable),
            ("postgres://u:p@db/d?sslmode=prefer", Protection::Prefer),
            ("postgres://u:p@db/d?sslmode=require", Protection::Require),
            ("postgres://u:p@db/d?sslmode=require&sslrootcert=/ca.pem", Protection::VerifyCa),
            ("postgres://u:p@localhost/d?sslrootcert=%2Fetc%2Fca.pem", Protection::VerifyFull),
            ("postgres://u:p@localhost/d?sslmode=verify-ca", Protection::VerifyCa),
            ("postgres://u:p@localhost/d?sslrootcert=system", Protection::VerifyFull),
            ("postgres://u:p@db/d?sslrootcert=system&sslmode=verify-full", Protection::VerifyFull),
        ] {
            assert_eq!(mode(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is_shown() {
        for (url, said) in [
            (
                "postgres://u:swordfish@db/d?sslmode=allow",
                "sslmode: \"allow\" is unknown, use one of: disable",
            ),
            (
                "postgres://u:swordfish@db/d?sslrootcert=/nonexistent/ca",
                "sslrootcert: /nonexistent/ca: No such file",
            ),
            ("postgres://u:swordfish@db/d?sslcert=/x", "sslcert"),
            ("postgres://u:swordfish@db/d?sslmode=require&sslrootcert=system", "use sslmode=verify-full"),
            ("postgres://u:swordfish@db/d?sslrootcert=system&sslmode=verify-ca", "use sslmode=verify-full"),
            ("postgres://u:swordfish@db/d?sslmode=disable&sslrootcert=system", "use sslmode=verify-full"),
            (
                "postgres://u:swordfish@db/d?sslmode=prefer&sslrootcert=/ca",
                "sslrootcert: would not be looked at",
            ),
            (
                "postgres://u:swordfish@db/d?sslrootcert=/ca&sslmode=disable",
                "sslrootcert: would not be looked at",
            ),
            ("host=db password=swordfish", "not of the form postgres://"),
        ] {
            let error = Location::read(&url.into(), &Trust::default()).err().unwrap();
            assert!(error.contains(said) && !error.contains("swordfish"), "{url}: {error}");
        }
    }
}
