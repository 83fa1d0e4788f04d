"""What was promised, how much of each error budget is left, and how fast it burns."""

from panels import GREEN, ORANGE, RED, bars, dashboard, graph, row, stat, table

RATE = "[$__rate_interval]"
LEFT = [(None, RED), (0, ORANGE), (0.25, GREEN)]

DASHBOARD = dashboard(
    "holdfast-slo", "SLO",
    "Objectives, error budgets of 30 days and how fast they burn. docs/monitoring.md says what each objective promises and how to change it.",
    [
        row("Budgets"),
        bars("Budget left", "holdfast:slo_budget_left:ratio", "percentunit",
             "What is left of the error budgets of the last 30 days. Below nothing an objective was missed. Absent where nothing happened.", "{{slo}}",
             LEFT, least=-1, most=1),
        table("Objectives", [
            ("holdfast:slo_objective:ratio", "objective"), ("1 - sum without (window) (holdfast:slo_burn:ratio{window=\"30d\"}) * (1 - holdfast:slo_objective:ratio)", "kept"),
            ("sum without (window) (holdfast:slo_burn:ratio{window=\"1h\"})", "burn1h"), ("sum without (window) (holdfast:slo_burn:ratio{window=\"1d\"})", "burn1d")],
            "What is promised, what came of it in 30 days, and how fast the budget burnt in the last hour and day: 1 uses up all of it in 30 days.",
            [("slo", "Objective", "none", None), ("objective", "Promised", "percentunit", None), ("kept", "In 30 days", "percentunit", None),
             ("burn1h", "Burn, 1 h", "short", [(None, GREEN), (1, ORANGE), (14.4, RED)]), ("burn1d", "Burn, 1 d", "short", [(None, GREEN), (1, ORANGE), (3, RED)])],
            width=16, height=8),
        graph("Budget left over time", [("holdfast:slo_budget_left:ratio", "{{slo}}")], "percentunit",
              "What is left of the error budgets, each of the 30 days before.", least=None, width=12),
        graph("Burn rate, 1 hour", [('holdfast:slo_burn:ratio{window="1h"}', "{{slo}}")], "short",
              "1 uses up all of a budget in 30 days. Above 14.4 for an hour somebody is called.", [(None, GREEN), (14.4, RED)], width=12),
        graph("Burn rate, 6 hours", [('holdfast:slo_burn:ratio{window="6h"}', "{{slo}}")], "short", "Above 6 somebody is called.",
              [(None, GREEN), (6, RED)], width=8),
        graph("Burn rate, 1 day", [('holdfast:slo_burn:ratio{window="1d"}', "{{slo}}")], "short", "Above 3 there is a warning.",
              [(None, GREEN), (3, ORANGE)], width=8),
        graph("Burn rate, 3 days", [('holdfast:slo_burn:ratio{window="3d"}', "{{slo}}")], "short", "Above 1 there is a warning.",
              [(None, GREEN), (1, ORANGE)], width=8),

        row("What is bad"),
        graph("Share of what is bad", [("holdfast:slo_bad:rate5m / (holdfast:slo_all:rate5m > 0)", "{{slo}}")], "percentunit",
              "Attempts that fail, tasks that wait for more than a minute, jobs that are not fresh, requests with 5xx, time without a producer or reporter."),
        graph("Attempts that are bad", [
            (f'sum by (kind, outcome) (rate(holdfast_worker_attempts_total{{outcome=~"failed|timed_out"}}{RATE}))', "{{kind}} {{outcome}}"),
            (f'sum(rate(holdfast_reaper_leases_total{{result=~"requeued|dead"}}{RATE}))', "lost")], "cps", "Attempts a second that failed, took too long or were lost, by kind."),
        graph("Tasks that waited for more than a minute", [
            (f'clamp_min(sum by (kind) (rate(holdfast_worker_pickup_seconds_count{RATE})) - sum by (kind) (rate(holdfast_worker_pickup_seconds_bucket{{le=~"60([.]0)?"}}{RATE})), 0)',
             "{{kind}}")], "cps", "Tasks a second that a worker took later than a minute after they could have started, by kind."),
        graph("Services that answer", [("holdfast:process_up", "{{process}}")], "none", "1 while any process of the service answers Prometheus."),
        stat("Producers and reporters that answer", 'sum by (job) (up{job=~"producer|reporter"})', "short",
             "How many processes answer Prometheus. Two of each let one go without harm.", [(None, RED), (1, ORANGE), (2, GREEN)], legend="{{job}}", width=8, height=8),
        graph("Jobs that are not fresh", [("max(holdfast_jobs_overdue)", "overdue"), ("max(holdfast_jobs_unprotected)", "never backed up")], "short",
              "Active jobs whose newest complete restore point is older than they demand, or that have had none for so long; and those that have none yet."),

        row("Requests over HTTP"),
        graph("Requests", [(f"sum by (job, status) (rate(holdfast_http_requests_total{RATE}))", "{{job}} {{status}}")], "reqps",
              "Requests a second to producers and reporters, by class of status.", stack=True, width=6),
        graph("Requests answered with 5xx", [
            (f'sum by (job, route) (rate(holdfast_http_requests_total{{status="5xx"}}{RATE})) or 0 * sum by (job) (rate(holdfast_http_requests_total{RATE}))', "{{job}} {{route}}")],
            "reqps", "Requests a second that failed by our fault, by route.", width=6),
        graph("Duration", [(f"histogram_quantile(0.95, sum by (le, job) (rate(holdfast_http_request_seconds_bucket{RATE})))", "{{job}}")], "s",
              "How long 95 % of the requests took at most until their answer began.", width=6),
        graph("Connections", [("sum by (job) (holdfast_http_connections)", "{{job}}")], "short", "Connections that producers and reporters have open.", width=6),
        table("Slowest routes", [
            ("topk(15, histogram_quantile(0.95, sum by (le, job, route) (rate(holdfast_http_request_seconds_bucket[5m]))))", "p95"),
            ("sum by (job, route) (rate(holdfast_http_request_seconds_count[5m]))", "rate")],
            "How long 95 % of the requests of five minutes took at most, by route.",
            [("job", "Program", "none", None), ("route", "Route", "none", None), ("rate", "Requests a second", "reqps", None),
             ("p95", "95 % within", "s", [(None, GREEN), (0.1, ORANGE), (1, RED)])], width=24, height=8, sort="95 % within"),
    ],
    since="now-24h", refresh="1m",
)
