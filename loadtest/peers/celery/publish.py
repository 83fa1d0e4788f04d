"""Publishes tasks through Celery with pipelined confirms; `publish.py TASKS JOBS WINDOW`.

Celery's own `confirm_publish` waits for each confirm before it sends the next message. That would hold the publisher
back, so confirms are awaited here in a window, by the channel's own events.

It says `ready` when it is connected, begins when it reads a line, and says `confirmed` when the broker has confirmed all
that was published.
"""

import sys
import uuid

from peer import QUEUE, app, work


class Confirms:
    """What a channel has sent and the broker has not confirmed yet."""

    def __init__(self, connection, channel):
        self.connection = connection
        self.sent = 0
        self.open = set()
        channel.confirm_select()
        channel.events["basic_ack"].add(self.acknowledged)
        channel.events["basic_nack"].add(self.refused)

    def acknowledged(self, tag, multiple):
        if multiple:
            self.open = {other for other in self.open if other > tag}
        else:
            self.open.discard(tag)

    def refused(self, tag, multiple):
        sys.exit("the broker refused a message")

    def wait(self, most):
        while len(self.open) > most:
            self.connection.drain_events(timeout=30)


def main(tasks, jobs, window):
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection, auto_declare=False)
        confirms = Confirms(connection, producer.channel)
        app.amqp.queues[QUEUE].bind(producer.channel).declare()
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(tasks):
            confirms.sent += 1
            confirms.open.add(confirms.sent)
            work.apply_async((str(uuid.uuid4()), f"load-{number % jobs}"), producer=producer, retry=False)
            confirms.wait(window)
        confirms.wait(0)
        print("confirmed", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
