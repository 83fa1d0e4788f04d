//! What became of published messages, told from the broker's confirms and returns.

use std::collections::HashSet;

use lapin::Confirmation;
use lapin::message::BasicReturnMessage;

use super::{Confirmed, PublishError};

/// What the broker said of a message, by its id.
pub(super) type Outcome = (String, Result<Answered, PublishError>);

/// The broker's answer to a publish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It is taken; the id is that of a returned message, not always this one.
    Ack(Option<String>),
    /// It is refused; it may bring another message's return along all the same.
    Nack(Option<String>),
}

impl From<Confirmation> for Answered {
    fn from(confirmation: Confirmation) -> Self {
        let id = |message: BasicReturnMessage| {
            let id = message.properties.message_id().as_ref();
            id.map_or_else(String::new, |id| id.as_str().to_owned())
        };
        match confirmation {
            Confirmation::Ack(returned) => Self::Ack(returned.map(id)),
            Confirmation::Nack(returned) => Self::Nack(returned.map(id)),
            Confirmation::NotRequested => Self::Nack(None),
        }
    }
}

/// Tells from the confirms that came together what became of each message.
///
/// The broker returns a message before it confirms it, and the client hands each return to the next confirm that it
/// resolves, in no order within one `ack(multiple)`. So a confirm without a return is final: its message's own return,
/// if there was one, came with an earlier confirm, which is among `outcomes` or was before. A confirm with another
/// message's return proves nothing.
pub(super) fn judge(
    returned: &mut HashSet<String>,
    outcomes: Vec<Outcome>,
) -> Vec<Result<Confirmed, PublishError>> {
    for (_, outcome) in &outcomes {
        if let Ok(Answered::Ack(Some(id)) | Answered::Nack(Some(id))) = outcome {
            returned.insert(id.clone());
        }
    }
    let verdict = |(id, outcome): Outcome| {
        let was_returned = returned.remove(&id);
        match outcome? {
            Answered::Nack(_) => Err(PublishError::Refused),
            Answered::Ack(_) if was_returned => Err(PublishError::Unroutable),
            Answered::Ack(Some(_)) => Err(PublishError::InDoubt),
            Answered::Ack(None) => Ok(Confirmed(())),
        }
    };
    outcomes.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(id: &str, returned: Option<&str>) -> Outcome {
        (id.to_owned(), Ok(Answered::Ack(returned.map(str::to_owned))))
    }

    fn judged(returned: &mut HashSet<String>, outcomes: Vec<Outcome>) -> Vec<&'static str> {
        judge(returned, outcomes)
            .into_iter()
            .map(|verdict| match verdict {
                Ok(_) => "confirmed",
                Err(PublishError::Unroutable) => "unroutable",
                Err(PublishError::InDoubt) => "in doubt",
                Err(_) => "failed",
            })
            .collect()
    }

    #[test]
    fn a_return_that_rides_on_another_confirm_is_told_by_its_id() {
        let mut returned = HashSet::new();
        assert_eq!(judged(&mut returned, vec![ack("b", Some("a"))]), ["in doubt"]);
        assert_eq!(judged(&mut returned, vec![ack("a", None), ack("c", None)]), ["unroutable", "confirmed"]);
        assert!(returned.is_empty());
    }

    #[test]
    fn of_confirms_that_come_together_a_returned_message_is_never_taken_for_published() {
        let mut returned = HashSet::new();
        // The first is polled before the confirm that carries its return.
        assert_eq!(
            judged(&mut returned, vec![ack("a", None), ack("b", Some("a"))]),
            ["unroutable", "in doubt"]
        );
        // Two returned messages whose returns were swapped, seen one after the other.
        assert_eq!(judged(&mut returned, vec![ack("c", Some("d"))]), ["in doubt"]);
        assert_eq!(judged(&mut returned, vec![ack("d", Some("c"))]), ["unroutable"]);
    }

    #[test]
    fn a_refused_message_is_not_published() {
        let refused = vec![("a".to_owned(), Ok(Answered::Nack(None)))];
        assert_eq!(judged(&mut HashSet::new(), refused), ["failed"]);
    }

    #[test]
    fn a_return_that_rides_on_a_refusal_is_not_lost() {
        let refused = ("b".to_owned(), Ok(Answered::Nack(Some("a".to_owned()))));
        assert_eq!(judged(&mut HashSet::new(), vec![ack("a", None), refused]), ["unroutable", "failed"]);
    }
}
