//! Alerts: each rule opens one by what really happens, and it is resolved when that is over.

mod backups;
mod database;
mod evidence;
mod fold;
mod leaders;
mod life;
mod targets;
mod unreadable;
mod work;

use devstack::Service;
use harness::{World, eventually};
use serde_json::{Value, json};

/// Everything runs, and somebody looks at the rules every 200 ms.
struct Watched {
    world: World,
    producer: Service,
    worker: Service,
    reporter: Service,
    url: String,
}

impl Watched {
    /// With the simulated job `docs` on `disk-a`, and some settings of rules.
    async fn new(rules: &Value) -> Self {
        let world = World::new().await;
        define(&world, &json!({}), rules).await;
        Self::over(world).await
    }

    /// With what is defined already.
    async fn over(world: World) -> Self {
        let producer = world.start_producer();
        let worker = world.start_worker("w1", &[]);
        let (reporter, url) = world.start_reporter().await;
        Self { world, producer, worker, reporter, url }
    }

    async fn stop(self) {
        self.world.stop(self.reporter).await;
        self.world.stop(self.worker).await;
        self.world.stop(self.producer).await;
        self.world.check_invariants().await;
    }
}

/// The job `docs` on `disk-a`, whose tasks are tried once, and what rules are set to.
async fn define(world: &World, source: &Value, rules: &Value) {
    let job = job(world, "docs", source);
    let targets = json!([world.target("disk-a", &json!({}))]);
    world.apply(&json!({ "targets": targets, "jobs": [job], "alerts": rules })).await;
}

fn job(world: &World, name: &str, source: &Value) -> Value {
    let mut job = world.simulated_job(name, &["disk-a"], source);
    job["tries"] =
        json!({ "backup": { "attempts": 1 }, "probe": { "attempts": 1 }, "verify": { "attempts": 1 } });
    job
}

/// A backup to its end; what comes of it is what the job's source says.
async fn back_up(world: &World, job: &str) {
    let run = world.producer(&["enqueue", "backup", "--job", job, "--wait"]).await;
    assert!(run.code < 2, "{run:?}");
}

/// The states of a cause's alerts, the first one first.
async fn states(world: &World, cause: &str) -> Vec<String> {
    let client = world.database.client().await.unwrap();
    let rows = client.query("select state from alert where cause = $1 order by id", &[&cause]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until the one alert of a cause is in a state.
async fn until(world: &World, cause: &str, state: &str) {
    eventually(&format!("{cause} is {state}"), async || {
        (states(world, cause).await == [state]).then_some(())
    })
    .await;
}

/// What happened to a cause's alerts, with what kept people from being told.
async fn history(world: &World, cause: &str) -> Vec<String> {
    let client = world.database.client().await.unwrap();
    let statement = "select e.transition || coalesce(' ' || e.suppressed_by, '')
         from alert_event e join alert a on a.id = e.alert_id where a.cause = $1 order by e.id";
    let rows = client.query(statement, &[&cause]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What an alert says.
async fn summary(world: &World, cause: &str) -> String {
    world.text(&format!("select summary from alert where cause = '{cause}'")).await.unwrap()
}

/// Waits until the rules were looked at anew: whatever was there before is seen by then.
async fn look(world: &World) {
    let now = world.text("select clock_timestamp()::text").await.unwrap();
    let looked = format!("select count(*) from alert_evaluation where evaluated_at > '{now}'");
    // The first look may have begun with what was there before.
    for _ in 0..2 {
        world.execute("update alert_evaluation set evaluated_at = null").await;
        eventually("the rules are looked at", async || (world.number(&looked).await == 1).then_some(()))
            .await;
    }
}
