use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::*;
use crate::target::SecretRef;

fn open(overrides: &[&str]) -> Settings {
    let overrides = overrides.iter().map(ToString::to_string).collect();
    Settings::open(&Sources { config: None, overrides })
}

fn named(name: &'static str) -> Key {
    key(name, "For a test")
}

#[test]
fn everything_wrong_is_reported_at_once_with_its_key() {
    // Whoever forgets the key of a secret shows none for it.
    let keyless = "postgres://u:nonsense@h/d?sslmode=require";
    let mut settings = open(&["pools.backup.slots=many", "colour=blue", "nonsense", "share=7", keyless]);
    settings.get(named("pools.backup.slots"), 2_usize);
    settings.within(named("share"), 0.5, 0.0..=1.0);
    settings.duration(named("lease"), Duration::from_mins(5));
    settings.secret(named("some_url"));
    let message = settings.finish().unwrap_err().to_string();
    for part in [
        "--set pools.backup.slots: is not a number: invalid digit",
        "--set colour: is unknown",
        "--set: write it as KEY=VALUE",
        "--set: what stands before the first = is no key",
        "--set share: use 0 to 1",
        "HOLDFAST_SOME_URL: is missing",
    ] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!message.contains("nonsense"), "it may be a secret: {message}");
}

#[test]
fn a_file_is_under_the_flags_and_over_the_defaults() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "lease = \"7m\"\n[pools.backup]\nslots = 9\n").unwrap();
    let overrides = vec!["pools.backup.slots=3".to_owned()];
    let mut settings = Settings::open(&Sources { config: Some(file.path().to_owned()), overrides });
    assert_eq!(settings.get(named("pools.backup.slots"), 2_usize), 3);
    assert_eq!(settings.duration(named("lease"), Duration::from_mins(5)).as_secs(), 420);
    assert_eq!(settings.get(named("pools.copy.slots"), 2_usize), 2);
    settings.finish().unwrap();
}

#[test]
fn a_file_that_cannot_be_read_shows_where_and_no_line_of_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "lease = \"7m\"\namqp_url = amqp://holdfast:swordfish@h\n").unwrap();
    let settings = Settings::open(&Sources { config: Some(file.path().to_owned()), overrides: Vec::new() });
    let message = settings.finish().unwrap_err().to_string();
    assert!(message.contains(": line 2: ") && !message.contains("swordfish"), "{message}");
}

#[test]
fn a_key_of_another_program_is_left_to_it() {
    open(&["reaper_interval=1s", "pools.backup.slots=3", "http.connections=4"]).finish().unwrap();
}

#[test]
fn a_secret_comes_from_a_file_and_its_trouble_names_the_file_only() {
    let directory = tempfile::tempdir().unwrap();
    let read = |name: &str, content: Option<&str>, more: &[&str]| {
        let path =
            if name.contains("dev") { PathBuf::from("/dev/null") } else { directory.path().join(name) };
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let file = format!("database_url_file={}", path.display());
        let mut settings = open(&[&[&*file], more].concat());
        let secret = settings.secret(named("database_url"));
        settings.finish().map(|_| secret.expose_secret().to_owned()).map_err(|error| error.to_string())
    };
    assert_eq!(
        read("url", Some("postgres://a:swordfish@h/d\nmore"), &[]).unwrap(),
        "postgres://a:swordfish@h/d"
    );
    for (name, content, more, said) in [
        ("missing", None, &[][..], "missing: No such file"),
        ("empty", Some(""), &[], "empty is empty"),
        ("blank", Some("\nswordfish"), &[], "blank is empty"),
        (
            "large",
            Some(&*format!("swordfish\n{}", "x".repeat(64 * 1024))),
            &[],
            "large is larger than 64 KiB",
        ),
        ("dev", None, &[], "is no regular file"),
    ] {
        let error = read(name, content, more).unwrap_err();
        assert!(error.contains("database_url_file") && error.contains(said), "{name}: {error}");
        assert!(!error.contains("swordfish"), "{error}");
    }
    // As Kubernetes mounts them.
    std::os::unix::fs::symlink(directory.path().join("url"), directory.path().join("linked")).unwrap();
    assert_eq!(read("linked", None, &[]).unwrap(), "postgres://a:swordfish@h/d");
}

#[test]
fn a_secret_is_not_taken_from_the_command_line_which_others_can_read() {
    let mut settings = open(&["database_url=postgres://u:swordfish@h/d", "traces.headers=key=swordfish"]);
    settings.secret(named("database_url"));
    settings.optional_secret(named("traces.headers"));
    let message = settings.finish().unwrap_err().to_string();
    for part in [
        "--set database_url: others can read it in the list of processes: use DATABASE_URL or DATABASE_URL_FILE",
        "--set traces.headers: others can read it in the list of processes: use HOLDFAST_TRACES_HEADERS",
    ] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    assert!(!message.contains("swordfish") && !message.contains("is missing"), "{message}");
}

#[test]
fn of_a_secret_and_its_file_only_one_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("holdfast.toml");
    std::fs::write(&config, "database_url = \"swordfish\"\ndatabase_url_file = \"/run/url\"\n").unwrap();
    let mut settings = Settings::open(&Sources { config: Some(config), overrides: Vec::new() });
    settings.secret(named("database_url"));
    let message = settings.finish().unwrap_err().to_string();
    assert!(message.contains("leave one of them out") && !message.contains("swordfish"), "{message}");
}

#[test]
fn what_is_read_describes_itself() {
    let mut settings = Settings::nothing();
    settings.within(key("refresh", "How often"), Duration::from_secs(10), Duration::from_millis(100)..);
    settings.optional::<PathBuf>(key("restore_root", "Where to").such_as("/srv/restored"));
    settings.secret(key("amqp_url", "The broker").such_as("amqp://h"));
    let described = settings.described();
    let keys: Vec<&str> = described.iter().map(|setting| &*setting.key).collect();
    assert_eq!(keys, ["amqp_url", "amqp_url_file", "refresh", "restore_root"]);
    assert_eq!(described[0].variable, "AMQP_URL");
    assert_eq!(described[1].variable, "AMQP_URL_FILE");
    assert!(described[0].secret && described[0].required);
    let refresh = &described[2];
    assert_eq!((refresh.default.as_deref(), refresh.range.as_deref()), (Some("10s"), Some("at least 100ms")));
    assert_eq!((&*refresh.variable, &*refresh.example), ("HOLDFAST_REFRESH", "\"10s\""));
}

#[test]
fn a_secret_that_cannot_be_had_names_its_reference() {
    let error = secret(&SecretRef::File("/nonexistent/key".into())).unwrap_err();
    assert!(error.contains("/nonexistent/key"), "{error}");
    assert!(secret(&SecretRef::Env("HOLDFAST_NO_SUCH_SECRET".into())).is_err());
}
