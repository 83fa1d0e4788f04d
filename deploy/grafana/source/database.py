"""What the database and the broker do, and how much they have left."""

from panels import GREEN, NEARLY_ALL, NONE_IS_GOOD, ORANGE, RED, UP, USED, dashboard, graph, row, stat, table

RATE = "[$__rate_interval]"


def rate(metric):
    """Of what each reporter tells of the one database."""
    return f"max(rate({metric}{RATE}))"


DASHBOARD = dashboard(
    "holdfast-database", "Database and broker",
    "What PostgreSQL and RabbitMQ do, how much they have left, and how our processes use them.",
    [
        row("PostgreSQL"),
        stat("Size", "max(holdfast_postgres_bytes)", "bytes", "All of the database, indexes included."),
        stat("Sessions in use", "holdfast:postgres_sessions_used:ratio", "percentunit", "Sessions of the server, of those that it allows.", USED),
        stat("Oldest transaction", "max(holdfast_postgres_oldest_transaction_seconds)", "s",
             "For how long the oldest transaction has been open. While it is, dead rows cannot go and figures stand still.",
             [(None, GREEN), (300, ORANGE), (3600, RED)], decimals=0),
        stat("Blocked sessions", "max(holdfast_postgres_blocked_sessions)", "short", "Sessions that wait for a lock of another one.", [(None, GREEN), (5, ORANGE)]),
        stat("Found in memory", "holdfast:postgres_cache_hits:ratio_rate5m", "percentunit",
             "Blocks that the server found in its memory, of those that it looked for. Below 95 % for long `shared_buffers` is small.", NEARLY_ALL),
        stat("Deadlocks in a day", "max(increase(holdfast_postgres_deadlocks_total[1d]))", "short",
             "Transactions that the server broke off because they waited for each other.", NONE_IS_GOOD, decimals=0),
        graph("Transactions", [(rate("holdfast_postgres_commits_total"), "committed"), (rate("holdfast_postgres_rollbacks_total"), "rolled back")], "cps",
              "Transactions a second.", width=6),
        graph("Sessions", [("max by (state) (holdfast_postgres_sessions)", "{{state}}"), ("max(holdfast_postgres_sessions_limit)", "limit")], "short",
              "Sessions by state, and how many the server allows.", width=6),
        graph("Blocks", [(rate("holdfast_postgres_blocks_hit_total"), "from memory"), (rate("holdfast_postgres_blocks_read_total"), "from elsewhere")], "cps",
              "Blocks a second that the server looked for: found in its memory, or read.", width=6),
        graph("Spilled to disk", [(rate("holdfast_postgres_spilled_bytes_total"), "temporary files")], "Bps",
              "Bytes a second of sorts and joins that did not fit into `work_mem`.", width=6),
        table("Tables", [("topk(15, max by (table) (holdfast_postgres_table_bytes))", "bytes"), ("max by (table) (holdfast_postgres_dead_rows)", "dead")],
              "The largest tables with their indexes, all months together, and rows that wait for a vacuum. `reporter db advise` says what to do.",
              [("table", "Table", "none", None), ("bytes", "Size", "bytes", None), ("dead", "Dead rows", "short", None)], width=12, height=9, sort="Size"),
        graph("Growth", [("topk(8, max by (table) (holdfast_postgres_table_bytes))", "{{table}}")], "bytes", "The largest tables over time.", width=12, height=9),

        row("How our processes use it"),
        graph("Connections in use", [("max by (job, pool) (holdfast:database_connections_used:ratio)", "{{job}} {{pool}}")], "percentunit",
              "Of the process that uses most: connections that are busy, of those that its pool may open.", USED, width=6),
        graph("Waiting for a connection", [("sum by (job, pool) (holdfast_database_waiting)", "{{job}} {{pool}}")], "short",
              "Callers that wait until a connection is free.", width=6),
        graph("No connection in time", [(f"sum by (job, pool) (increase(holdfast_database_exhausted_total{RATE}))", "{{job}} {{pool}}")], "short",
              "Callers that gave up waiting.", width=6),
        graph("Time in statements", [(f"sum by (job) (rate(holdfast_statement_seconds_sum{RATE}))", "{{job}}")], "short",
              "How many statements run at once on average, by program.", width=6),
        table("Most time", [
            ("topk(15, sum by (statement) (rate(holdfast_statement_seconds_sum[5m])))", "busy"),
            ("sum by (statement) (rate(holdfast_statement_seconds_count[5m]))", "calls"),
            ("histogram_quantile(0.95, sum by (le, statement) (rate(holdfast_statement_seconds_bucket[5m])))", "p95")],
            "The statements in which most time was spent in five minutes. `reporter db explain NAME` shows the plan of each.",
            [("statement", "Statement", "none", None), ("busy", "At once", "short", None), ("calls", "Calls a second", "cps", None),
             ("p95", "95 % within", "s", [(None, GREEN), (0.1, ORANGE), (0.5, RED)])], width=12, height=9, sort="At once"),
        graph("Slow statements", [
            (f"topk(8, histogram_quantile(0.99, sum by (le, statement) (rate(holdfast_statement_seconds_bucket{RATE}))))", "{{statement}}")], "s",
            "How long 99 % of the calls took at most, of the slowest statements.", width=12, height=9),

        row("RabbitMQ"),
        stat("Broker", 'max(up{job="rabbitmq"})', "none", "Whether RabbitMQ answers Prometheus.", UP, values={"0": "down", "1": "up"}),
        stat("Alarms", "sum(rabbitmq_alarms_memory_used_watermark) + sum(rabbitmq_alarms_free_disk_space_watermark)", "short",
             "Alarms for want of memory or disk. During one the broker takes no messages.", NONE_IS_GOOD),
        stat("Memory in use", "max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)", "percentunit",
             "Of the memory up to which the broker takes messages.", USED),
        stat("Disk left", "min(rabbitmq_disk_space_available_bytes)", "bytes", "Free where the broker stores its queues."),
        stat("Connections", "sum(rabbitmq_connections)", "short", "Connections to the broker, of all processes and other systems."),
        stat("Without a session", "count(holdfast_broker_connected == 0) or vector(0)", "short",
             "Purposes for which one of our processes should have a session with the broker and has none.", NONE_IS_GOOD),
        graph("Messages", [
            (f"sum(rate(rabbitmq_global_messages_received_total{RATE}))", "published"),
            (f"sum(rate(rabbitmq_global_messages_delivered_total{RATE}))", "delivered"),
            (f"sum(rate(rabbitmq_global_messages_acknowledged_total{RATE}))", "acknowledged")], "cps", "Messages a second through the broker."),
        graph("Sessions that failed", [(f"sum by (job, purpose) (increase(holdfast_broker_sessions_failed_total{RATE}))", "{{job}} {{purpose}}")], "short",
              "Sessions with the broker that ended with an error, or could not begin."),
        graph("Sessions with the broker", [("sum by (job) (holdfast_broker_connected)", "{{job}}")], "short", "Sessions that our processes have with the broker."),

        row("Reads"),
        graph("Answers that were kept", [
            (f'sum by (tier) (rate(holdfast_cache_requests_total{{result="hit"}}{RATE})) / (sum by (tier) (rate(holdfast_cache_requests_total{RATE})) > 0)',
             "{{tier}}")], "percentunit", "Of the answers that reporters looked for, those that they had kept.", width=8),
        graph("Redis", [("min by (instance) (holdfast_cache_redis_up)", "{{instance}}")], "none",
              "Whether Redis answered each reporter when it was asked last: 1 or 0.", width=8),
        graph("Replica", [("max(holdfast_replica_lag_seconds)", "behind")], "s", "How far the replica of the database is behind.",
              [(None, GREEN), (300, RED)], width=8),
    ],
    since="now-3h",
)
