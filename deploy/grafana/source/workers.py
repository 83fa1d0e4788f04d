"""What each worker does and uses, and which limits hold tasks up."""

from panels import GREEN, NONE_IS_GOOD, ORANGE, RED, USED, UP, bars, dashboard, graph, row, stat, table, variable

ON = 'instance=~"$worker"'
PROCESS = f'job="worker", {ON}'
RATE = "[$__rate_interval]"

DASHBOARD = dashboard(
    "holdfast-workers", "Workers and limits",
    "What each worker does and uses, and which limits keep tasks from starting.",
    [
        row("Workers"),
        stat("Heard of", "max(holdfast_workers)", "short", "Workers that the database heard of in the last minute.", UP),
        stat("Answer Prometheus", 'sum(up{job="worker"})', "short", "Workers whose metrics are read.", UP),
        stat("Run now", f"sum(holdfast_worker_leases{{{ON}}})", "short", "Tasks that the chosen workers hold leases of."),
        stat("Engine processes", f"sum(holdfast_worker_engine_processes{{{ON}}})", "short",
             "Children of the chosen workers that back up, copy, verify or restore. Each holds the index of its repository in memory."),
        stat("Oldest heartbeat", f"max(holdfast_worker_heartbeat_age_seconds{{{ON}}})", "s",
             "How long ago the database has heard of the chosen worker that has been silent for longest. At its lease what it runs runs again elsewhere.",
             [(None, GREEN), (60, ORANGE), (120, RED)], decimals=0),
        stat("Tasks lost in an hour", "sum(increase(holdfast_reaper_leases_total{result=~\"requeued|dead\"}[1h]))", "short",
             "Tasks whose worker vanished. They run again; many tell of workers that are killed.", NONE_IS_GOOD, decimals=0),
        table("Each worker", [
            (f"sum by (instance) (holdfast_worker_slots{{{ON}}})", "slots"), (f"sum by (instance) (holdfast_worker_slots_busy{{{ON}}})", "busy"),
            (f"max by (instance) (holdfast_worker_heartbeat_age_seconds{{{ON}}})", "age"),
            (f"max by (instance) (process_resident_memory_bytes{{{PROCESS}}})", "memory"),
            (f"max by (instance) (time() - process_start_time_seconds{{{PROCESS}}})", "up")],
            "Slots, heartbeat, memory without engine processes, and age of each chosen worker.",
            [("instance", "Worker", "none", None), ("busy", "Busy", "short", None), ("slots", "Slots", "short", None),
             ("age", "Heartbeat", "s", [(None, GREEN), (60, ORANGE), (120, RED)]), ("memory", "Memory", "bytes", None), ("up", "Runs for", "s", None)],
            width=12, height=8, sort="Busy"),
        graph("Slots in use", [(f"sum by (kind) (holdfast_worker_slots_busy{{{ON}}})", "{{kind}} busy"),
                               (f"sum by (kind) (holdfast_worker_slots{{{ON}}})", "{{kind}} all")], "short",
              "Slots of the chosen workers, by kind: in use, and all."),
        bars("Slots in use now", f"sum by (kind) (holdfast_worker_slots_busy{{{ON}}}) / (sum by (kind) (holdfast_worker_slots{{{ON}}}) > 0)", "percentunit",
             "Slots of the chosen workers in use, by kind.", "{{kind}}", USED, width=4, most=1),
        graph("Data", [(f"sum by (kind) (rate(holdfast_worker_bytes_total{{{ON}}}{RATE}))", "{{kind}}")], "Bps",
              "Bytes of sources that recorded attempts went through, by kind."),
        graph("What workers report", [(f"sum by (event) (max by (instance, event) (rate(holdfast_worker_events_total{RATE})))", "{{event}}")], "cps",
              "Results that were discarded because the task had another owner, attempts that lost their lease, tasks that ran alone, consumers that had "
              "silently gone, callers that found no connection."),
        graph("Messages and tasks received", [(f"sum(rate(holdfast_worker_messages_total{{{ON}}}{RATE}))", "messages"),
                                              (f"sum(rate(holdfast_worker_tasks_received_total{{{ON}}}{RATE}))", "tasks")], "cps",
              "Messages that the chosen workers got, and the tasks in them."),

        row("What processes use"),
        graph("Processor", [(f"sum by (instance) (rate(process_cpu_seconds_total{{{PROCESS}}}{RATE}))", "{{instance}}")], "short",
              "Processors that each chosen worker uses, engine processes apart.", width=6),
        graph("Memory", [(f"max by (instance) (process_resident_memory_bytes{{{PROCESS}}})", "{{instance}}")], "bytes",
              "Resident memory of each chosen worker, engine processes apart.", width=6),
        graph("Open files", [(f"max by (instance) (process_open_fds{{{PROCESS}}} / (process_max_fds > 0))", "{{instance}}")], "percentunit",
              "Open files and sockets of each chosen worker, of those that it may have.", USED, width=6),
        graph("Busy runtime", [
            (f"sum by (instance) (rate(holdfast_runtime_busy_seconds_total{{{ON}}}{RATE})) / (sum by (instance) (holdfast_runtime_threads) > 0)",
             "{{instance}}")], "percentunit", "Share of the time in which the threads of the runtime work. Near to all of it, everything waits.", USED, width=6),

        row("Limits"),
        graph("Tasks that wait for a limit", [("max by (scope) (holdfast_tasks_in_line)", "{{scope}}")], "short",
              "Tasks in line, by what they wait for: a pool, a target, a source or an owner. `producer limits list` names them.", stack=True),
        graph("Full caps", [("max by (scope) (holdfast_limits_full)", "{{scope}}")], "short",
              "Caps under which no task more may run. `producer limits list` names them."),
        bars("Targets and schedules",
             'label_replace(max by (state) (holdfast_targets), "what", "targets", "", "") or label_replace(max by (state) (holdfast_schedules), "what", "schedules", "", "")',
             "short", "Targets that are well or failing, and schedules that are active or paused.", "{{what}} {{state}}"),
    ],
    [variable("worker", "Worker", "label_values(holdfast_worker_leases, instance)")],
    since="now-3h",
)
