//! Webhooks of chats: their URL is the secret, and their body is the chat's own.

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use shared::channel::Chat;
use shared::settings;
use shared::tls::Trust;

use super::attempt::Attempted;
use super::web::{self, Request};

/// Sends a body.
pub(super) async fn send(chat: &Chat, body: &Value, trust: &Trust) -> Attempted {
    let url = match settings::secret(&chat.url) {
        Ok(url) => url,
        // A person can mend that.
        Err(error) => return Attempted::failed(format!("url: {error}")),
    };
    let request = Request {
        url: url.expose_secret().trim().to_owned(),
        secret: true,
        allow_private: chat.allow_private,
        method: Method::POST,
        headers: Vec::new(),
        body: Some(body.to_string().into_bytes()),
    };
    web::send(request, trust).await
}
