//! Each kind of channel has its own way to send.

use shared::channel::{Channel, Means};
use shared::tls::Trust;

use super::attempt::Attempted;
use super::message::Message;
use super::{alertmanager, chat, email, slack, teams, webhook};

/// Sends a message by a channel, and says what came of it.
pub(super) async fn send(channel: &Channel, message: &Message, trust: &Trust) -> Attempted {
    match &channel.means {
        Means::Email(means) => email::send(means, message, trust).await,
        Means::Webhook(means) => webhook::send(means, message, trust).await,
        Means::Slack(means) => chat::send(means, &slack::body(message), trust).await,
        Means::Teams(means) => chat::send(means, &teams::body(message), trust).await,
        Means::Alertmanager(means) => {
            let alerts = message.events.iter().map(|event| &event.alert);
            alertmanager::post(means, alerts, message.test, trust).await
        }
        Means::Heartbeat(_) => Attempted::refused("a heartbeat tells no alerts"),
    }
}
