//! Where a process serves HTTP, and with which certificate.

use std::net::SocketAddr;

use crate::settings::Settings;
use crate::tls::Files;

/// Where a process serves HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Port 0 takes any free one.
    pub address: SocketAddr,
    /// What it shows of itself; without it nothing is encrypted.
    pub tls: Option<Files>,
}

impl Place {
    /// An address with the certificate that `tls.certificate` and `tls.key` name.
    pub fn new(address: SocketAddr, tls: Option<Files>, settings: &mut Settings) -> Self {
        if tls.is_none() && !address.ip().is_loopback() {
            settings.remark(format!(
                "listen: {address} can be reached from other machines, and nothing is encrypted: give tls.certificate and tls.key, unless a \
                 gateway stands before it"
            ));
        }
        Self { address, tls }
    }
}
