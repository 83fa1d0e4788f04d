//! Each kind of channel has its own way to send.

use shared::channel::{Channel, Means};

use super::attempt::Attempted;
use super::message::Message;
use super::{alertmanager, chat, email, slack, teams, webhook};

/// Sends a message by a channel, and says what came of it.
pub(super) async fn send(channel: &Channel, message: &Message) -> Attempted {
    match &channel.means {
        Means::Email(means) => email::send(means, message).await,
        Means::Webhook(means) => webhook::send(means, message).await,
        Means::Slack(means) => chat::send(means, &slack::body(message)).await,
        Means::Teams(means) => chat::send(means, &teams::body(message)).await,
        Means::Alertmanager(means) => {
            let alerts = message.events.iter().map(|event| &event.alert);
            alertmanager::post(means, alerts, message.test).await
        }
        Means::Heartbeat(_) => Attempted::refused("a heartbeat tells no alerts"),
    }
}
