//! Settings: documents say what the programs read, a check finds what is wrong without any server, and secrets come from files.

use std::path::Path;

use harness::{Authority, Run, Validity, World};
use serde_json::{Value, json};

const PROGRAMS: [&str; 3] = ["producer", "worker", "reporter"];

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

async fn described(world: &World, form: &str) -> String {
    let mut parts = Vec::new();
    for program in ["producer", "worker"] {
        let part = world.run(program, ["schema", "configuration"]).await;
        assert_eq!(part.code, 0, "{part:?}");
        parts.push(world.write(&format!("{program}.json"), part.stdout).display().to_string());
    }
    let arguments = ["schema", "configuration", "--with", &parts[0], "--with", &parts[1], "--form", form];
    let run = world.run("reporter", arguments).await;
    assert_eq!(run.code, 0, "{run:?}");
    run.stdout
}

#[tokio::test]
async fn the_documents_are_what_the_programs_say() {
    let world = World::new().await;
    for (form, file) in [
        ("page", "docs/configuration.md"),
        ("example", "docs/holdfast.example.toml"),
        ("names", "shared/src/settings/keys.txt"),
    ] {
        assert_eq!(
            described(&world, form).await,
            document(file),
            "renew {file} as docs/configuration.md says"
        );
    }
}

/// Runs `--check-config` with nothing but these variables.
async fn check(world: &World, program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Run {
    let none = ["DATABASE_URL", "AMQP_URL", "HOLDFAST_SCRATCH", "HOLDFAST_RESTORE_ROOT", "HOLDFAST_LOG"];
    let none: Vec<(&str, &str)> = none.iter().map(|name| (*name, "")).collect();
    let arguments = [&["--check-config"][..], arguments].concat();
    world.run_with(program, arguments, &[&none[..], settings].concat()).await
}

fn said(run: &Run, part: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    report[part].as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

const SERVERS: [(&str, &str); 2] = [
    ("DATABASE_URL", "postgres://u:swordfish@localhost/d"),
    ("AMQP_URL", "amqp://u:swordfish@localhost/%2f"),
];

#[tokio::test]
async fn the_example_with_every_key_uncommented_is_accepted_by_each_program() {
    let world = World::new().await;
    let certificate = Authority::new("Example").issue("DNS:localhost", Validity::Now);
    let [chain, key] = [("tls.crt", certificate.chain), ("tls.key", certificate.key)]
        .map(|(name, text)| world.write(name, text).display().to_string());
    let mut example = String::new();
    for line in document("docs/holdfast.example.toml").lines() {
        let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && rest.contains(" = "));
        example.push_str(setting.unwrap_or(line));
        example.push('\n');
    }
    // What an example cannot have on every machine.
    let restored = world.path("restored").display().to_string();
    let example = example
        .replace("/etc/holdfast/ca.pem", &chain)
        .replace("/etc/holdfast/tls.crt", &chain)
        .replace("/etc/holdfast/tls.key", &key)
        .replace("/run/holdfast/admin.sock", &world.path("admin.sock").display().to_string())
        .replace("/srv/restored", &restored);
    let keys = document("shared/src/settings/keys.txt");
    let table: toml::Table = example.parse().unwrap();
    let file = world.write("holdfast.toml", &example).display().to_string();
    for program in PROGRAMS {
        let run = check(&world, program, &["--json", "--config", &file], &[]).await;
        assert_eq!(run.code, 0, "{program}: {run:?}");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        for setting in report["settings"].as_array().unwrap() {
            let key = setting["key"].as_str().unwrap();
            let is_file_of_a_secret = key.ends_with("_file");
            let origin = setting["origin"].as_str().unwrap_or_default();
            assert_eq!(origin.contains("holdfast.toml"), !is_file_of_a_secret, "{program}: {setting}");
        }
    }
    let secrets = keys.lines().filter(|key| key.ends_with("_file")).count();
    assert_eq!(leaves(&table), keys.lines().count() - secrets, "every key is in the example");
}

fn leaves(table: &toml::Table) -> usize {
    let of = |value: &toml::Value| value.as_table().map_or(1, leaves);
    table.values().map(of).sum()
}

#[tokio::test]
async fn a_check_needs_no_server_and_says_what_applies_and_where_it_came_from_without_secrets() {
    let world = World::new().await;
    for program in PROGRAMS {
        let settings = [&SERVERS[..], &[("HOLDFAST_GRACE", "7s")]].concat();
        let run = check(&world, program, &["--json", "--set", "log=warn"], &settings).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stdout.contains("swordfish") && run.stderr.is_empty(), "{run:?}");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        let of = |key: &str| {
            let settings = report["settings"].as_array().unwrap();
            let setting = settings.iter().find(|setting| setting["key"] == key).unwrap();
            (setting["value"].clone(), setting["origin"].clone())
        };
        assert_eq!(of("grace"), (json!("7s"), json!("HOLDFAST_GRACE")));
        assert_eq!(of("log").1, "--set log");
        assert_eq!(of("database.pool_size"), (json!("30"), json!("default")));
        assert_eq!(of("database_url"), (json!("(hidden)"), json!("DATABASE_URL")));
        // With a command, and for people.
        let run = check(&world, program, &["run"], &SERVERS).await;
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.stdout.contains("the configuration is well") && !run.stdout.contains("swordfish"),
            "{run:?}"
        );
    }
}

