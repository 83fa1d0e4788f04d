"""How tasks go through queues, pools and batches, and how long that takes."""

from panels import GREEN, NONE_IS_GOOD, ORANGE, RED, USED, bars, dashboard, graph, row, stat, table, variable

KIND = 'kind=~"$kind"'
RATE = "[$__rate_interval]"


def quantile(share, metric, by, matching=""):
    """Of a histogram."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{matching}}}{RATE})))"


DASHBOARD = dashboard(
    "holdfast-pipeline", "Pipeline",
    "Queues, pools, batches and how long things take: from the moment when a task could start to its recorded result.",
    [
        row("Tasks: rate, errors, duration"),
        graph("Tasks that come and start", [
            (f"sum(rate(holdfast_worker_tasks_received_total{{{KIND}}}{RATE}))", "received"),
            (f"sum(rate(holdfast_worker_started_total{{{KIND}}}{RATE}))", "started"),
            (f"sum(rate(holdfast_worker_attempts_total{{{KIND}}}{RATE}))", "recorded")], "cps",
            "Tasks a second that workers got from the broker, that they began, and whose attempts they recorded."),
        graph("Attempts by outcome", [(f"sum by (outcome) (rate(holdfast_worker_attempts_total{{{KIND}}}{RATE}))", "{{outcome}}")], "cps",
              "Recorded attempts a second, by outcome.", stack=True),
        graph("Failed attempts", [(f"holdfast:attempts_failed:ratio_rate1h{{{KIND}}}", "{{kind}}")], "percentunit",
              "Of the attempts of an hour that came to an end by themselves, those that failed or took too long.", [(None, GREEN), (0.01, RED)]),
        graph("Pick-up", [
            (f"histogram_quantile(0.5, sum by (le) (rate(holdfast_worker_pickup_seconds_bucket{{{KIND}}}{RATE})))", "half"),
            (f"histogram_quantile(0.99, sum by (le) (rate(holdfast_worker_pickup_seconds_bucket{{{KIND}}}{RATE})))", "99 %")], "s",
            "How long tasks waited from the moment when they could start until their first attempt began. The objective is 60 s for 99 %.",
            [(None, GREEN), (60, RED)], log=True, least=None),
        graph("Duration of attempts", [(quantile(0.95, "holdfast_worker_attempt_seconds", "kind", KIND), "{{kind}}")], "s",
              "How long 95 % of the attempts took at most, by kind."),
        graph("Refused", [(f"sum by (reason) (rate(holdfast_worker_refused_total{RATE}))", "{{reason}}")], "cps",
              "Tasks a second that workers refused, by the reason that docs/publishing.md explains. They are dead letters."),

        row("Queues"),
        graph("Messages in queues", [(f'max by (queue) (holdfast_queue_messages{{queue=~"holdfast[.]$kind[.].+"}})', "{{queue}}")], "short",
              "Messages that are ready in each queue.", stack=True),
        bars("Messages that nobody takes", 'max by (queue) (holdfast_queue_messages{queue=~"holdfast[.](dead|returned|unrouted)"})', "short",
             "Dead letters, what the broker gave up on and a producer takes back, and what no queue is bound for.", "{{queue}}", NONE_IS_GOOD, width=4),
        table("Consumers", [
            ('sum by (queue) (rabbitmq_detailed_queue_consumers{queue=~"holdfast[.].+[.](normal|high)"})', "consumers"),
            ('sum by (queue) (rabbitmq_detailed_queue_messages_ready{queue=~"holdfast[.].+[.](normal|high)"})', "ready"),
            ('sum by (queue) (rabbitmq_detailed_queue_messages_unacked{queue=~"holdfast[.].+[.](normal|high)"})', "unacked")],
            "Who takes from each queue, as the broker tells it: a queue with messages and no consumers waits for ever.",
            [("queue", "Queue", "none", None), ("consumers", "Consumers", "short", [(None, RED), (1, GREEN)]), ("ready", "Ready", "short", None),
             ("unacked", "Delivered", "short", None)], width=6, height=8, sort="Ready"),
        graph("Outbox", [(f"max by (kind) (holdfast_outbox_age_seconds{{{KIND}}})", "{{kind}}")], "s",
              "For how long the oldest task that is due has not come to the broker.", [(None, GREEN), (300, RED)], width=6),

        row("Pools"),
        graph("Slots in use", [(f"holdfast:pool_used:ratio{{{KIND}}}", "{{kind}}")], "percentunit",
              "Slots of all workers in which tasks run, of those that there are.", USED, width=6),
        graph("Waiting for a slot", [(f"max by (kind) (holdfast_pool_waiting{{{KIND}}})", "{{kind}}")], "short",
              "Tasks that wait for a slot and for nothing else, wherever they are.", width=6),
        graph("Slots needed", [(f"max by (kind) (holdfast_pool_slots_needed{{{KIND}}})", "{{kind}} needed"),
                               (f"max by (kind) (holdfast_pool_slots{{{KIND}}})", "{{kind}} there")], "short",
              "Slots that would have all that waits begin within five minutes, beside those that there are: the signal to scale by.", width=6),
        graph("Time until the last begins", [(f"max by (kind) (holdfast_pool_drain_seconds{{{KIND}}})", "{{kind}}")], "s",
              "In how long the last task that waits now has begun, with the slots that there are. Infinite without slots.",
              [(None, GREEN), (900, ORANGE), (3600, RED)], width=6),

        row("Batches"),
        graph("Time of a batch", [(quantile(0.95, "holdfast_worker_batch_seconds", "stage"), "{{stage}}")], "s",
              "How long 95 % of the transactions took at most that claim tasks or record results."),
        graph("Tasks in a batch", [
            (f"sum by (stage) (rate(holdfast_worker_batch_tasks_sum{RATE})) / (sum by (stage) (rate(holdfast_worker_batch_tasks_count{RATE})) > 0)",
             "{{stage}}")], "short", "How many tasks one transaction claims or records, on average: more of them under load is how it keeps up."),
        graph("Batches tried again", [(f"sum by (stage) (rate(holdfast_worker_batch_retries_total{RATE}))", "{{stage}}")], "cps",
              "Transactions a second that the database broke off and that were tried again. Some are normal under load."),

        row("Producers"),
        graph("Published", [(f"sum by (result) (rate(holdfast_relay_tasks_total{{{KIND}}}{RATE}))", "{{result}}")], "cps",
              "Tasks a second that producers published, and whether the broker confirmed them.", width=6),
        graph("Time of publishing", [(f"histogram_quantile(0.95, sum by (le) (rate(holdfast_relay_batch_seconds_bucket{RATE})))", "95 %")], "s",
              "How long 95 % of the batches took at most from the look at the outbox to the broker's confirms.", width=6),
        graph("Due times", [(f"sum by (result) (increase(holdfast_schedule_fired_total{RATE}))", "{{result}}")], "short",
              "Due times of schedules: those that became tasks, and those that were skipped because of the work before them.",
              width=6),
        graph("Lateness of schedules", [(f"histogram_quantile(0.99, sum by (le) (rate(holdfast_schedule_late_seconds_bucket{RATE})))", "99 %")], "s",
              "How long after their due time 99 % of scheduled tasks were enqueued at most.", width=6),
        graph("Rescued", [(f"sum by (result) (increase(holdfast_reaper_leases_total{RATE}))", "{{result}}"),
                          (f"sum(increase(holdfast_returned_total{RATE}))", "returned by the broker")], "short",
              "Tasks whose worker vanished, queued again or dead; and messages that the broker gave up on and that were queued again."),
        graph("Look for lost tasks", [(f"histogram_quantile(0.95, sum by (le) (rate(holdfast_reaper_look_seconds_bucket{RATE})))", "95 %")], "s",
              "How long 95 % of the looks for expired leases took at most."),
        graph("Upkeep", [(f"sum by (duty, result) (increase(holdfast_upkeep_total[1h]))", "{{duty}} {{result}}")], "short",
              "What producers do for the database in an hour, and whether it was done, put off or failed."),
        stat("Leaders", "sum by (duty) (holdfast_leader)", "short",
             "How many processes say that they lead each duty: one each. None means that nobody sees to it.", [(None, RED), (1, GREEN), (2, ORANGE)],
             legend="{{duty}}", width=24, height=3),
    ],
    [variable("kind", "Kind", "label_values(holdfast_tasks_running, kind)")],
    since="now-3h",
)
