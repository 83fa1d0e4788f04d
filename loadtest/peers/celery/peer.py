"""Celery's side of `loadtest peers`: one insert a task, with guarantees like Holdfast's.

A quorum queue, persistent messages, publisher confirms, acknowledgement after the insert, and a task of a process
that dies goes back to the queue. What these do not ask for is off: results, events, remote control, gossip.
"""

import os

import psycopg
from celery import Celery
from celery.signals import worker_process_init
from kombu import Exchange, Queue

QUEUE = "holdfast.peer.celery"

app = Celery("peer", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_queues=[
        Queue(
            QUEUE,
            Exchange(QUEUE, type="direct", durable=True),
            routing_key=QUEUE,
            durable=True,
            queue_arguments={"x-queue-type": "quorum"},
        )
    ],
    task_default_queue=QUEUE,
    task_default_exchange=QUEUE,
    task_default_routing_key=QUEUE,
    task_default_delivery_mode="persistent",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    worker_detect_quorum_queues=True,
    broker_connection_retry_on_startup=True,
)

INSERT = "insert into done (id, job) values (%s, %s)"
connection = None


@worker_process_init.connect
def connect(**_):
    """Each process keeps one connection for all of its tasks."""
    global connection
    connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


@app.task(name="peer.work")
def work(task, job):
    connection.execute(INSERT, (task, job), prepare=True)
