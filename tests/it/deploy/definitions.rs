//! The first definitions that somebody applies are good ones, from a file and from standard input.

use harness::World;

use super::{repository, run, text};

#[tokio::test]
async fn the_example_is_applied_and_again_by_way_of_standard_input() {
    let world = World::new().await;
    let file = repository("deploy/definitions/example.yaml");
    let applied = world.producer(&["apply", file.to_str().unwrap()]).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(world.number("select count(*) from job where active").await, 1);
    assert_eq!(world.number("select count(*) from target").await, 1);

    // As `kubectl exec -i` and `docker compose exec -T` bring a file to where the program is.
    let environment = world.environment();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap())).collect();
    let producer = devstack::process::binary("producer").unwrap();
    let renamed = text("deploy/definitions/example.yaml").replace("name: sources", "name: documents");
    let arguments = ["apply", "/dev/stdin"];
    let applied = run(&producer, &arguments, &repository("."), &environment, &renamed).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!(world.number("select count(*) from job where active and name = 'documents'").await, 1);
    let wrong = run(&producer, &arguments, &repository("."), &environment, "jobs: [{ nonsense: 1 }]").await;
    assert!(wrong.code == 2 && wrong.stderr.contains("nonsense"), "{wrong:?}");
}
