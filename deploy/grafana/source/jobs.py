"""Which jobs are badly off, by name, and how the whole complies."""

from panels import GREEN, NEARLY_ALL, NONE_IS_GOOD, ORANGE, RED, dashboard, graph, row, stat, table, variable

JOB = "job_name"
CHOSEN = f'{JOB}=~"$backup_job"'
AGE = f"time() - max by ({JOB}) (holdfast_job_restore_point_timestamp_seconds)"
RPO = f"max by ({JOB}) (holdfast_job_rpo_seconds)"
# The jobs of the table: those whose restore points are oldest, measured by what they demand.
WORST = f"topk(25, ({AGE}) / ({RPO} > 0))"

DASHBOARD = dashboard(
    "holdfast-jobs", "Jobs and compliance",
    "Which jobs are badly off, by name. With more jobs than `job_series` (1000), those that keep all rules may be missing in what is told by job.",
    [
        row("All jobs"),
        stat("Active jobs", "max(holdfast_jobs)", "short", "Jobs that are active."),
        stat("Overdue", "max(holdfast_jobs_overdue)", "short",
             "Active jobs whose newest complete restore point is older than their RPO, or that have had none for so long since they were defined.", NONE_IS_GOOD),
        stat("Unprotected", "max(holdfast_jobs_unprotected)", "short", "Active jobs without any complete restore point.", NONE_IS_GOOD),
        stat("Keep all five rules", "holdfast:jobs_compliant:ratio", "percentunit", "Share of the active jobs that keep 3-2-1-1-0 now.",
             NEARLY_ALL),
        stat("Compliance", "max by (period) (holdfast_compliance_rate)", "percentunit",
             "Share of the active jobs that kept all five rules, averaged over the hours of the last day, week and month.", NEARLY_ALL,
             legend="{{period}}", width=8),

        row("The worst"),
        table("Oldest restore points",
              [(WORST, "of_rpo"), (f"({AGE}) and on ({JOB}) {WORST}", "age"), (f"{RPO} and on ({JOB}) {WORST}", "rpo"),
               (f"max by ({JOB}) (holdfast_job_last_backup_seconds) and on ({JOB}) {WORST}", "took"),
               (f"max by ({JOB}) (holdfast_job_last_backup_bytes) and on ({JOB}) {WORST}", "bytes")],
              "The 25 jobs whose newest complete restore point is oldest, measured by their RPO: above 100 % it is missed.",
              [(JOB, "Job", "none", None), ("of_rpo", "Of its RPO", "percentunit", [(None, GREEN), (0.8, ORANGE), (1, RED)]),
               ("age", "Age", "s", None), ("rpo", "RPO", "s", None), ("took", "Last backup took", "s", None),
               ("bytes", "Last backup", "bytes", None)], width=14, height=11, sort="Of its RPO"),
        table("Rules that are not kept", [(f"max by ({JOB}, rule) (1 - holdfast_compliance) == 1", "broken")],
              "Jobs by the rules that they do not keep; a rule that was never observed is not kept. `reporter compliance --job NAME` has the evidence.",
              [(f"{JOB}\\rule", "Job", "none", None)], width=10, height=11, matrix=(JOB, "rule")),
        table("Never backed up", [(f"{RPO} unless on ({JOB}) max by ({JOB}) (holdfast_job_restore_point_timestamp_seconds)", "rpo")],
              "Jobs without any complete restore point, with the RPO that they demand.",
              [(JOB, "Job", "none", None), ("rpo", "RPO", "s", None)], width=7, height=9),
        table("Holdfast's own alerts", [("max by (rule, severity, state) (holdfast_alerts) > 0", "alerts")],
              "Alerts that are not over, by rule. `reporter alerts list` says what each is about.",
              [("rule", "Rule", "none", None), ("severity", "Severity", "none", None), ("state", "State", "none", None),
               ("alerts", "Alerts", "short", None)], width=9, height=9, sort="Alerts"),
        graph("Verdicts that are not passed",
              [('sum by (rule) (max by (rule, answer) (holdfast_verdicts{answer=~"fail|unknown"}))', "{{rule}}")], "short",
              "Active jobs that fail each rule, or of which nobody knows.", width=8, height=9),

        row("What it comes to"),
        graph("Jobs that keep all rules", [("holdfast:jobs_compliant:ratio", "keep all five rules"), ("holdfast:jobs_fresh:ratio", "keep their RPO")],
              "percentunit", "Shares of the active jobs over time."),
        graph("Age of newest restore points", [("max by (quantile) (holdfast_achieved_rpo_seconds)", "{{quantile}}")], "s",
              "The achieved RPO at each moment: the middle of all active jobs, 95 % of them, the worst."),
        stat("Longest restore", "max by (period) (holdfast_achieved_rto_seconds)", "s",
             "The achieved RTO: how long the longest restore or restore test of the period took that succeeded.", legend="{{period}}", width=8, height=8),
        stat("Successful backups", "max by (period) (holdfast_success_rate)", "percentunit",
             "Share of the backups of the period that succeeded, warnings included.", NEARLY_ALL, legend="{{period}}", width=8),
        stat("Stored in addition", "max by (period) (holdfast_storage_growth_bytes)", "bytes",
             "Bytes that backups and copies stored in addition; what was freed is not taken off.", legend="{{period}}", width=8),
        stat("Deduplication", "max by (period) (holdfast_dedup_ratio)", "short",
             "Bytes of the sources for each byte that was stored in addition.", legend="{{period}}", width=8, decimals=1),

        row("One job"),
        graph("Age of the newest restore point", [
            (f"time() - max by ({JOB}) (holdfast_job_restore_point_timestamp_seconds{{{CHOSEN}}})", "{{job_name}}"),
            (f"max by ({JOB}) (holdfast_job_rpo_seconds{{{CHOSEN}}})", "RPO of {{job_name}}")], "s",
            "How old the newest complete restore point of the chosen jobs is, beside what they demand."),
        graph("Duration of backups", [(f"max by ({JOB}) (holdfast_job_last_backup_seconds{{{CHOSEN}}})", "{{job_name}}")], "s",
              "How long the last successful backup took."),
        graph("Size of backups", [(f"max by ({JOB}) (holdfast_job_last_backup_bytes{{{CHOSEN}}})", "{{job_name}}")], "bytes",
              "Bytes of the source that the last successful backup went through."),
    ],
    [variable("backup_job", "Job", f"label_values(holdfast_job_rpo_seconds, {JOB})")],
    since="now-7d", refresh="1m",
)
