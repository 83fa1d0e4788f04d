//! What the interfaces say: one function an event.

use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use crate::db::Error;

pub(super) fn listening(address: SocketAddr) {
    tracing::info!(%address, "listening");
}

pub(super) fn not_accepted(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be taken: trying again");
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
