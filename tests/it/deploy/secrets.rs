//! The script that makes secrets makes each once, closes them to others, and what is made of them fits.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use harness::Run;

use super::{repository, run};

/// Makes secrets in a directory.
pub(crate) async fn generate(directory: &Path, environment: &[(&str, &str)]) {
    let made = attempt(directory, environment).await;
    assert_eq!(made.code, 0, "{made:?}");
}

async fn attempt(directory: &Path, environment: &[(&str, &str)]) -> Run {
    let script = repository("deploy/secrets/generate");
    run(script, &[directory.to_str().unwrap()], Path::new("/"), environment, "").await
}

fn contents(directory: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files
        .map(|file| {
            let mode = file.metadata().unwrap().permissions().mode() & 0o7777;
            (file.file_name().into_string().unwrap(), (std::fs::read(file.path()).unwrap(), mode))
        })
        .collect()
}

async fn openssl(arguments: &[&str], directory: &Path) -> String {
    let said = run("/usr/bin/openssl", arguments, directory, &[], "").await;
    assert_eq!(said.code, 0, "{said:?}");
    said.stdout
}

#[tokio::test]
async fn secrets_are_made_once_and_are_closed_to_others() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("generated");
    generate(&directory, &[]).await;
    let first = contents(&directory);
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(first["ca.key"].1, 0o600, "no container mounts the authority's key");
    assert!(
        first.values().all(|(content, mode)| !content.is_empty() && matches!(mode, 0o600 | 0o444)),
        "{first:?}"
    );
    let passwords: Vec<&Vec<u8>> = first
        .iter()
        .filter(|(name, _)| name.ends_with("_password"))
        .map(|(_, (content, _))| content)
        .collect();
    assert!(
        passwords.len() >= 10 && passwords.iter().all(|password| password.len() == 49),
        "48 hexadecimal digits and an end"
    );
    let different: std::collections::BTreeSet<_> = passwords.iter().collect();
    assert_eq!(different.len(), passwords.len(), "a password stands for one thing");

    generate(&directory, &[]).await;
    assert_eq!(contents(&directory), first, "what is there stays");

    // What is made of a password follows it.
    std::fs::remove_file(directory.join("worker_password")).unwrap();
    generate(&directory, &[]).await;
    let renewed = contents(&directory);
    let changed: Vec<&String> = first.keys().filter(|name| first[*name] != renewed[*name]).collect();
    assert_eq!(changed, ["worker_database_url", "worker_password"]);
}

#[tokio::test]
async fn certificates_are_of_the_private_authority_and_have_the_names_by_which_servers_are_reached() {
    let parent = tempfile::tempdir().unwrap();
    let names =
        [("POSTGRES_HOST", "db.example.org"), ("GATEWAY_NAMES", "backup.example.org 192.0.2.7 2001:db8::7")];
    generate(parent.path(), &names).await;
    for (server, host) in
        [("postgres", "db.example.org"), ("rabbitmq", "rabbitmq"), ("gateway", "backup.example.org")]
    {
        let certificate = format!("{server}.crt");
        let verify =
            ["verify", "-purpose", "sslserver", "-verify_hostname", host, "-CAfile", "ca.crt", &certificate];
        openssl(&verify, parent.path()).await;
        let key = openssl(&["pkey", "-in", &format!("{server}.key"), "-pubout"], parent.path()).await;
        let certified = openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"], parent.path()).await;
        assert_eq!(key, certified, "{server}");
    }
    for address in ["192.0.2.7", "2001:db8::7"] {
        openssl(&["verify", "-verify_ip", address, "-CAfile", "ca.crt", "gateway.crt"], parent.path()).await;
    }
    let url = std::fs::read_to_string(parent.path().join("owner_database_url")).unwrap();
    assert!(
        url.starts_with("postgres://holdfast_owner:")
            && url.ends_with("@db.example.org:5432/holdfast?sslmode=verify-full\n"),
        "{url}"
    );
}

/// The names of files whose contents differ.
fn changed(before: &BTreeMap<String, (Vec<u8>, u32)>, directory: &Path) -> Vec<String> {
    let after = contents(directory);
    before.keys().filter(|name| after.get(*name) != Some(&before[*name])).cloned().collect()
}

#[tokio::test]
async fn the_authoritys_key_may_be_away_until_something_has_to_be_signed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("generated");
    generate(&directory, &[]).await;
    let safe = parent.path().join("ca.key");
    std::fs::rename(directory.join("ca.key"), &safe).unwrap();
    let before = contents(&directory);

    generate(&directory, &[]).await;
    assert_eq!(contents(&directory), before, "nobody made another authority");

    std::fs::remove_file(directory.join("gateway.crt")).unwrap();
    let refused = attempt(&directory, &[]).await;
    assert!(
        refused.code == 1 && refused.stderr.contains("ca.key is needed to make gateway.crt"),
        "{refused:?}"
    );
    assert_eq!(changed(&before, &directory), ["gateway.crt"], "and it still is not there");

    std::fs::rename(&safe, directory.join("ca.key")).unwrap();
    generate(&directory, &[]).await;
    assert_eq!(changed(&before, &directory), ["gateway.crt", "gateway.key"]);
}

