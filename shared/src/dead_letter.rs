//! A dead letter: a message, or one task of a message, that cannot be accepted as it is. It lies in the queue
//! `holdfast.dead` with its reason in the headers, until a person decides about it.

use uuid::Uuid;

use crate::broker::Publication;
use crate::message::Refused;
use crate::topology::{DEAD_EXCHANGE, DETAIL_HEADER, QUEUE_HEADER, REASON_HEADER};

/// The dead letter of what was refused; `queue` is where it came from. Its message id is the letter's own, because the
/// task's may be missing, wrong or another's.
#[must_use]
pub fn publication(refused: Refused, queue: String) -> Publication {
    Publication {
        exchange: DEAD_EXCHANGE,
        routing_key: String::new(),
        body: refused.body,
        message_id: Uuid::now_v7().to_string(),
        headers: vec![
            (REASON_HEADER, refused.refusal.code().to_owned()),
            (DETAIL_HEADER, refused.refusal.to_string()),
            (QUEUE_HEADER, queue),
        ],
    }
}
