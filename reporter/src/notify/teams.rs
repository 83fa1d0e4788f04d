//! Microsoft Teams: an adaptive card, in the message that a workflow's webhook takes.

use serde_json::{Value, json};
use shared::alert::Severity;

use super::message::{Event, Message, shortened};

/// The longest value on a card, in characters: a message may have 28 KiB.
const VALUE: usize = 150;

/// What Teams is sent. Texts are runs, which interpret nothing: a text block would take what looks like a link for one.
pub(super) fn body(message: &Message) -> Value {
    let (told, more) = message.told();
    let mut parts = vec![json!({ "type": "RichTextBlock", "inlines": [
        { "type": "TextRun", "text": message.headline(), "weight": "Bolder", "size": "Large", "color": colour(message) }
    ] })];
    parts.extend(told.iter().map(part));
    let mut note = format!("Holdfast, notification {}", message.id);
    if more > 0 {
        note = format!("and {more} more. {note}");
    }
    parts.push(json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": note, "isSubtle": true }] }));
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": parts,
            },
        }],
    })
}

fn part(event: &Event) -> Value {
    let line = json!({ "type": "TextRun", "text": shortened(&event.line(), VALUE), "weight": "Bolder" });
    let facts =
        event.facts().into_iter().map(|(name, value)| format!("{name}: {}", shortened(&value, VALUE)));
    let facts = shortened(&format!(" ({})", facts.collect::<Vec<_>>().join("; ")), 2 * VALUE);
    json!({ "type": "RichTextBlock", "separator": true, "inlines": [line, { "type": "TextRun", "text": facts }] })
}

fn colour(message: &Message) -> &'static str {
    match message.worst() {
        None => "Good",
        Some(Severity::Info) => "Default",
        Some(Severity::Warning) => "Warning",
        Some(Severity::Critical) => "Attention",
    }
}

#[cfg(test)]
mod tests {
    use shared::db::notification::Telling;

    use super::super::message::tests::{event, message};
    use super::*;

    #[test]
    fn a_message_of_teams_is_this() {
        let body = body(&message(Telling::Resolved));
        assert_eq!(body["type"], "message");
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        assert_eq!(
            attachment["content"],
            json!({
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    { "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "weight": "Bolder", "size": "Large",
                        "color": "Good", "text": "resolved: docs: the last 3 backups failed" }] },
                    { "type": "RichTextBlock", "separator": true, "inlines": [
                        { "type": "TextRun", "weight": "Bolder", "text": "resolved: docs: the last 3 backups failed" },
                        { "type": "TextRun", "text": " (rule: backups_failing; owner: ops & co; tags: prod; \
                            since: 2026-11-26T02:00:00Z; until: 2026-11-26T02:10:00Z; detail: disk-a: <no space>)" },
                    ] },
                    { "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "isSubtle": true,
                        "text": "Holdfast, notification 0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f" }] },
                ],
            })
        );
    }

    #[test]
    fn a_message_of_teams_stays_within_its_bounds() {
        let mut events: Vec<_> = (0..60).map(|number| event(number, Telling::Opened)).collect();
        for event in &mut events {
            event.alert.summary = "ö".repeat(5000);
            event.alert.detail = Some("ö".repeat(5000));
        }
        let body = body(&Message { events, ..message(Telling::Opened) });
        assert!(body.to_string().len() < 28 * 1024, "{}", body.to_string().len());
        assert!(body.to_string().contains("and 40 more. Holdfast"));
    }
}
