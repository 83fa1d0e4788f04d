//! Puts what is to be told into the outbox: what belongs together into one notification.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Transaction;
use shared::db;
use shared::db::notification::{self, New};
use uuid::Uuid;

use super::message::Event;

/// So many transitions one notification tells at most.
const MOST: i64 = 500;

/// What is to be told by a channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToTell {
    /// By which.
    pub(super) channel: String,
    /// With which others: what has the same key.
    pub(super) group_key: String,
    /// How long a notification that begins with it waits for others.
    pub(super) wait: Duration,
    /// How often it was told before.
    pub(super) repetition: i32,
    /// What.
    pub(super) event: Event,
}

/// Writes it, in its order; returns how many notifications began.
pub(super) async fn put(transaction: &Transaction<'_>, to_tell: Vec<ToTell>) -> Result<usize, db::Error> {
    if to_tell.is_empty() {
        return Ok(0);
    }
    let channels: Vec<&str> = to_tell.iter().map(|to_tell| to_tell.channel.as_str()).collect();
    let keys: Vec<&str> = to_tell.iter().map(|to_tell| to_tell.group_key.as_str()).collect();
    let unbegun = notification::take_unbegun(transaction, &channels, &keys).await?;
    let open = unbegun
        .into_iter()
        .map(|unbegun| ((unbegun.channel, unbegun.group_key), (unbegun.id, unbegun.events)));
    let (new, events) = assign(to_tell, open.collect());
    notification::insert(transaction, &new).await?;
    notification::add(transaction, &events).await?;
    Ok(new.len())
}

/// Notifications to which more can be added, with the number of transitions that they tell, by channel and group.
type Open = HashMap<(String, String), (Uuid, i64)>;

fn assign(to_tell: Vec<ToTell>, mut open: Open) -> (Vec<New>, Vec<notification::Event>) {
    let (mut new, mut events) = (Vec::new(), Vec::new());
    for ToTell { channel, group_key, wait, repetition, event } in to_tell {
        let key = (channel.clone(), group_key.clone());
        let (id, told) = match open.get(&key) {
            Some(&(id, told)) if told < MOST => (id, told),
            _ => {
                let id = Uuid::now_v7();
                new.push(New { id, channel: channel.clone(), group_key, wait });
                (id, 0)
            }
        };
        open.insert(key, (id, told + 1));
        events.push(written(channel, id, repetition, &event));
    }
    (new, events)
}

fn written(channel: String, notification: Uuid, repetition: i32, event: &Event) -> notification::Event {
    notification::Event {
        channel,
        event: event.number,
        repetition,
        notification,
        alert: event.alert.id,
        told: event.transition,
        // Plain data with text keys always is JSON.
        content: serde_json::to_value(event).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use shared::db::notification::Telling;

    use super::super::message::tests::event;
    use super::*;

    fn to_tell(channel: &str, group: &str, number: i64) -> ToTell {
        ToTell {
            channel: channel.to_owned(),
            group_key: group.to_owned(),
            wait: Duration::from_secs(30),
            repetition: 0,
            event: event(number, Telling::Opened),
        }
    }

    #[test]
    fn what_has_one_channel_and_one_group_is_one_notification() {
        let waiting = Uuid::now_v7();
        let open = Open::from([(("chat".to_owned(), "b".to_owned()), (waiting, 3))]);
        let all = vec![
            to_tell("chat", "a", 1),
            to_tell("chat", "b", 2),
            to_tell("mail", "a", 1),
            to_tell("chat", "a", 3),
        ];
        let (new, events) = assign(all, open);
        let begun: Vec<_> = new.iter().map(|new| (new.channel.as_str(), new.group_key.as_str())).collect();
        assert_eq!(begun, [("chat", "a"), ("mail", "a")]);
        let in_which: Vec<Uuid> = events.iter().map(|event| event.notification).collect();
        assert_eq!(in_which, [new[0].id, waiting, new[1].id, new[0].id]);
    }

    #[test]
    fn a_notification_that_is_full_is_followed_by_another_one() {
        let all = (0..1001).map(|number| to_tell("chat", "a", number)).collect();
        let (new, events) = assign(all, Open::new());
        assert_eq!((new.len(), events.len()), (3, 1001));
        assert_eq!(events.iter().filter(|event| event.notification == new[0].id).count(), 500);
        // They go one after the other, in this order.
        assert!(new.is_sorted_by_key(|new| new.id));
    }
}
