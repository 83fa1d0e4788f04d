#!/usr/bin/env python3
"""Asks Holdfast for a backup of a job.

    AMQP_URL=amqp://USER:PASSWORD@HOST/VIRTUAL_HOST ./publish.py JOB [ID]

ID is a UUID and makes it idempotent: however often it is published, the task runs once. Without it a new one is made, and
printed before anything is sent. TRACEPARENT names the trace that the task is to belong to; without it a new one begins.

Ends with 0 when the broker has taken the message, with 1 when that is not known (then publish again with the same ID), with 2
when the arguments are wrong. Needs pika (Debian: python3-pika).
"""

import json
import logging
import os
import re
import secrets
import sys
import time
import uuid
from datetime import datetime, timezone

import pika

EXCHANGE = "holdfast.tasks"
ROUTING_KEY = "backup.normal"
# A broker that is short of memory or disk blocks its publishers: it is waited for, and not for ever.
PATIENCE_SECONDS = 30
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def uuid7() -> uuid.UUID:
    """A new id that sorts by its time."""
    bits = int(time.time() * 1000) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=bits & ~(0b11 << 62) | 0b10 << 62)


def new_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def publish(url: str, job: str, task: uuid.UUID, traceparent: str) -> None:
    """Returns when the broker has taken responsibility for the message."""
    parameters = pika.URLParameters(url)
    parameters.blocked_connection_timeout = PATIENCE_SECONDS
    parameters.socket_timeout = PATIENCE_SECONDS
    parameters.client_properties = {"connection_name": "publish.py"}
    body = {
        "version": 1,
        "id": str(task),
        "kind": "backup",
        "job": job,
        "enqueued_at": datetime.now(timezone.utc).isoformat(),
        "requested_by": "publish.py",
    }
    properties = pika.BasicProperties(
        content_type="application/json",
        delivery_mode=2,  # kept through a restart of the broker
        message_id=str(task),
        timestamp=int(time.time()),
        headers={"traceparent": traceparent},
    )
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        # Waits for the confirm: a refused message, or one that no queue takes, is an exception.
        channel.basic_publish(EXCHANGE, ROUTING_KEY, json.dumps(body), properties, mandatory=True)
    finally:
        if connection.is_open:
            connection.close()


def main() -> int:
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    arguments = sys.argv[1:]
    url = os.environ.get("AMQP_URL")
    if not url:
        print("publish.py: AMQP_URL is not set", file=sys.stderr)
        return 2
    if not 1 <= len(arguments) <= 2 or not NAME.fullmatch(arguments[0]):
        print("usage: publish.py JOB [ID]", file=sys.stderr)
        return 2
    try:
        task = uuid.UUID(arguments[1]) if len(arguments) == 2 else uuid7()
    except ValueError:
        print(f"publish.py: {arguments[1]} is not a UUID", file=sys.stderr)
        return 2
    print(task, flush=True)
    try:
        publish(url, arguments[0], task, os.environ.get("TRACEPARENT") or new_trace())
    except pika.exceptions.NackError:
        error = "the broker refused it: its queue may be full"
    except pika.exceptions.UnroutableError:
        error = "no queue takes it"
    except pika.exceptions.ConnectionBlockedTimeout:
        error = "the broker takes nothing at the moment: it is short of memory or disk"
    except (pika.exceptions.AMQPError, OSError) as cause:
        error = str(cause) or repr(cause)
    else:
        return 0
    print(f"publish.py: {error}; publish again with the id {task}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
