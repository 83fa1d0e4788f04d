//! Several reporters beside each other: a change is seen by all of them at once, and Redis may come and go.

use std::net::TcpListener;
use std::time::Duration;

use devstack::{Service, ServiceCommand};
use harness::{Authority, Validity, World, eventually, metrics};
use serde_json::json;

use super::{Reader, column, warmed, world_with};

/// A Redis server of the test's own, which comes back at the same place.
struct Redis {
    port: u16,
    /// What it shows by TLS, if it speaks that: the files of a certificate and its key.
    certificate: Option<[String; 2]>,
    service: Option<Service>,
}

impl Redis {
    async fn start(world: &World) -> Self {
        Self::start_with(world, None).await
    }

    async fn start_with(world: &World, certificate: Option<[String; 2]>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut redis = Self { port, certificate, service: None };
        redis.begin(world).await;
        redis
    }

    async fn begin(&mut self, world: &World) {
        let port = self.port.to_string();
        let ports = match &self.certificate {
            None => vec!["--port", &port],
            Some([certificate, key]) => {
                let files =
                    ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"];
                [&["--port", "0", "--tls-port", &port][..], &files].concat()
            }
        };
        let command = ServiceCommand::new("redis", world.path("redis.log"))
            .args(ports)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", world.path("").to_str().unwrap()]);
        self.service = Some(Service::start_program("/usr/bin/redis-server".as_ref(), command).unwrap());
        let port = self.port;
        eventually("Redis answers", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
    }

    async fn kill(&mut self) {
        self.service.take().unwrap().kill().await.unwrap();
    }

    fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}/", self.port)
    }
}

async fn rename(world: &World, owner: &str) {
    let mut job = world.simulated_job("job-000", &["disk-a"], &json!({}));
    job["owner"] = json!(owner);
    world.apply(&json!({ "jobs": [job] })).await;
}

async fn owner(reader: &Reader) -> String {
    reader.column("jobs?limit=1", "owner").await[0].as_str().unwrap().to_owned()
}

