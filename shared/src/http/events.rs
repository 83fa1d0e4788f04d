//! What the interfaces say: one function an event.

use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use crate::db::Error;

pub(super) fn listening(address: SocketAddr, tls: bool) {
    tracing::info!(%address, tls, "listening");
}

pub(super) fn not_accepted(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be taken: trying again");
}

pub(super) fn no_handshake(address: SocketAddr, why: &str) {
    tracing::debug!(%address, why, "a client did not come through the handshake of TLS");
}

pub(super) fn connections_cut(connections: usize) {
    tracing::info!(connections, "connections that were still open were cut at the end");
}

pub(super) fn request_failed(error: &Error) {
    tracing::warn!(%error, "a request could not use the database");
}

pub(super) fn denied(address: IpAddr, token: Uuid) {
    tracing::warn!(%address, %token, "a request with a token that is not good was refused");
}
