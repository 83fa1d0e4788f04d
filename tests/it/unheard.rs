//! A claim that the database committed, and whose answer never came.

use devstack::Proxy;
use devstack::proxy::Mode;
use harness::{World, eventually};
use serde_json::{Value, json};
use uuid::Uuid;

/// Whoever commits a lease waits for this lock.
const HELD: i64 = 4_711;

#[tokio::test]
async fn what_a_claim_started_without_hearing_of_its_commit_keeps_its_limits_and_starts_once() {
    let world = World::new().await;
    define(&world).await;
    let client = world.database.client().await.unwrap();
    let trigger = format!(
        "create function hold_commit() returns trigger language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared({HELD}); return null; end $$;
         create constraint trigger hold_commit after insert on lease deferrable initially deferred
             for each row execute function hold_commit();
         select pg_advisory_lock({HELD});"
    );
    client.batch_execute(&trigger).await.unwrap();

    let (before, rest) = world.database_url().rsplit_once(':').unwrap();
    let (port, name) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(port.parse().unwrap()).await.unwrap();
    let url = format!("{before}:{}/{name}", proxy.port());
    let (log, producer) = (world.path("effects"), world.start_producer());
    let settings = [
        ("DATABASE_URL", url.as_str()),
        ("HOLDFAST_LEASE", "5m"),
        ("HOLDFAST_EFFECT_LOG", log.to_str().unwrap()),
    ];
    let worker = world.start_worker("w1", &settings);
    let ids = || (0..6).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
    let (strict, capped) = (ids(), ids());
    let task = |job: &str, id: &Uuid| json!({ "id": id, "kind": "backup", "job": job });
    let tasks: Vec<Value> = capped
        .iter()
        .map(|id| task("capped", id))
        .chain(strict.iter().map(|id| task("strict", id)))
        .collect();
    let body = json!({ "version": 1, "tasks": tasks }).to_string();
    world.broker.publish("backup.normal", &[body.into()]).await;

    let waits = format!(
        "select count(*) from pg_locks where locktype = 'advisory' and objid = {HELD} and not granted"
    );
    eventually("the claim commits", async || (world.number(&waits).await > 0).then_some(())).await;
    proxy.set(Mode::BlackHole);
    client.batch_execute(&format!("select pg_advisory_unlock({HELD})")).await.unwrap();
    eventually("it has committed", async || {
        (world.number("select count(*) from lease").await > 0).then_some(())
    })
    .await;
    proxy.set(Mode::Cut);
    let sessions = "select count(*) from pg_stat_activity
         where application_name = 'worker' and datname = current_database()";
    eventually("the worker's sessions are gone", async || (world.number(sessions).await == 0).then_some(()))
        .await;
    proxy.set(Mode::Pass);

    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("all have run", async || (world.number(done).await == 12).then_some(())).await;
    let log = std::fs::read_to_string(&log).unwrap();
    let effects: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |ids: &[Uuid], what: &str| -> Vec<u64> {
        let of = effects.iter().filter(|effect| effect["effect"] == what);
        let of = of.filter(|effect| ids.iter().any(|id| effect["task"] == json!(id)));
        let mut moments: Vec<u64> = of.map(|effect| effect["at_ns"].as_u64().unwrap()).collect();
        moments.sort_unstable();
        moments
    };
    let (starts, capped_starts) = (of(&strict, "started"), of(&capped, "started"));
    assert_eq!((starts.len(), capped_starts.len()), (6, 6));
    // No token was used twice: of any starts in a row, those beyond the burst are half a second apart in the mean.
    for (first, began) in starts.iter().enumerate() {
        for (last, until) in starts.iter().enumerate().skip(first + 3) {
            let (seconds, beyond) = ((until - began) as f64 / 1e9, (last - first - 2) as f64);
            assert!(beyond <= seconds * 2.0 + 1e-6, "{first} to {last} within {seconds} s");
        }
    }
    // Never two of the capped ones ran at once, and none was lost with its lease: it was taken over.
    let ended = of(&capped, "done").into_iter().map(|at| (at, -1));
    let mut changes: Vec<(u64, i32)> = capped_starts.into_iter().map(|at| (at, 1)).chain(ended).collect();
    changes.sort_unstable();
    let at_once = changes.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    assert_eq!(at_once.max(), Some(1));
    assert_eq!(world.number("select count(*) from execution where outcome = 'lost'").await, 0);
    // Verifications follow, under the same caps.
    let open = "select (select count(*) from task) + (select count(*) from lease)";
    eventually("nothing waits or runs", async || (world.number(open).await == 0).then_some(())).await;
    assert_eq!(world.number("select running::bigint from cap").await, 0);
    // One that gave all it had is closed when it is called again.
    eventually("no line is left", async || {
        (world.number("select count(*) from line").await == 0).then_some(())
    })
    .await;
    world.check_invariants().await;
    world.stop(worker).await;
    world.stop(producer).await;
}

/// Two jobs: the starts of one are limited strictly, and of the other one may run at a time.
async fn define(world: &World) {
    let jobs = ["strict", "capped"].map(|owner| {
        let mut job = world.simulated_job(owner, &["disk-a"], &json!({ "duration": "50ms" }));
        job["owner"] = json!(owner);
        job
    });
    let definitions = json!({
        "targets": [world.target("disk-a", &json!({}))],
        "jobs": jobs,
        "limits": [
            { "owner": "strict", "starts_per_minute": 120, "burst": 3, "strict": true },
            { "owner": "capped", "concurrency": 1 },
        ],
    });
    world.apply(&definitions).await;
}
