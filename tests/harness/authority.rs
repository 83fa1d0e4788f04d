//! A certificate authority of a test's own, made as operators make theirs: with openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use devstack::Certificate;
use tempfile::TempDir;

/// What `openssl ca` goes by.
const CONFIG: &str = "\
[ca]
default_ca = ours
[ours]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
certificate = ca.pem
private_key = ca.key
policy = anything
unique_subject = no
[anything]
commonName = supplied
";

/// The kind of key that is made.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Now,
    /// In January of 2025.
    Over,
}

/// An authority with its files in a directory of its own.
pub struct Authority {
    directory: TempDir,
    issued: AtomicUsize,
}

impl Authority {
    /// Makes one.
    pub fn new(name: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("holdfast-ca-").tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.conf"), CONFIG).expect("writing");
        std::fs::write(directory.path().join("index.txt"), "").expect("writing");
        std::fs::write(directory.path().join("serial"), "01\n").expect("writing");
        let authority = Self { directory, issued: AtomicUsize::new(0) };
        let subject = format!("/CN={name}");
        let files = ["-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", &subject];
        authority.openssl(&[&["req", "-x509"][..], &KEY, &files].concat());
        authority
    }

    /// The file of its certificate.
    pub fn file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Issues a certificate for names such as `DNS:localhost,IP:127.0.0.1`.
    pub fn issue(&self, names: &str, validity: Validity) -> Certificate {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let name = |ending: &str| format!("server-{number}.{ending}");
        let (key, request, certificate, extensions) = (name("key"), name("csr"), name("pem"), name("ext"));
        self.openssl(
            &[&["req"][..], &KEY, &["-keyout", &key, "-out", &request, "-subj", "/CN=server"]].concat(),
        );
        std::fs::write(self.path(&extensions), format!("subjectAltName={names}\n")).expect("writing");
        let times: &[&str] = match validity {
            Validity::Now => &["-days", "2"],
            Validity::Over => &["-startdate", "20250101000000Z", "-enddate", "20250131000000Z"],
        };
        let sign = ["ca", "-batch", "-notext", "-config", "ca.conf", "-in", &request, "-out", &certificate];
        self.openssl(&[&sign[..], &["-extfile", &extensions], times].concat());
        self.read(&certificate, &key)
    }

    /// Makes a certificate for which nobody but its owner vouches.
    pub fn self_signed(&self, names: &str) -> Certificate {
        let names = format!("subjectAltName={names}");
        let files =
            ["-keyout", "own.key", "-out", "own.pem", "-days", "2", "-subj", "/CN=self", "-addext", &names];
        self.openssl(&[&["req", "-x509"][..], &KEY, &files].concat());
        self.read("own.pem", "own.key")
    }

    fn read(&self, certificate: &str, key: &str) -> Certificate {
        let text = |name: &str| std::fs::read_to_string(self.path(name)).expect("what openssl wrote");
        Certificate { chain: text(certificate), key: text(key) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        openssl(self.directory.path(), arguments);
    }
}

/// Runs openssl, which has to succeed; returns what it printed.
pub fn openssl(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output = command.output().expect("starting openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
