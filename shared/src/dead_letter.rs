//! A dead letter: a message, or one task of a message, that cannot be accepted as it is. It lies in the queue
//! `holdfast.dead` with its reason in the headers, until a person decides about it.

use uuid::Uuid;

use crate::broker::Publication;
use crate::message::Refused;
use crate::topology::{DEAD_EXCHANGE, DETAIL_HEADER, QUEUE_HEADER, REASON_HEADER};
use crate::trace::TraceContext;

/// The longest value of a header, in bytes: all of them must fit into one frame, and a refusal may quote what it refuses.
const LONGEST: usize = 1000;

/// The dead letter of what was refused; `queue` is where it came from. Its message id is the letter's own, because the
/// task's may be missing, wrong or another's.
#[must_use]
pub fn publication(refused: Refused, queue: String) -> Publication {
    let reason = [
        (REASON_HEADER, refused.refusal.code().to_owned()),
        (DETAIL_HEADER, short(refused.refusal.to_string())),
        (QUEUE_HEADER, short(queue)),
    ];
    let trace = refused.trace.as_ref().map(TraceContext::headers).unwrap_or_default();
    Publication {
        exchange: DEAD_EXCHANGE,
        routing_key: String::new(),
        body: refused.body,
        message_id: Uuid::now_v7().to_string(),
        headers: reason.into_iter().chain(trace).collect(),
    }
}

fn short(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push_str("..");
    }
    text
}