async fn counted(reader: &Reader, tier: &str, result: &str) -> f64 {
    let name = format!(r#"holdfast_cache_requests_total{{entity="jobs",tier="{tier}",result="{result}"}}"#);
    metrics(&reader.url).await.get(&name).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_change_is_seen_at_once_by_each_of_two_reporters_and_their_pages_fit_together() {
    let world = world_with(7).await;
    let one = Reader::new(&world, "viewer").await;
    let two = one.beside(&world, &[]).await;
    for owner_now in ["first", "second", "third"] {
        rename(&world, owner_now).await;
        assert_eq!((owner(&one).await, owner(&two).await), (owner_now.to_owned(), owner_now.to_owned()));
    }
    let (here, there) = (one.get("jobs?limit=3").await, two.get("jobs?limit=3").await);
    assert_eq!((&here.body, &here.headers["etag"]), (&there.body, &there.headers["etag"]));
    // A page of one begins behind a page of the other.
    let rest = two.read(&format!("jobs?limit=9&after={}", here.body["next"].as_str().unwrap())).await;
    let names = [column(&here.body, "name"), column(&rest, "name")].concat();
    assert_eq!(names, (0..7).map(|number| json!(format!("job-{number:03}"))).collect::<Vec<_>>());

    // What nobody's hand changes is old for no longer than it lasts.
    world.execute("insert into alert (cause, rule, severity, state, subject, group_key, summary, since, opened_at) values
        ('lost_worker/w9', 'lost_worker', 'critical', 'open', 'w9', 'g', 'it is gone', now(), now())").await;
    assert_eq!(one.column("alerts?limit=1", "subject").await, [json!("w9")]);
    world.execute("delete from alert where subject = 'w9'").await;
    assert_ne!(one.column("alerts?limit=1", "subject").await, [json!("w9")]);
    one.read("dead-tasks").await;
    world.execute("delete from dead_task").await;
    eventually("the moment is over", async || one.column("dead-tasks", "id").await.is_empty().then_some(()))
        .await;
}

#[tokio::test]
async fn what_is_known_of_a_job_is_kept_until_it_is_judged_anew_and_then_seen_at_once() {
    let world = World::new().await;
    let retention = json!({ "retention": { "last": 1 } });
    let jobs = [
        world.simulated_job("docs", &["disk-a"], &json!({})),
        world.simulated_job("mail", &["disk-a"], &json!({})),
    ];
    let jobs = jobs.map(|mut job| {
        job["retention"] = retention["retention"].clone();
        job
    });
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let (producer, worker) = (world.start_producer(), world.start_worker("w1", &[]));
    let reader = Reader::new(&world, "viewer").await;
    let there = async |list: &str, job: &str| {
        let path = format!("{list}?job={job}");
        reader.read(&path).await["items"].as_array().unwrap().len()
    };
    let ends = async |arguments: &[&str]| {
        let run = world.producer(arguments).await;
        assert_eq!(run.code, 0, "{run:?}");
        world.wait_until_idle().await;
    };
    for backups in 1..=3 {
        ends(&["enqueue", "backup", "--job", "docs", "--wait"]).await;
        assert_eq!(there("restore-points", "docs").await, backups);
        assert_eq!(there("verdicts", "docs").await, 5);
        let evidence = "select count(*) from evidence e join job j on j.id = e.job_id where j.name = 'docs'";
        assert_eq!(there("evidence", "docs").await, usize::try_from(world.number(evidence).await).unwrap());
        assert_eq!(there("restore-points", "mail").await, 0);
    }
    ends(&["enqueue", "forget", "--job", "docs", "--param", "target=disk-a", "--wait"]).await;
    assert_eq!(there("restore-points", "docs").await, 1);
    // What no judgement brought in is not looked for: the page was kept.
    world.execute("insert into restore_point (id, job_id, target_id, snapshot, data_time, seconds, files, bytes, bytes_added, \
        source_errors, task_id) select gen_random_uuid(), j.id, t.id, 'abc', now(), 2, 3, 4, 5, 0, gen_random_uuid() from job j, target t").await;
    assert_eq!(there("restore-points", "docs").await, 1);
    assert_eq!(there("restore-points", "mail").await, 0);
    world.stop(worker).await;
    world.stop(producer).await;
}

#[tokio::test]
async fn many_who_ask_for_the_same_at_once_have_it_read_once() {
    let world = world_with(3).await;
    let reader = Reader::with(&world, "viewer", &[("HOLDFAST_CACHE_TTL_EXECUTIONS", "10m")]).await;
    warmed(&reader).await;
    let statements = async || {
        let name = r#"holdfast_http_statements_total{route="/api/v1/executions"}"#;
        metrics(&reader.url).await.get(name).copied().unwrap_or_default()
    };
    let before = statements().await;
    let answers = futures_util::future::join_all((0..50).map(|_| reader.get("executions?limit=321"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    assert!((statements().await - before - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn answers_are_shared_by_redis_and_nobody_notices_when_it_dies_and_comes_back() {
    let world = world_with(3).await;
    let mut redis = Redis::start(&world).await;
    let url = redis.url();
    let settings = [("REDIS_URL", url.as_str())];
    let one = Reader::with(&world, "viewer", &settings).await;
    let two = one.beside(&world, &settings).await;
    let page = one.read("jobs?limit=2&fields=name").await;
    assert!(counted(&one, "redis", "miss").await >= 1.0);
    let before = counted(&two, "redis", "hit").await;
    assert_eq!(two.read("jobs?limit=2&fields=name").await, page);
    // What it warms up with may be shared as well.
    assert!(counted(&two, "redis", "hit").await > before);
    rename(&world, "after the change").await;
    assert_eq!(
        (owner(&one).await, owner(&two).await),
        ("after the change".to_owned(), "after the change".to_owned())
    );

    redis.kill().await;
    for limit in 10..30 {
        for reader in [&one, &two] {
            reader.read(&format!("jobs?limit={limit}")).await;
        }
    }
    rename(&world, "without it").await;
    assert_eq!((owner(&one).await, owner(&two).await), ("without it".to_owned(), "without it".to_owned()));
    assert_eq!(metrics(&one.url).await.get("holdfast_cache_redis_up"), Some(&0.0));

    redis.begin(&world).await;
    let mut limits = 31..;
    eventually("it is shared again", async || {
        let path = format!("jobs?limit={}", limits.next()?);
        let before = counted(&two, "redis", "hit").await;
        one.read(&path).await;
        two.read(&path).await;
        (counted(&two, "redis", "hit").await > before).then_some(())
    })
    .await;
    assert_eq!(metrics(&two.url).await.get("holdfast_cache_redis_up"), Some(&1.0));

    // One that hangs is as good as none.
    redis.service.as_ref().unwrap().pause().unwrap();
    let hung = tokio::time::timeout(Duration::from_secs(20), one.get("jobs?limit=499")).await.unwrap();
    assert_eq!(hung.status, 200);
    redis.service.as_ref().unwrap().resume().unwrap();
}

#[tokio::test]
async fn answers_are_shared_by_redis_by_tls_and_one_that_cannot_be_trusted_is_left_alone() {
    let (authority, stranger) = (Authority::new("Holdfast test authority"), Authority::new("A stranger"));
    let certificate = authority.issue("IP:127.0.0.1", Validity::Now);
    let world = world_with(3).await;
    let files = [("redis.crt", certificate.chain), ("redis.key", certificate.key)];
    let files = files.map(|(name, text)| world.write(name, text).display().to_string());
    let redis = Redis::start_with(&world, Some(files)).await;
    let (url, trusted, strange) =
        (redis.url(), authority.file().display().to_string(), stranger.file().display().to_string());
    let one = Reader::with(&world, "viewer", &[("REDIS_URL", &url), ("HOLDFAST_TLS_CA", &trusted)]).await;
    // It is told of only while somebody asks for what is not in memory.
    let mut rows = 1;
    eventually("it is used", async || {
        one.read(&format!("jobs?limit={rows}")).await;
        rows += 1;
        (metrics(&one.url).await.get("holdfast_cache_redis_up") == Some(&1.0)).then_some(())
    })
    .await;
    let two = one.beside(&world, &[("REDIS_URL", &url), ("HOLDFAST_TLS_CA", &strange)]).await;
    // It is told of only while somebody asks for what is not in memory.
    let mut rows = 1;
    eventually("it is left alone", async || {
        two.read(&format!("jobs?limit={rows}")).await;
        rows += 1;
        (metrics(&two.url).await.get("holdfast_cache_redis_up") == Some(&0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_no_error() {
    let world = world_with(1).await;
    let reader = Reader::with(&world, "viewer", &[("REDIS_URL", "redis://127.0.0.1:1/")]).await;
    assert_eq!(reader.read("jobs").await["items"].as_array().unwrap().len(), 1);
    let wrong = world.run_with("reporter", ["run"], &[("REDIS_URL", "rabbit://secret@host")]).await;
    assert!(
        wrong.code == 2 && wrong.stderr.contains("REDIS_URL") && !wrong.stderr.contains("secret"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn what_is_asked_for_first_is_there_before_anybody_asks() {
    let world = world_with(2).await;
    let reader = Reader::new(&world, "viewer").await;
    eventually("the first pages are kept", async || {
        (counted(&reader, "memory", "miss").await >= 1.0).then_some(())
    })
    .await;
    let before = counted(&reader, "memory", "hit").await;
    reader.read("jobs").await;
    assert!((counted(&reader, "memory", "hit").await - before - 1.0).abs() < 1e-9);
}