#[tokio::test]
async fn a_misspelt_variable_is_warned_of_and_fails_the_check_and_other_programs_variables_do_not() {
    let world = World::new().await;
    let others = [
        ("HOLDFAST_REAPER_INTERVAL", "1s"),
        ("HOLDFAST_POOLS_BACKUP_SLOTS", "3"),
        ("HOLDFAST_HTTP_CONNECTIONS", "4"),
    ];
    let misspelt = [&others[..], &SERVERS, &[("HOLDFAST_LAESE", "5m")]].concat();
    for program in PROGRAMS {
        let run = check(&world, program, &["--json"], &[&others[..], &SERVERS].concat()).await;
        assert_eq!(run.code, 0, "{program}: {run:?}");
        let run = check(&world, program, &["--json"], &misspelt).await;
        assert_eq!((run.code, said(&run, "warnings")), (2, vec!["HOLDFAST_LAESE: is unknown".to_owned()]));
    }
    let run = world.run_with("reporter", ["status"], &[("HOLDFAST_LAESE", "5m")]).await;
    assert!(run.code == 0 && run.stderr.contains("HOLDFAST_LAESE: is unknown"), "{run:?}");
}

#[tokio::test]
async fn everything_wrong_is_in_one_report_with_the_name_of_its_setting() {
    let world = World::new().await;
    let (authority, stranger) = (Authority::new("One"), Authority::new("Another"));
    let (mine, other) = (authority.issue("DNS:a", Validity::Now), stranger.issue("DNS:a", Validity::Over));
    let write = |name: &str, text: &str| world.write(name, text).display().to_string();
    let (crt, key, empty) = (write("a.crt", &mine.chain), write("b.key", &other.key), write("empty", ""));
    let settings = [
        ("DATABASE_URL", "postgres://u:swordfish@db/d?sslmode=sometimes"),
        ("AMQP_URL_FILE", empty.as_str()),
        ("HOLDFAST_TLS_CA", empty.as_str()),
        ("HOLDFAST_TLS_CERTIFICATE", crt.as_str()),
        ("HOLDFAST_TLS_KEY", key.as_str()),
        ("HOLDFAST_LISTEN", "here"),
        ("HOLDFAST_DATABASE_POOL_SIZE", "1001"),
    ];
    for program in PROGRAMS {
        let run = check(&world, program, &["--json"], &settings).await;
        assert_eq!(run.code, 2, "{run:?}");
        let errors = said(&run, "errors").join("\n");
        for part in [
            "DATABASE_URL: sslmode: \"sometimes\" is unknown, use one of: disable, prefer, require, verify-ca, verify-full",
            &format!("AMQP_URL_FILE: {empty} is empty"),
            &format!("tls.ca: {empty}: holds no certificate"),
            &format!("tls.key: {key}: is not the key of {crt}"),
            "HOLDFAST_LISTEN: is not an address with its port: invalid socket address",
            "HOLDFAST_DATABASE_POOL_SIZE: use 1 to 1000",
        ] {
            assert!(errors.contains(part), "{program}: {part} is missing in: {errors}");
        }
        assert!(!run.stdout.contains("swordfish"), "{run:?}");
    }
    let (crt, key) = (write("over.crt", &other.chain), write("over.key", &other.key));
    let expired = [("HOLDFAST_TLS_CERTIFICATE", crt.as_str()), ("HOLDFAST_TLS_KEY", key.as_str())];
    let run = check(&world, "reporter", &["--json"], &[&SERVERS[..], &expired].concat()).await;
    assert_eq!(run.code, 2, "{run:?}");
    assert!(said(&run, "warnings")[0].contains("expired at 2025-01-31"), "{run:?}");
    let alone = check(&world, "reporter", &["--json"], &[&SERVERS[..], &expired[..1]].concat()).await;
    assert!(said(&alone, "errors")[0].contains("tls.certificate: is given without tls.key"), "{alone:?}");
}

