//! Whose request it is when it came through a gateway.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use crate::settings::{Settings, Value, key};

/// The header in which each gateway writes, at the end, whom it had the request from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How many bits of an address say that it is a mapped one of IPv4.
const MAPPED: u8 = 96;

/// The networks of gateways whose word counts. From anybody else the header is only what somebody wrote there.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd)]
pub struct TrustedProxies(Vec<IpNet>);

/// Something in the list is no network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct NoNetwork(String);

impl FromStr for TrustedProxies {
    type Err = NoNetwork;

    /// Reads networks, or single addresses, with commas between them.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let network = |part: &str| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            let network = part.parse().or(address).ok();
            network.and_then(canonical).ok_or_else(|| NoNetwork(part.to_owned()))
        };
        parts.map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl Value for TrustedProxies {
    const KIND: &'static str = "addresses and networks, with commas";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: NoNetwork| error.to_string())
    }

    fn show(&self) -> String {
        let networks: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        networks.join(",")
    }
}

impl TrustedProxies {
    /// Reads the setting; nobody is trusted without it.
    pub fn read(settings: &mut Settings) -> Self {
        let what = "Gateways whose word counts about who a client is, by `X-Forwarded-For`; without them all clients behind one share its address";
        settings
            .optional(key("http.trusted_proxies", what).such_as("10.0.0.7,172.30.77.0/24"))
            .unwrap_or_default()
    }

    /// Who asked: whoever connected, or, where that is a trusted gateway, the last one in the header that is none. What stands before
    /// that one may be made up, and is not looked at.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        // What is no text is no address either, and ends the trust like one.
        let told = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("?"));
        let hops: Vec<&str> = told.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let Some(address) = address(hop) else { break };
            client = address;
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Clients are compared by their canonical addresses, so networks of mapped ones are those of IPv4; `None` for a part of those and of others.
fn canonical(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(mapped) = network else { return Some(network) };
    let Some(address) = mapped.addr().to_ipv4_mapped() else { return Some(network) };
    let length = mapped.prefix_len().checked_sub(MAPPED)?;
    Ipv4Net::new(address, length).ok().map(IpNet::V4)
}

/// Some gateways write the port as well.
fn address(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok().or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, told: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in told {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: TrustedProxies = trusted.parse().unwrap();
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn without_a_trusted_gateway_whoever_connected_is_the_client() {
        assert_eq!(client("", "10.0.0.1", &["1.2.3.4"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "192.0.2.7", &["1.2.3.4"]), "192.0.2.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn behind_gateways_the_last_address_counts_that_is_none_of_theirs() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, 192.0.2.7, 10.0.0.2"]), "192.0.2.7");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "192.0.2.7", "10.0.0.2"]), "192.0.2.7");
        assert_eq!(client("10.0.0.1, fd00::/8", "fd00::1", &["192.0.2.7, 10.0.0.1"]), "192.0.2.7");
    }

    #[test]
    fn what_cannot_be_read_ends_the_trust() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.7, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.7, , 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6", "é"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["6.6.6.6, é, 10.0.0.2", "10.0.0.3"]), "10.0.0.3");
    }

    #[test]
    fn a_network_of_mapped_addresses_is_the_network_of_those_addresses() {
        for (mapped, network) in [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.0.0.1", "10.0.0.1/32")] {
            let read: TrustedProxies = mapped.parse().unwrap();
            assert_eq!(read.show(), network);
            assert_eq!(client(mapped, "10.0.0.1", &["192.0.2.7"]), "192.0.2.7", "{mapped}");
        }
        // Whoever writes this means fewer than all.
        assert!("::ffff:10.0.0.0/8".parse::<TrustedProxies>().is_err());
        assert_eq!(client("::/0", "2001:db8::1", &["192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn ports_and_mapped_addresses_are_those_of_the_address() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(client("10.0.0.0/8", "::ffff:10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["::ffff:192.0.2.7"]), "192.0.2.7");
    }

    #[test]
    fn what_is_no_network_is_named() {
        let wrong = "10.0.0.0/8, gateway".parse::<TrustedProxies>().unwrap_err();
        assert_eq!(wrong.to_string(), "\"gateway\" is neither an address nor a network such as 10.0.0.0/8");
        assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
    }
}