#[tokio::test]
async fn a_certificate_of_somebody_else_stays_and_one_of_an_earlier_authority_is_signed_anew() {
    let parent = tempfile::tempdir().unwrap();
    generate(parent.path(), &[]).await;
    let own = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "30",
        "-subj",
        "/CN=backup.example.org",
        "-keyout",
        "own.key",
        "-out",
        "own.crt",
    ];
    openssl(&own, parent.path()).await;
    for (from, to) in [("own.crt", "gateway.crt"), ("own.key", "gateway.key")] {
        std::fs::rename(parent.path().join(from), parent.path().join(to)).unwrap();
    }
    // As if it were of last year, and the authority of today.
    run("/usr/bin/touch", &["-d", "2020-01-01", "gateway.crt", "gateway.key"], parent.path(), &[], "").await;
    let before = contents(parent.path());
    generate(parent.path(), &[("GATEWAY_NAMES", "backup.example.org")]).await;
    assert_eq!(changed(&before, parent.path()), Vec::<String>::new());

    for name in ["ca.crt", "ca.key"] {
        std::fs::remove_file(parent.path().join(name)).unwrap();
    }
    generate(parent.path(), &[]).await;
    let expected = ["ca.crt", "ca.key", "postgres.crt", "postgres.key", "rabbitmq.crt", "rabbitmq.key"];
    assert_eq!(changed(&before, parent.path()), expected);
    openssl(&["verify", "-CAfile", "ca.crt", "postgres.crt", "rabbitmq.crt"], parent.path()).await;
}

#[tokio::test]
async fn urls_and_certificates_follow_a_host_that_is_given_later_and_keep_it() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &[]).await;
    let before = contents(directory.path());
    let hosts = [("POSTGRES_HOST", "db.example.org"), ("GATEWAY_NAMES", "backup.example.org 192.0.2.7")];
    generate(directory.path(), &hosts).await;
    let expected = [
        "gateway.crt",
        "gateway.key",
        "owner_database_url",
        "postgres.crt",
        "postgres.key",
        "reporter_database_url",
        "worker_database_url",
    ];
    assert_eq!(changed(&before, directory.path()), expected, "no password and nothing of the broker");
    let url = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    let password = url("worker_password");
    let said = format!("postgres://holdfast_worker:{}@db.example.org:5432/holdfast?", password.trim());
    assert!(url("worker_database_url").starts_with(&said), "{}", url("worker_database_url"));
    let verify = ["verify", "-verify_hostname", "db.example.org", "-CAfile", "ca.crt", "postgres.crt"];
    openssl(&verify, directory.path()).await;

    let before = contents(directory.path());
    generate(directory.path(), &[]).await;
    assert_eq!(contents(directory.path()), before, "a run without the variables leads nobody back");
}

#[tokio::test]
async fn urls_keep_their_ports_and_what_somebody_wrote_into_them() {
    let directory = tempfile::tempdir().unwrap();
    generate(directory.path(), &[("POSTGRES_PORT", "6432"), ("RABBITMQ_PORT", "35671")]).await;
    let url = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(
        url("worker_database_url").ends_with("@postgres:6432/holdfast?sslmode=verify-full\n"),
        "{}",
        url("worker_database_url")
    );
    assert!(url("worker_amqp_url").ends_with("@rabbitmq:35671/holdfast\n"), "{}", url("worker_amqp_url"));

    // The files are read-only, also for their owner.
    let replace = |name: &str, written: &str| {
        let file = directory.path().join(name);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, written).unwrap();
    };
    // Servers without TLS on a private network, as an operator writes them.
    for user in ["owner", "worker", "reporter"] {
        let name = format!("{user}_database_url");
        let written = url(&name).replace("sslmode=verify-full", "sslmode=disable&connect_timeout=5");
        replace(&name, &written);
    }
    for user in ["producer", "worker", "reporter", "publisher"] {
        let name = format!("{user}_amqp_url");
        let written = url(&name).replace("amqps://", "amqp://").replace(":35671/", ":5672/");
        replace(&name, &written);
    }
    let before = contents(directory.path());
    generate(directory.path(), &[]).await;
    assert_eq!(contents(directory.path()), before, "a run without the variables leaves them");

    std::fs::remove_file(directory.path().join("worker_password")).unwrap();
    generate(directory.path(), &[("POSTGRES_HOST", "db.example.org")]).await;
    let expected = "@db.example.org:6432/holdfast?sslmode=disable&connect_timeout=5\n";
    assert!(url("worker_database_url").ends_with(expected), "{}", url("worker_database_url"));
    assert!(url("worker_amqp_url").starts_with("amqp://holdfast_worker:"), "{}", url("worker_amqp_url"));
    assert!(url("worker_amqp_url").ends_with("@rabbitmq:5672/holdfast\n"), "{}", url("worker_amqp_url"));
}

#[tokio::test]
async fn help_makes_nothing_and_an_option_that_is_not_known_is_refused() {
    let script = repository("deploy/secrets/generate");
    let directory = tempfile::tempdir().unwrap();
    for help in ["-h", "--help"] {
        let said = run(&script, &[help], directory.path(), &[], "").await;
        assert!(said.code == 0 && said.stdout.contains("POSTGRES_PORT"), "{said:?}");
    }
    let said = run(&script, &["--nothing"], directory.path(), &[], "").await;
    assert!(said.code == 2 && said.stderr.starts_with("usage: "), "{said:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
