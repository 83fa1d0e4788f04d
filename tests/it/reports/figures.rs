//! The figures of reports are those of the attempts, counted by hand.

use std::collections::BTreeMap;

use chrono::{Datelike as _, Days, NaiveDate};
use harness::{World, eventually, metrics};
use reporter::rollup::{Step, step};
use serde_json::{Value, json};
use shared::alert::Severity;

use super::{facts, make, world_with};
use crate::dead::bury;
use crate::reads::Reader;

/// Attempts of a job; `at`, `kind`, `outcome` and `seconds` are expressions in which `n` counts from 1.
fn attempts(job: &str, number: usize, at: &str, kind: &str, outcome: &str, seconds: &str) -> String {
    format!(
        "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, enqueued_at, started_at, \
             finished_at, seconds, bytes, bytes_added, files, source_errors)
         select gen_random_uuid(), 1, 1, '{kind}', j.id, t.id, '{outcome}', 'test', {at}, {at}, {at}, {seconds}, 1000 * n, 10 * n, n, 0
         from generate_series(1, {number}) n, job j, target t where j.name = '{job}' and t.name = 'disk-a';"
    )
}

/// Rolls up until all attempts are; transactions of other tests may be in the way for a moment.
async fn roll_up(world: &World) {
    let mut client = world.database.client().await.unwrap();
    eventually("all is rolled up", async || {
        while let Step::More(_) = step(&mut client).await.unwrap() {}
        let left = "select count(*) from execution where xact >= (select xact from rollup_state)";
        (world.number(left).await == 0).then_some(())
    })
    .await;
}

/// What the database says of the backups from one day until before another: tried, succeeded, bytes, added by copies too.
async fn counted(world: &World, job: Option<&str>, from: NaiveDate, to: NaiveDate) -> [i64; 4] {
    let of_job =
        job.map(|job| format!("and job_id = (select id from job where name = '{job}')")).unwrap_or_default();
    let within = format!("finished_at >= '{from}' and finished_at < '{to}' {of_job}");
    let count = async |what: &str, which: &str| {
        world
            .number(&format!("select coalesce({what}, 0)::bigint from execution where {within} and {which}"))
            .await
    };
    [
        count(
            "count(*)",
            "kind in ('backup', 'record') and outcome in ('success', 'warning', 'failed', 'timed_out')",
        )
        .await,
        count("count(*)", "kind in ('backup', 'record') and outcome in ('success', 'warning')").await,
        count("sum(bytes)", "kind = 'backup' and outcome in ('success', 'warning')").await,
        count("sum(bytes_added)", "kind in ('backup', 'copy')").await,
    ]
}

fn said(figures: &Value) -> [i64; 4] {
    let tried = figures["backups"].as_i64().unwrap();
    #[expect(clippy::cast_possible_truncation, reason = "a share of a count")]
    let succeeded = (figures["success_rate"].as_f64().unwrap_or_default() * tried as f64).round() as i64;
    [tried, succeeded, figures["source_bytes"].as_i64().unwrap(), figures["storage_growth"].as_i64().unwrap()]
}

