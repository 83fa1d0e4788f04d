//! What other systems are told about publishing is true: the documents, the user's rights and the examples.

use std::path::PathBuf;
use std::process::Stdio;

use harness::{DEADLINE, Run, World, eventually};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use reqwest::Method;
use serde_json::{Value, json};
use shared::topology;
use tokio::process::Command;
use uuid::Uuid;

const QUEUE: &str = "holdfast.backup.normal";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where the tests' packages of JavaScript are.
#[expect(clippy::disallowed_methods, reason = "this is where it is handed over")]
fn npm() -> PathBuf {
    std::env::var("HOLDFAST_TEST_NPM")
        .expect("HOLDFAST_TEST_NPM is not set: run the tests with `cargo xtask test`")
        .into()
}

async fn world() -> World {
    let world = World::new().await;
    let jobs = json!([world.simulated_job("sim", &["disk-a"], &json!({}))]);
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    world
}

#[tokio::test]
async fn the_copies_of_the_documents_are_those_that_the_command_prints() {
    let world = World::new().await;
    for (name, file) in [("message", "message.schema.json"), ("asyncapi", "asyncapi.json")] {
        let printed = world.producer(&["schema", name]).await;
        assert_eq!(printed.code, 0, "{printed:?}");
        let copy = std::fs::read_to_string(root().join("docs/publishing").join(file)).unwrap();
        let renew = format!("cargo run -p producer -- schema {name} > docs/publishing/{file}");
        assert!(
            printed.stdout == copy,
            "docs/publishing/{file} is not what the code says any more; renew it by\n    {renew}"
        );
    }
}

#[test]
fn the_asyncapi_document_is_valid_by_the_official_schema() {
    let read = |path: PathBuf| -> Value {
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap()
    };
    let official = read(npm().join("asyncapi/node_modules/@asyncapi/specs/schemas/3.0.0.json"));
    let validator = jsonschema::options().should_validate_formats(true).build(&official).unwrap();
    let document = read(root().join("docs/publishing/asyncapi.json"));
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut wrong = document.clone();
    wrong["operations"]["takeTasks"]["action"] = json!("take");
    assert!(!validator.is_valid(&wrong), "the official schema refuses nothing");

    // Its examples are messages, and its references lead somewhere.
    let schema = read(root().join("docs/publishing/message.schema.json"));
    let messages = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let examples = document["components"]["messages"]["task"]["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 2);
    for example in examples {
        assert!(messages.is_valid(&example["payload"]), "{example:#}");
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| collect_references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
        _ => {}
    }
}

/// Whether the broker refused something for want of a right.
fn refused<T>(answer: lapin::Result<T>) -> bool {
    answer.is_err_and(|error| error.to_string().contains("ACCESS_REFUSED"))
}

async fn publish(channel: &Channel, exchange: &str, key: &str) -> lapin::Result<Confirmation> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel.basic_publish(exchange.into(), key.into(), options, b"{}", properties).await?;
    confirm.await
}

#[tokio::test]
async fn the_publishers_user_may_publish_tasks_and_nothing_else() {
    let world = world().await;
    let (_ours, _channel) = world.broker.channel().await;
    let url = world.broker.publisher("erp").await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    // An error closes its channel.
    let channel = async || connection.create_channel().await.unwrap();
    let (durable, none) =
        (QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() }, FieldTable::default);

    assert!(refused(channel().await.queue_declare("mine".into(), durable, none()).await.map(|_| ())));
    let exchange = ExchangeDeclareOptions::default();
    assert!(refused(
        channel().await.exchange_declare("mine".into(), ExchangeKind::Fanout, exchange, none()).await
    ));
    let bind = QueueBindOptions::default();
    let bound = channel()
        .await
        .queue_bind(QUEUE.into(), topology::TASKS_EXCHANGE.into(), "x".into(), bind, none())
        .await;
    assert!(refused(bound));
    for queue in [QUEUE, topology::DEAD_QUEUE, topology::UNROUTED, topology::RETURNED] {
        let consume = BasicConsumeOptions::default();
        assert!(
            refused(
                channel().await.basic_consume(queue.into(), "".into(), consume, none()).await.map(|_| ())
            ),
            "{queue}"
        );
        let get = channel().await.basic_get(queue.into(), BasicGetOptions::default()).await;
        assert!(refused(get.map(|_| ())), "{queue}");
        assert!(
            refused(channel().await.queue_purge(queue.into(), QueuePurgeOptions::default()).await),
            "{queue}"
        );
        assert!(
            refused(channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await),
            "{queue}"
        );
    }
    let elsewhere = [
        ("", QUEUE),
        (topology::DEAD_EXCHANGE, ""),
        (topology::UNROUTED, ""),
        (topology::RETURNED, ""),
        ("amq.topic", "backup.normal"),
    ];
    // How many messages a queue holds is no secret within a virtual host.
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    assert!(channel().await.queue_declare(QUEUE.into(), passive, none()).await.is_ok());
    for (exchange, key) in elsewhere {
        assert!(publish(&channel().await, exchange, key).await.is_err(), "{exchange:?} took a message");
    }
    for queue in [QUEUE, topology::DEAD_QUEUE, topology::UNROUTED, topology::RETURNED] {
        assert_eq!(world.broker.ready(queue).await, 0, "{queue}");
    }

    // What it may; the alternate exchange needs no right of its own.
    for key in ["backup.normal", "backup", "nonsense"] {
        eventually("the broker takes a message", async || {
            let confirmed = publish(&channel().await, topology::TASKS_EXCHANGE, key).await.unwrap();
            matches!(confirmed, Confirmation::Ack(None)).then_some(())
        })
        .await;
    }
    assert_eq!(world.broker.ready(QUEUE).await, 2);
    assert_eq!(world.broker.ready(topology::UNROUTED).await, 1);
}

