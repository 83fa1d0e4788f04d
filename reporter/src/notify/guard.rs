//! Which addresses are in private networks, or in none.
//!
//! Whoever may define a channel must not reach what only the reporter's machine can reach. So all is refused but addresses that
//! are globally reachable by the registries of special addresses (IANA, RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the internet's.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = matches!(
        address.octets(),
        // This network, loopback, private networks, multicast and all that is reserved, with broadcast.
        [0 | 10 | 127 | 224.., ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // Shared by carriers.
            | [100, 64..=127, ..]
            // Link-local: the metadata of clouds.
            | [169, 254, ..]
            // Protocol assignments, and for documentation.
            | [192, 0, 0 | 2, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // The relays of 6to4.
            | [192, 88, 99, _]
            // For benchmarks.
            | [198, 18 | 19, ..]
    );
    !special
}

/// Only what is assigned to the internet, without what carries an address of version 4.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let special = matches!(
        segments,
        // Protocol assignments, with Teredo and ORCHID; for documentation.
        [0x2001, 0..=0x01ff | 0x0db8, ..]
            | [0x3fff, 0..=0x0fff, ..]
            // 6to4.
            | [0x2002, ..]
    );
    matches!(segments, [0x2000..=0x3fff, ..]) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for public in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::200e",
            "2001:200::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }
}
