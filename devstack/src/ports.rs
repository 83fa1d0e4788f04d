//! Free TCP ports on `127.0.0.1`.

use std::{fs, net::TcpListener};

use anyhow::{Context as _, bail, ensure};

/// Below come the ports with well-known owners.
const LOWEST: u16 = 10_240;

/// Picks `N` different ports nobody listens on.
///
/// They lie below the range the kernel gives to outgoing connections. A client that keeps trying to reach a
/// killed server would otherwise sooner or later be given the server's own port as its source, connect to
/// itself, and keep the server from coming back.
///
/// Another process may still take one before it is used: whoever starts a server must be ready to pick
/// again.
pub(crate) fn pick<const N: usize>() -> anyhow::Result<[u16; N]> {
    let above = first_outgoing_port().filter(|port| *port > LOWEST + 1_000).unwrap_or(32_768);
    let mut held = Vec::new();
    // Held open until all are found, so that they differ.
    for _ in 0..1_000 {
        if held.len() == N {
            break;
        }
        let port = LOWEST + random_number()? % (above - LOWEST);
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    ensure!(held.len() == N, "found no {N} free ports between {LOWEST} and {above}");
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Whether a server's log says that it could not have its port.
pub(crate) fn is_about_a_taken_port(log: &str) -> bool {
    let log = log.to_lowercase();
    ["address already in use", "eaddrinuse", "address in use"].iter().any(|words| log.contains(words))
}

fn first_outgoing_port() -> Option<u16> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?.split_whitespace().next()?.parse().ok()
}

fn random_number() -> anyhow::Result<u16> {
    let mut bytes = [0; 2];
    fill(&mut bytes)?;
    Ok(u16::from_ne_bytes(bytes))
}

/// A password of 32 hexadecimal digits.
pub(crate) fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn fill(bytes: &mut [u8]) -> anyhow::Result<()> {
    let wanted = bytes.len();
    let got = rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty())
        .context("the kernel gives no random numbers")?;
    if got < wanted {
        bail!("the kernel gave {got} random bytes of {wanted}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_stay_clear_of_outgoing_connections() {
        let mut ports = pick::<8>().unwrap();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] != pair[1]), "{ports:?}");
        let outgoing = first_outgoing_port().unwrap();
        assert!(ports.iter().all(|port| *port < outgoing), "{ports:?}");
    }
}