#[tokio::test]
async fn figures_of_each_period_and_job_are_those_that_are_counted_by_hand_rolled_up_or_not() {
    let world = world_with(&["docs", "mail"]).await;
    let today: NaiveDate =
        world.text("select (now() at time zone 'UTC')::date::text").await.unwrap().parse().unwrap();
    let day = |days: u64| today.checked_sub_days(Days::new(days)).unwrap();
    let at = |days: u64| format!("timestamptz '{} 12:00:00+00' + interval '1 second' * n", day(days));
    let all = [
        attempts("docs", 9, &at(1), "backup", "success", "n"),
        attempts("docs", 2, &at(1), "backup", "failed", "1"),
        attempts("docs", 4, &at(1), "copy", "success", "n"),
        attempts("docs", 3, &at(1), "verify", "failed", "n"),
        attempts("mail", 5, &at(1), "backup", "warning", "100 * n"),
        attempts("mail", 7, &at(9), "backup", "timed_out", "n"),
        attempts("mail", 3, &at(9), "backup", "lost", "n"),
        attempts("docs", 6, &at(40), "backup", "success", "n"),
    ];
    world.execute(&all[..4].concat()).await;
    roll_up(&world).await;
    // The rest is rolled up by nobody.
    world.execute(&all[4..].concat()).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));

    let daily = facts(&world, &make(&world, &["period=previous"]).await).await;
    assert_eq!(said(&daily["figures"]), counted(&world, None, day(1), today).await);
    assert_eq!(said(&daily["figures_before"]), counted(&world, None, day(2), day(1)).await);
    assert_eq!(said(&daily["figures"])[0], 16, "{daily}");
    assert_eq!(daily["troubled_total"], 2 + 3 + 5);

    let (from, to) = (format!("from={}", day(45)), format!("to={today}"));
    let long = facts(&world, &make(&world, &["report=monthly", &from, &to]).await).await;
    let tomorrow = today.succ_opt().unwrap();
    assert_eq!(said(&long["figures"]), counted(&world, None, day(45), tomorrow).await);
    for row in long["jobs"].as_array().unwrap() {
        let job = row["job"].as_str().unwrap();
        assert_eq!(said(row), counted(&world, Some(job), day(45), tomorrow).await, "{job}");
    }
    let trend = long["trend"].as_array().unwrap();
    assert_eq!(trend.len(), 46, "one step a day");
    let tried: i64 = trend.iter().map(|step| step["backups"].as_i64().unwrap()).sum();
    assert_eq!(tried, said(&long["figures"])[0]);

    let median =
        &long["jobs"].as_array().unwrap().iter().find(|row| row["job"] == "mail").unwrap()["p50_seconds"];
    assert!((median.as_f64().unwrap() - 300.0).abs() <= 15.1, "{median}");

    let of_one = facts(&world, &make(&world, &["report=monthly", &from, &to, "job=mail"]).await).await;
    assert_eq!(said(&of_one["figures"]), counted(&world, Some("mail"), day(45), tomorrow).await);
    assert_eq!(of_one["jobs"].as_array().unwrap().len(), 1);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn a_report_the_figures_the_status_what_is_read_over_http_and_the_metrics_agree() {
    let world = world_with(&["docs", "mail", "late"]).await;
    world.hold_the_alerts().await;
    world.execute(&attempts("docs", 3, "now()", "backup", "success", "n")).await;
    world.execute(&attempts("docs", 1, "now()", "backup", "failed", "n")).await;
    roll_up(&world).await;
    judge(&world).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let weekly = facts(&world, &make(&world, &["report=weekly", "period=current"]).await).await;
    let monday: NaiveDate = weekly["period"]["from"].as_str().unwrap().parse().unwrap();
    assert_eq!(monday.weekday(), chrono::Weekday::Mon);
    let figures = world.run("reporter", ["figures", "--json"]).await.json();
    let day = &figures["periods"][0];
    for name in [
        "backups",
        "success_rate",
        "source_bytes",
        "storage_growth",
        "dedup_ratio",
        "throughput",
        "p50_seconds",
        "p95_seconds",
    ] {
        assert_eq!(weekly["figures"][name], day[name], "{name}");
    }
    assert_eq!(weekly["figures"]["success_rate"], json!(0.75));
    let status = world.run("reporter", ["status", "--json"]).await.json();
    let backups = status["executions"].as_array().unwrap().iter().filter(|tally| tally["kind"] == "backup");
    let counted: i64 = backups.map(|tally| tally["count"].as_i64().unwrap()).sum();
    assert_eq!(weekly["figures"]["backups"], json!(counted));

    // And so do what is read over HTTP and what is scraped.
    let reader = Reader::with(&world, "viewer", &[("HOLDFAST_CACHE_TTL_SUMMARY", "0s")]).await;
    let summary = reader.read("summary").await;
    for name in ["backups", "success_rate", "source_bytes", "storage_growth", "p95_seconds"] {
        assert_eq!(summary["figures"]["day"][name], weekly["figures"][name], "{name}");
    }
    let rate = eventually("the rate is measured", async || {
        metrics(&reader.url).await.get(r#"holdfast_success_rate{period="day"}"#).copied()
    })
    .await;
    assert_eq!(json!(rate), weekly["figures"]["success_rate"]);

    let measured = eventually("all is measured", async || {
        let measured = metrics(&reader.url).await;
        let all = ["holdfast_jobs_compliant", "holdfast_tasks_dead", "holdfast_alerts{"];
        all.iter().all(|name| measured.keys().any(|key| key.starts_with(name))).then_some(measured)
    })
    .await;
    let compliance = facts(&world, &make(&world, &["report=compliance"]).await).await;
    agree_on_jobs(&world, &summary, &measured, [&weekly, &compliance], &status).await;
    agree_on_alerts(&summary, &measured, &weekly);
    let dead = summary["tasks"]["dead"].as_f64();
    assert_eq!(dead, Some(2.0));
    assert_eq!([weekly["dead_tasks"].as_f64(), status["dead"].as_f64()], [dead, dead]);
    assert_eq!(measured.get("holdfast_tasks_dead").copied(), dead);
    world.stop(worker).await;
    world.stop(producer).await;
}

/// One job keeps all rules, one does not, and one was never judged; alerts are open, known and silenced; two tasks are dead.
async fn judge(world: &World) {
    for (job, answers) in [("docs", ["pass"; 5]), ("mail", ["pass", "warning", "pass", "fail", "unknown"])] {
        let rules = ["3-copies", "2-media", "1-offsite", "1-isolated", "0-errors"];
        let verdict = |(rule, answer)| json!({ "rule": rule, "answer": answer, "reason": "r", "evidence": [], "expires_at": null });
        let verdicts: Vec<Value> = rules.into_iter().zip(answers).map(verdict).collect();
        let statement = format!(
            "update compliance set compliant = {}, evaluated_at = now(), due_at = null, verdicts = '{}'
             where job_id = (select id from job where name = '{job}')",
            job == "docs",
            json!(verdicts)
        );
        world.execute(&statement).await;
    }
    let never = "update compliance set verdicts = '[]', due_at = null where job_id = (select id from job where name = 'late')";
    world.execute(never).await;
    for number in 0..55 {
        world.open_alert(&format!("usb-{number}"), Severity::Critical, None).await;
    }
    for subject in ["docs", "docs/again", "docs/known", "docs/silenced"] {
        world.open_alert(subject, Severity::Warning, Some("docs")).await;
    }
    world
        .execute(
            "update alert set acknowledged_at = now(), acknowledged_by = 'ops' where subject in ('usb-1', 'docs/known');
             update alert set suppressed_by = 'silence:7' where subject = 'docs/silenced'",
        )
        .await;
    for job in ["docs", "mail"] {
        bury(world, "verify", job, "failed", 1).await;
    }
}

type Measured = BTreeMap<String, f64>;

async fn agree_on_jobs(
    world: &World,
    summary: &Value,
    measured: &Measured,
    [weekly, compliance]: [&Value; 2],
    status: &Value,
) {
    for (said, name, standing, of_status) in [
        ("active", "holdfast_jobs", "jobs", "jobs"),
        ("compliant", "holdfast_jobs_compliant", "follow", "compliant"),
    ] {
        let jobs = &summary["jobs"][said];
        assert_eq!(measured.get(name).copied(), jobs.as_f64(), "{name}");
        for report in [weekly, compliance] {
            assert_eq!(&report["standing"][standing], jobs, "{said}");
        }
        assert_eq!(&status[of_status], jobs, "{said}");
    }
    assert_eq!(summary["jobs"]["active"], json!(3));
    assert_eq!(summary["jobs"]["compliant"], json!(1));

    let listed: Value =
        serde_json::from_str(&world.run("reporter", ["compliance", "--json"]).await.stdout).unwrap();
    for of_rule in compliance["rules"].as_array().unwrap() {
        let rule = of_rule["rule"].as_str().unwrap();
        for answer in ["pass", "warning", "fail", "unknown"] {
            let number = &summary["jobs"]["answers"][rule][answer];
            assert_eq!(&of_rule[answer], number, "{rule}: {answer}");
            let name = format!(r#"holdfast_verdicts{{rule="{rule}",answer="{answer}"}}"#);
            assert_eq!(measured.get(&name).copied(), number.as_f64(), "{name}");
            let verdicts = listed["jobs"].as_array().unwrap().iter().map(|job| &job["verdicts"]);
            let such = verdicts.filter(|verdicts| {
                match verdicts.as_array().unwrap().iter().find(|of| of["rule"] == rule) {
                    Some(verdict) => verdict["answer"] == answer,
                    None => answer == "unknown",
                }
            });
            assert_eq!(json!(such.count()), *number, "reporter compliance, {rule}: {answer}");
        }
    }
    assert_eq!(
        summary["jobs"]["answers"]["0-errors"]["unknown"],
        json!(2),
        "also the one that was never judged"
    );
}

fn agree_on_alerts(summary: &Value, measured: &Measured, weekly: &Value) {
    for (said, state) in [("open_alerts", "open"), ("acknowledged_alerts", "acknowledged")] {
        assert_eq!(weekly["alerts"]["counts"][state], summary[said], "{state}");
        for severity in ["critical", "warning", "info"] {
            let such = |name: &str| {
                name.starts_with("holdfast_alerts{")
                    && name.contains(&format!("severity=\"{severity}\""))
                    && name.contains(&format!("state=\"{state}\""))
            };
            let sum: f64 = measured.iter().filter(|(name, _)| such(name)).map(|(_, value)| value).sum();
            assert_eq!(Some(sum), summary[said][severity].as_f64(), "{severity}, {state}");
        }
    }
    assert_eq!(summary["open_alerts"], json!({ "critical": 54, "warning": 3, "info": 0 }));
    assert_eq!(weekly["alerts"]["open"].as_array().unwrap().len(), 59);
}
