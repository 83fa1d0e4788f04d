//! TLS with a private authority: everything works by it, and who cannot be trusted is refused with the reason.

mod end_to_end;
mod listen;
mod refused;

use devstack::{Certificate, Claim, Options, Stack};
use harness::{Authority, Servers};
use tempfile::TempDir;

/// Where all servers of the tests are.
const NAMES: &str = "DNS:localhost,IP:127.0.0.1";

/// Servers that speak TLS, PostgreSQL nothing else.
struct Secured {
    stack: Stack,
    // Behind the servers, which are in it.
    _directory: TempDir,
}

impl Secured {
    async fn start(certificate: Certificate) -> Self {
        let directory = tempfile::Builder::new().prefix("holdfast-tls-").tempdir().unwrap();
        let claim = Claim::try_new(&directory.path().join("stack")).unwrap().unwrap();
        let options = Options { certificate: Some(certificate), ..Options::default() };
        Self { stack: Stack::start_in(claim, options).await.unwrap(), _directory: directory }
    }

    /// The database is reached in full verification; the broker plainly, for what the tests do themselves.
    fn servers(&self, authority: &Authority) -> Servers {
        let plain = Servers::of(&self.stack);
        let parameters = format!("sslmode=verify-full&sslrootcert={}", authority.file().display());
        Servers { database: format!("{}?{parameters}", plain.database), ..plain }
    }

    /// `amqps://..` of a virtual host.
    fn amqps(&self, plain: &str) -> String {
        let (plain_port, port) = (self.stack.rabbitmq.port(), self.stack.rabbitmq.tls_port());
        plain.replace("amqp://", "amqps://").replace(&format!(":{plain_port}/"), &format!(":{port}/"))
    }
}
