//! Stacks of real servers: side by side, killed, recovered, and gone without a trace.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod outside;
mod owner;

use std::{path::Path, process::Command, time::Duration};

use devstack::{
    Claim, Options, Stack,
    probe::{amqp_answers, management_answers, postgres_answers},
    servers::{Found, Server, find},
};
use outside::{processes_of, scratch, until};
use owner::Owner;

/// Runs a statement as the stack's user, so with its password, through TCP.
fn query(stack: &Stack, statement: &str) -> String {
    let Found::Ready(postgres) = find(Server::Postgres) else { panic!("PostgreSQL is not installed") };
    let output = Command::new(postgres.programs.join("psql"))
        .args([&stack.postgres.url(), "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn answers(stack: &Stack) -> bool {
    postgres_answers(stack.postgres.port()).await
        && amqp_answers(stack.rabbitmq.port()).await
        && management_answers(stack.rabbitmq.management_port()).await
}

#[tokio::test]
async fn two_stacks_run_side_by_side_and_leave_no_process_behind() {
    let (files, directory) = (scratch(), scratch());
    let env_file = files.path().join("env");
    let mut up = Owner::start(&env_file);
    let (own, upped) = tokio::join!(Stack::start(directory.path()), up.ready());
    let (own, (up_directory, urls)) = (own.unwrap(), upped);
    assert!(answers(&own).await);
    assert!(postgres_answers(port(&urls, "DATABASE_URL=postgres://holdfast:")).await);
    assert!(amqp_answers(port(&urls, "AMQP_URL=amqp://holdfast:")).await);
    assert!(!processes_of(&up_directory).is_empty());

    up.terminate();
    assert!(up.end().await.success());
    assert_eq!(processes_of(&up_directory), Vec::<String>::new());
    assert!(!env_file.exists());
    assert!(answers(&own).await, "the other stack's end is none of its business");

    // Without a word, as at a test's panic.
    drop(own);
    assert_eq!(processes_of(directory.path()), Vec::<String>::new());
}

/// The port in the address that a line of the env file gives.
fn port(env_file: &[String], beginning: &str) -> u16 {
    let address = env_file.iter().find_map(|line| line.strip_prefix(beginning)).unwrap();
    address.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_directory_has_one_stack_at_a_time() {
    let directory = scratch();
    let (first, number) = Claim::first_free(directory.path(), "up").unwrap();
    assert_eq!(number, 1);
    let error = Stack::start(first.directory()).await.unwrap_err();
    assert!(error.to_string().contains("another stack runs in"), "{error}");
    assert_eq!(Claim::first_free(directory.path(), "up").unwrap().1, 2);
    drop(first);
    assert_eq!(Claim::first_free(directory.path(), "up").unwrap().1, 1);
}

#[tokio::test]
async fn servers_come_back_where_they_were_after_kill_and_restart() {
    let directory = scratch();
    let mut stack = Stack::start(directory.path()).await.unwrap();
    let urls = (stack.postgres.url(), stack.rabbitmq.url(), stack.rabbitmq.management_url());
    query(&stack, "CREATE TABLE kept AS SELECT 7 AS value");
    assert_eq!(query(&stack, "SHOW fsync"), "on");

    stack.postgres.kill().await.unwrap();
    assert!(!postgres_answers(stack.postgres.port()).await);
    stack.postgres.start().await.unwrap();
    stack.postgres.restart().await.unwrap();
    assert_eq!(query(&stack, "SELECT value FROM kept"), "7");

    stack.rabbitmq.wipe().await.unwrap();
    assert!(!amqp_answers(stack.rabbitmq.port()).await);
    stack.rabbitmq.start().await.unwrap();
    assert!(answers(&stack).await);
    assert_eq!((stack.postgres.url(), stack.rabbitmq.url(), stack.rabbitmq.management_url()), urls);

    stack.discard().await.unwrap();
    assert_eq!(processes_of(directory.path()), Vec::<String>::new());
    assert!(!directory.path().join("servers").exists());
}

#[tokio::test]
async fn servers_take_settings_a_place_for_the_data_and_commands() {
    let (directory, elsewhere) = (scratch(), scratch());
    let claim = Claim::try_new(directory.path()).unwrap().unwrap();
    let options = Options {
        postgres_settings: "max_wal_size = '64MB'".to_owned(),
        postgres_directory: Some(elsewhere.path().to_owned()),
        rabbitmq_settings: "consumer_timeout = 7000".to_owned(),
        rabbitmq_advanced: "[{rabbit, [{channel_tick_interval, 1234}]}].\n".to_owned(),
        ..Options::default()
    };
    let stack = Stack::start_in(claim, options).await.unwrap();
    assert_eq!(query(&stack, "SHOW max_wal_size"), "64MB");
    let data = query(&stack, "SHOW data_directory");
    assert!(Path::new(&data).starts_with(elsewhere.path()), "{data}");

    let environment = stack.rabbitmq.control(&["environment"]).await.unwrap();
    for setting in ["{consumer_timeout,7000}", "{channel_tick_interval,1234}"] {
        assert!(environment.contains(setting), "{setting} is missing in {environment}");
    }
    let error = stack.rabbitmq.control(&["dance"]).await.unwrap_err().to_string();
    assert!(error.starts_with("rabbitmqctl dance: "), "{error}");
    stack.discard().await.unwrap();
}

#[tokio::test]
async fn a_stack_whose_owner_was_killed_is_recovered_by_the_next_start() {
    let files = scratch();
    let env_file = files.path().join("env");
    let mut up = Owner::start(&env_file);
    let (directory, _) = up.ready().await;
    up.kill();
    up.end().await;

    // At once, while the dead owner's servers may still be ending.
    let claim = until(Duration::from_secs(10), || Claim::try_new(&directory).unwrap()).await;
    let stack = Stack::start_in(claim, Options::default()).await.unwrap();
    assert!(answers(&stack).await);
    assert_eq!(query(&stack, "SELECT 1"), "1");
    stack.stop().await.unwrap();
    assert_eq!(processes_of(&directory), Vec::<String>::new());
    assert!(Path::new(&env_file).exists(), "nobody was left to remove it");
}
