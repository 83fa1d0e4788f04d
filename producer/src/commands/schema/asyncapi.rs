//! The AsyncAPI document: where other systems publish, what, and where they find what was refused.

use serde_json::{Value, json};
use shared::message::{Refusal, schema};
use shared::task::{Priority, TaskKind};
use shared::topology::{
    DEAD_EXCHANGE, DEAD_QUEUE, DETAIL_HEADER, QUEUE_HEADER, REASON_HEADER, TASKS_EXCHANGE, UNROUTED,
};
use shared::trace::{TRACEPARENT, TRACESTATE};

/// What each task in the examples is published as.
const EXAMPLE: &str = "0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f";

/// The document, in AsyncAPI 3.0.
pub(super) fn document() -> Value {
    let (body, mut schemas) = schema::components();
    schemas.insert("Message".to_owned(), body);
    schemas.insert("TraceHeaders".to_owned(), trace_headers());
    schemas.insert("DeadLetterHeaders".to_owned(), dead_letter_headers());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Holdfast",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Backups as a queue-driven pipeline. Whoever may publish to its exchange can ask for work, by the name \
                of a job that is defined in Holdfast.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "channels": { "tasks": tasks_channel(), "deadLetters": dead_letters_channel() },
        "operations": {
            "takeTasks": {
                "action": "receive",
                "summary": "Workers take tasks; whoever publishes one asks the broker for a confirm",
                "channel": { "$ref": "#/channels/tasks" },
                "messages": [{ "$ref": "#/channels/tasks/messages/task" }],
                "bindings": { "amqp": { "deliveryMode": 2, "mandatory": true, "ack": true, "bindingVersion": "0.3.0" } },
            },
            "refuse": {
                "action": "send",
                "summary": "What cannot be accepted is kept with the reason until a person decides",
                "channel": { "$ref": "#/channels/deadLetters" },
                "messages": [{ "$ref": "#/channels/deadLetters/messages/deadLetter" }],
            },
        },
        "components": { "messages": { "task": task_message(), "deadLetter": dead_letter_message() }, "schemas": schemas },
    })
}

fn tasks_channel() -> Value {
    let kinds = TaskKind::ALL.iter().filter(|kind| kind.is_for_others()).map(|kind| kind.as_str());
    json!({
        "address": "{kind}.{priority}",
        "description": format!("The routing key. A bare kind is normal. What no queue takes stays in the queue {UNROUTED}."),
        "parameters": {
            "kind": { "enum": kinds.collect::<Vec<_>>(), "description": "What the tasks in the message do" },
            "priority": { "enum": Priority::ALL, "default": Priority::Normal, "description": "Their priority" },
        },
        "messages": { "task": { "$ref": "#/components/messages/task" } },
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": TASKS_EXCHANGE, "type": "topic", "durable": true, "autoDelete": false },
            "bindingVersion": "0.3.0",
        } },
    })
}

fn dead_letters_channel() -> Value {
    json!({
        "address": DEAD_QUEUE,
        "description": format!("Behind the exchange {DEAD_EXCHANGE}, to which only Holdfast publishes."),
        "messages": { "deadLetter": { "$ref": "#/components/messages/deadLetter" } },
        "bindings": { "amqp": {
            "is": "queue",
            "queue": { "name": DEAD_QUEUE, "durable": true, "exclusive": false, "autoDelete": false },
            "bindingVersion": "0.3.0",
        } },
    })
}

fn task_message() -> Value {
    json!({
        "title": "Tasks",
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/TraceHeaders" },
        "payload": { "$ref": "#/components/schemas/Message" },
        "examples": [
            {
                "name": "one",
                "payload": { "version": 1, "id": EXAMPLE, "kind": "backup", "job": "docs", "requested_by": "erp" },
            },
            {
                "name": "many",
                "payload": { "version": 1, "tasks": [
                    { "id": EXAMPLE, "kind": "verify", "job": "docs", "params": { "target": "disk-a", "level": "read" } },
                ] },
            },
        ],
    })
}

fn dead_letter_message() -> Value {
    json!({
        "title": "A dead letter",
        "summary": "The body is that of the message, or of the one task in it that was refused, as it came",
        "headers": { "$ref": "#/components/schemas/DeadLetterHeaders" },
        "payload": {},
    })
}

fn trace_headers() -> Value {
    json!({ "type": "object", "properties": {
        TRACEPARENT: { "type": "string", "description": "W3C Trace Context, for all tasks of the message that name no other" },
        TRACESTATE: { "type": "string", "description": "What tracing systems keep beside it" },
    } })
}

fn dead_letter_headers() -> Value {
    json!({
        "type": "object",
        "properties": {
            REASON_HEADER: { "type": "string", "enum": Refusal::CODES, "description": "Why it was refused, as a stable word" },
            DETAIL_HEADER: { "type": "string", "description": "Why it was refused, for people" },
            QUEUE_HEADER: { "type": "string", "description": "The queue that it came from" },
            TRACEPARENT: { "type": "string" },
            TRACESTATE: { "type": "string" },
        },
        "required": [REASON_HEADER, DETAIL_HEADER, QUEUE_HEADER],
    })
}
