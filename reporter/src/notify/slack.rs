//! Slack: blocks for an incoming webhook.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::message::{Event, Message, shortened};

/// The longest text of a section, in characters: Slack takes 3000, and some become longer when they are escaped.
const SECTION: usize = 700;

/// What Slack is sent.
pub(super) fn body(message: &Message) -> Value {
    let headline = message.headline();
    let (told, more) = message.told();
    let header =
        json!({ "type": "header", "text": { "type": "plain_text", "text": headline, "emoji": false } });
    let mut blocks = vec![header];
    blocks.extend(told.iter().map(|event| section(&text(event))));
    if more > 0 {
        blocks.push(section(&format!("and {more} more")));
    }
    let note = format!("Holdfast, notification {}", message.id);
    blocks.push(json!({ "type": "context", "elements": [{ "type": "plain_text", "text": note }] }));
    // The text is what a telephone shows.
    json!({ "text": escaped(&headline), "blocks": blocks })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

fn text(event: &Event) -> String {
    let mut text = escaped(&shortened(&event.line(), SECTION));
    for (name, value) in event.facts() {
        _ = write!(text, "\n{name}: {}", escaped(&shortened(&value, SECTION / 4)));
    }
    text
}

/// What would be a link, a mention or a command otherwise.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use shared::db::notification::Telling;

    use super::super::message::tests::{event, message};
    use super::*;

    #[test]
    fn a_message_of_slack_is_this() {
        assert_eq!(
            body(&message(Telling::Opened)),
            json!({
                "text": "critical: docs: the last 3 backups failed",
                "blocks": [
                    { "type": "header", "text": { "type": "plain_text", "text": "critical: docs: the last 3 backups failed",
                        "emoji": false } },
                    { "type": "section", "text": { "type": "mrkdwn", "verbatim": true, "text":
                        "critical: docs: the last 3 backups failed\nrule: backups_failing\nowner: ops &amp; co\ntags: prod\n\
                         since: 2026-11-26T02:00:00Z\ndetail: disk-a: &lt;no space&gt;" } },
                    { "type": "context", "elements": [{ "type": "plain_text",
                        "text": "Holdfast, notification 0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f" }] },
                ],
            })
        );
    }

    #[test]
    fn a_message_of_slack_stays_within_its_bounds_and_mentions_nobody() {
        let mut events: Vec<_> = (0..60).map(|number| event(number, Telling::Opened)).collect();
        for event in &mut events {
            event.alert.summary = "<!channel>&".repeat(1000);
            event.alert.detail = Some("<@U1>".repeat(1000));
        }
        let body = body(&Message { events, ..message(Telling::Opened) });
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50, "{}", blocks.len());
        for block in &blocks[1..] {
            let text = block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default();
            assert!(text.chars().count() <= 3000 && !text.contains(['<', '>']), "{text}");
        }
        assert_eq!(blocks[21]["text"]["text"], "and 40 more");
    }
}
