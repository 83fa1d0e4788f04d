//! Webhooks: a documented body, signed together with the time.

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::json;
use sha2::Sha256;
use shared::channel::Webhook;
use shared::tls::Trust;
use shared::{clock, settings};

use super::attempt::Attempted;
use super::message::Message;
use super::web::{self, Request};

/// The version of the body: it changes when something that was there means something else or is gone.
const VERSION: u32 = 1;

/// Sends a message.
pub(super) async fn send(webhook: &Webhook, message: &Message, trust: &Trust) -> Attempted {
    let secret = match settings::secret(&webhook.secret) {
        Ok(secret) => secret,
        // A person can mend that.
        Err(error) => return Attempted::failed(format!("secret: {error}")),
    };
    let body = body(message);
    let timestamp = clock::now().timestamp().to_string();
    let signature = signature(secret.expose_secret().as_bytes(), &timestamp, &body);
    let headers = vec![
        ("Holdfast-Delivery", message.id.to_string()),
        ("Holdfast-Timestamp", timestamp),
        ("Holdfast-Signature", format!("v1={signature}")),
    ];
    let request = Request {
        url: webhook.url.clone(),
        secret: false,
        allow_private: webhook.allow_private,
        method: Method::POST,
        headers,
        body: Some(body),
    };
    web::send(request, trust).await
}

fn body(message: &Message) -> Vec<u8> {
    let Message { id, channel, test, events } = message;
    let headline = message.headline();
    let body = json!({ "version": VERSION, "id": id, "channel": channel, "test": test, "headline": headline, "events": events });
    body.to_string().into_bytes()
}

/// The HMAC-SHA256 of the time, a dot and the body, in hexadecimal.
fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared::db::notification::Telling;

    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn the_body_is_the_documented_one() {
        let body: Value = serde_json::from_slice(&body(&message(Telling::Resolved))).unwrap();
        let document = include_str!("../../../docs/notifications.md");
        let example = document.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        assert_eq!(body, serde_json::from_str::<Value>(example).unwrap(), "{body:#}");
    }

    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        // Computed with `printf '1700000000.{}' | openssl dgst -sha256 -hmac key`.
        let expected = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
        assert_eq!(signature(b"key", "1700000000", b"{}"), expected);
    }
}
