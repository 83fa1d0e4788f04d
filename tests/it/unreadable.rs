//! Source files that cannot be read: the engine skips them silently, Holdfast does not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use devstack::{Service, ServiceCommand};
use harness::{World, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn an_unreadable_source_file_makes_a_warning_that_counts_and_names_it() {
    let world = World::new().await;
    world.write("source/open.txt", "fine");
    for name in ["secret.txt", "folder/inside.txt"] {
        world.write(&format!("source/{name}"), "hidden");
    }
    for name in ["secret.txt", "folder"] {
        fs::set_permissions(world.path("source").join(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    world
        .apply(&json!({
            "targets": [world.target("disk-a", &json!({}))],
            "jobs": [world.files_job("docs", &["disk-a"])],
        }))
        .await;
    let producer = world.start_producer();
    let worker = start_without_override(&world);
    let run = world.producer(&["enqueue", "backup", "--job", "docs", "--wait", "--json"]).await;
    let result = run.json();
    assert_eq!(result["outcome"], "warning", "{result}");
    let named: Vec<&str> =
        result["detail"]["source_errors"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in ["secret.txt", "folder"] {
        assert!(named.iter().any(|error| error.contains(name)), "{name} is not named in {named:?}");
    }
    assert_eq!(world.number("select source_errors from execution where kind = 'backup'").await, 2);
    eventually("the verdict says why", async || {
        let reason = world.text("select reason from verdict where rule = '3-copies'").await?;
        reason.contains("could not be read").then_some(())
    })
    .await;
    world.wait_until_idle().await;
    world.stop(worker).await;
    world.stop(producer).await;
    fs::set_permissions(world.path("source/folder"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A superuser reads everything: the worker is started without that privilege.
fn start_without_override(world: &World) -> Service {
    if !rustix::process::geteuid().is_root() {
        return world.start_worker("w1", &[]);
    }
    let drop = "-dac_override,-dac_read_search";
    let command = ServiceCommand::new("setpriv", world.path("w1.log"))
        .args([format!("--bounding-set={drop}"), format!("--inh-caps={drop}")])
        .arg(devstack::process::binary("worker").unwrap())
        .arg("run");
    let command =
        world.environment().into_iter().fold(command, |command, (name, value)| command.env(name, value));
    Service::start_program("/usr/bin/setpriv".as_ref(), command).unwrap()
}