#[tokio::test]
async fn a_publisher_can_be_kept_to_the_routing_keys_of_a_kind() {
    let world = world().await;
    let (_ours, _channel) = world.broker.channel().await;
    let url = world.broker.publisher("erp").await;
    let document = include_str!("../../docs/publishing.md");
    let command =
        document.split_once("rabbitmqctl set_topic_permissions -p holdfast erp holdfast.tasks ").unwrap().1;
    let rights: Vec<&str> = command.lines().next().unwrap().split('"').skip(1).step_by(2).collect();
    let [write, read] = rights[..] else { panic!("{rights:?}") };
    let (host, user) = (world.broker.name(), format!("{}-erp", world.broker.name()));
    let rights = json!({ "exchange": topology::TASKS_EXCHANGE, "write": write, "read": read });
    world.broker.manage(Method::PUT, &format!("topic-permissions/{host}/{user}"), Some(rights)).await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    for (key, allowed) in [
        ("backup.normal", true),
        ("backup", true),
        ("backup.high", true),
        ("restore.normal", false),
        ("backupx", false),
    ] {
        let channel = connection.create_channel().await.unwrap();
        if allowed {
            eventually("the broker takes a message", async || {
                let confirmed = publish(&channel, topology::TASKS_EXCHANGE, key).await.unwrap();
                matches!(confirmed, Confirmation::Ack(None)).then_some(())
            })
            .await;
        } else {
            assert!(publish(&channel, topology::TASKS_EXCHANGE, key).await.is_err(), "{key}");
        }
    }
}

/// An example, as its users run it.
struct Example {
    program: PathBuf,
    /// What stands before the job's name.
    arguments: Vec<PathBuf>,
    /// Whether it asks for a confirm, and sets a message id.
    confirms: bool,
    requested_by: &'static str,
}

impl Example {
    fn script(interpreter: &str, file: &str, requested_by: &'static str) -> Self {
        let arguments = vec![root().join("docs/publishing").join(file)];
        Self { program: interpreter.into(), arguments, confirms: true, requested_by }
    }