#[tokio::test]
async fn a_flag_comes_before_a_variable_and_that_before_the_file() {
    let world = World::new().await;
    let file = world.write("holdfast.toml", "grace = \"1s\"\n").display().to_string();
    let (variable, flag) = ([("HOLDFAST_GRACE", "2s")], ["--set", "grace=3s"]);
    for program in PROGRAMS {
        for (variables, flags, value, origin) in [
            (&variable[..], &flag[..], "3s", "--set grace".to_owned()),
            (&variable, &[], "2s", "HOLDFAST_GRACE".to_owned()),
            (&[], &flag, "3s", "--set grace".to_owned()),
            (&[], &[], "1s", format!("{file}: grace")),
        ] {
            let arguments = [&["--json", "--config", &file], flags].concat();
            let run = check(&world, program, &arguments, &[&SERVERS[..], variables].concat()).await;
            let report: Value = serde_json::from_str(&run.stdout).unwrap();
            let settings = report["settings"].as_array().unwrap();
            let grace = settings.iter().find(|setting| setting["key"] == "grace").unwrap();
            assert_eq!((&grace["value"], &grace["origin"]), (&json!(value), &json!(origin)), "{program}");
        }
    }
}

#[tokio::test]
async fn what_cannot_work_is_not_called_well() {
    let world = World::new().await;
    let socket = world.path("missing/admin.sock").display().to_string();
    for (program, variable, value, said_of_it) in [
        ("producer", "HOLDFAST_ADMIN_SOCKET", &*socket, "missing is not a directory"),
        ("worker", "HOLDFAST_ADMIN_SOCKET", &socket, "missing is not a directory"),
        (
            "worker",
            "HOLDFAST_HEARTBEAT",
            "500000000000y",
            "heartbeat: must be more than zero and at most a third",
        ),
        (
            "reporter",
            "HOLDFAST_HTTP_STATEMENT_TIMEOUT",
            "25d",
            "HOLDFAST_HTTP_STATEMENT_TIMEOUT: use 1ms to 24d",
        ),
        (
            "reporter",
            "REDIS_URL",
            "rediss://u:swordfish@localhost/#insecure",
            "REDIS_URL: a # has no meaning there",
        ),
    ] {
        let run = check(&world, program, &["--json"], &[&SERVERS[..], &[(variable, value)]].concat()).await;
        let errors = said(&run, "errors").join("\n");
        assert!(run.code == 2 && errors.contains(said_of_it), "{variable}: {run:?}");
        assert!(!run.stdout.contains("swordfish"), "{run:?}");
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_of_a_check_is_no_error() {
    let world = World::new().await;
    for program in PROGRAMS {
        let mut command = std::process::Command::new(devstack::process::binary(program).unwrap());
        command.arg("--check-config").env_clear().envs(world.environment());
        // The end that is read is closed before anything is written.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(std::process::Stdio::piped()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(0) && told.is_empty(), "{program}: {output:?}");
    }
}

#[tokio::test]
async fn an_address_that_others_can_reach_plainly_is_remarked_on_and_is_no_error() {
    let world = World::new().await;
    let settings = [&SERVERS[..], &[("HOLDFAST_LISTEN", "0.0.0.0:8081")]].concat();
    let run = check(&world, "producer", &["--json"], &settings).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(said(&run, "notes")[0].contains("nothing is encrypted"), "{run:?}");
}

#[tokio::test]
async fn secrets_come_from_files_for_commands_and_for_tasks_that_run_alone() {
    let world = World::new().await;
    let database = world.write("database", format!("{}\n", world.database_url())).display().to_string();
    let broker = world.write("broker", format!("{}\n", world.broker.url)).display().to_string();
    let both = [("DATABASE_URL_FILE", database.as_str()), ("AMQP_URL_FILE", broker.as_str())];
    let twice = world.run_with("reporter", ["status"], &both).await;
    assert!(twice.code == 2 && twice.stderr.contains("leave one of them out"), "{twice:?}");
    let files = [&both[..], &[("DATABASE_URL", ""), ("AMQP_URL", "")]].concat();
    let migrated = world.run_with("producer", ["migrate"], &files).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let jobs = [world.simulated_job("sim", &["disk-a"], &json!({}))];
    world.apply(&json!({ "targets": [world.target("disk-a", &json!({}))], "jobs": jobs })).await;
    let run = world.producer(&["enqueue", "backup", "--job", "sim"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    // What lost two workers runs in a process of its own, which is told what its worker was.
    world.execute("update task set rescues = 2").await;
    let producer = world.start("producer", "producer", &files);
    let worker = world.start_worker("w1", &files);
    world.wait_until_idle().await;
    let succeeded = "select count(*) from execution where outcome = 'success'";
    assert!(world.number(succeeded).await >= 1, "{}", worker.log());
    assert!(worker.log().contains("runs alone in its process"), "{}", worker.log());
    world.stop(worker).await;
    world.stop(producer).await;
}
