//! What the documents and the closed lists say is what there is.

use std::collections::BTreeSet;

use harness::World;
use shared::work::maintain::Table;

#[tokio::test]
async fn the_tables_that_a_task_can_name_are_those_of_the_schema() {
    let world = World::new().await;
    let client = world.database.client().await.unwrap();
    let statement = "select relname::text from pg_class where relnamespace = 'public'::regnamespace
         and relkind in ('r', 'p') and not relispartition and relname <> 'refinery_schema_history'";
    let rows = client.query(statement, &[]).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let known: BTreeSet<String> = Table::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(known, there);
}

#[tokio::test]
async fn each_command_of_the_troubleshooting_guide_is_one() {
    let world = World::new().await;
    let guide = include_str!("../../../docs/troubleshooting.md");
    let commands: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| ["reporter ", "producer ", "worker "].iter().any(|program| line.starts_with(program)))
        .map(|line| line.split(" #").next().unwrap_or(line).trim())
        .collect();
    assert!(commands.len() > 20, "{commands:?}");
    let id = uuid::Uuid::now_v7().to_string();
    for command in commands {
        let mut words = command.split_whitespace().map(|word| if word == "ID" { id.as_str() } else { word });
        let program = words.next().unwrap();
        // All words are read before the help is printed.
        let run = world.run(program, words.chain(["--help"])).await;
        assert_eq!(run.code, 0, "{command}: {run:?}");
    }
}