    async fn run(&self, world: &World, url: Option<&str>, trace: Option<&str>, arguments: &[&str]) -> Run {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", world.path(""));
        command.env("NODE_PATH", npm().join("publish/node_modules"));
        command.envs(url.map(|url| ("AMQP_URL", url))).envs(trace.map(|trace| ("TRACEPARENT", trace)));
        let output = tokio::time::timeout(DEADLINE, command.output())
            .await
            .expect("the example does not end")
            .unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Publishes until it says that it has.
    async fn publish(&self, world: &World, url: &str, trace: Option<&str>, arguments: &[&str]) -> String {
        // A queue that was declared this moment may refuse its first message.
        eventually("the example has published", async || {
            let run = self.run(world, Some(url), trace, arguments).await;
            assert!([0, 1].contains(&run.code), "{run:?}");
            (run.code == 0).then(|| run.stdout.trim().to_owned())
        })
        .await
    }
}

/// Everything that is asked of an example.
async fn works(example: Example) {
    let world = world().await;
    let (_connection, channel) = world.broker.channel().await;
    let url = world.broker.publisher("erp").await;
    let id = Uuid::now_v7().to_string();
    assert_eq!(example.publish(&world, &url, Some(PARENT), &["sim", &id]).await, id);
    let message = eventually("the message is there", async || {
        channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap()
    })
    .await;
    let properties = &message.delivery.properties;
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(
        properties.content_type().as_ref().map(ToString::to_string).as_deref(),
        Some("application/json")
    );
    let trace = properties.headers().as_ref().and_then(|headers| headers.inner().get("traceparent").cloned());
    assert_eq!(trace, Some(AMQPValue::LongString(PARENT.into())));
    if example.confirms {
        assert_eq!(properties.message_id().as_ref().map(ToString::to_string), Some(id.clone()));
    }
    let requeue = BasicRejectOptions { requeue: true };
    channel.basic_reject(message.delivery.delivery_tag, requeue).await.unwrap();

    // Twice under one id, once under an id that it makes, and once for a job that nobody has defined.
    example.publish(&world, &url, Some(PARENT), &["sim", &id]).await;
    let made = example.publish(&world, &url, None, &["sim"]).await;
    let unknown = example.publish(&world, &url, Some(PARENT), &["nobody"]).await;
    let worker = world.start_worker("w1", &[]);
    let letter = world.broker.dead_letters(1).await.remove(0);
    assert_eq!((letter.reason(), letter.headers["traceparent"].as_str()), ("unknown_job", PARENT));
    assert!(letter.body.contains(&unknown), "{letter:?}");
    let done = "select count(*) from execution where kind = 'backup' and outcome = 'success'";
    eventually("both tasks have run", async || (world.number(done).await == 2).then_some(())).await;
    eventually("nothing is left in the queue", async || (world.broker.ready(QUEUE).await == 0).then_some(()))
        .await;
    for (id, its_own) in [(&id, true), (&made, false)] {
        let row =
            format!("from execution where task_id = '{id}' and requested_by = '{}'", example.requested_by);
        assert_eq!(world.number(&format!("select count(*) {row}")).await, 1);
        let trace = world.text(&format!("select traceparent {row}")).await;
        assert_eq!(trace.as_deref() == Some(PARENT), its_own);
        assert_eq!(trace.unwrap().len(), PARENT.len());
    }
    assert_eq!(world.number(done).await, 2);
    world.check_invariants().await;
    world.stop(worker).await;
    refuses_what_is_wrong(&example, &world, &url).await;
    if example.confirms {
        tells_of_a_full_queue(&example, &world, &url).await;
    }
}

async fn refuses_what_is_wrong(example: &Example, world: &World, url: &str) {
    let wrong: [(Option<&str>, &[&str], &str); 5] = [
        (None, &["sim"], "AMQP_URL"),
        (Some(url), &[], "usage"),
        (Some(url), &["sim", "7"], "not a UUID"),
        (Some(url), &["sim", &Uuid::now_v7().to_string(), "more"], "usage"),
        (Some(""), &["sim"], "AMQP_URL"),
    ];
    for (url, arguments, said) in wrong {
        let run = example.run(world, url, None, arguments).await;
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(said) && run.stdout.is_empty(), "{arguments:?}: {run:?}");
    }
    let (before, place) = url.rsplit_once('@').unwrap();
    let (_, password) = before.rsplit_once(':').unwrap();
    let stranger = format!("{}@{place}", before.replace(password, "wrong"));
    let nowhere = format!("{before}@127.0.0.1:1/x");
    let id = Uuid::now_v7().to_string();
    for url in [&stranger, &nowhere] {
        let run = example.run(world, Some(url), None, &["sim", &id]).await;
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains(&format!("publish again with the id {id}")), "{run:?}");
        assert!(!run.stderr.contains(password) && !run.stderr.contains("wrong@"), "{run:?}");
    }
}

async fn tells_of_a_full_queue(example: &Example, world: &World, url: &str) {
    let policy = format!("policies/{}/full", world.broker.name());
    let full = json!({ "pattern": "^holdfast.backup.normal$", "apply-to": "queues", "definition": { "max-length": 1 } });
    world.broker.manage(Method::PUT, &policy, Some(full)).await;
    let run = eventually("the queue is full", async || {
        let run = example.run(world, Some(url), None, &["sim"]).await;
        (run.code != 0).then_some(run)
    })
    .await;
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stderr.contains("the broker refused it: its queue may be full"), "{run:?}");
}

#[tokio::test]
async fn the_example_in_python_works() {
    works(Example::script("/usr/bin/python3", "python/publish.py", "publish.py")).await;
}

#[tokio::test]
async fn the_example_in_javascript_works() {
    works(Example::script("node", "node/publish.js", "publish.js")).await;
}

#[tokio::test]
async fn the_example_in_shell_works() {
    works(Example { confirms: false, ..Example::script("sh", "shell/publish.sh", "publish.sh") }).await;
}

#[tokio::test]
async fn the_example_in_rust_works() {
    let program = devstack::process::binary("publish-backup").unwrap();
    works(Example { program, arguments: Vec::new(), confirms: true, requested_by: "publish-backup" }).await;
}
