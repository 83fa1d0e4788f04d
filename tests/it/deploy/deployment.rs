//! The database, the users and the virtual host of a deployment, on the tests' servers.

use std::path::PathBuf;

use devstack::{Service, ServiceCommand};
use harness::{Run, World};
use reqwest::Method;
use rustix::process::geteuid;
use shared::db::{Database, DatabaseConfig};

use super::{repository, run, secrets};

/// Somebody without rights, as the image's user is.
const NOBODY: u32 = 65534;
/// The tests' servers have databases of their own.
const NAME: &str = "holdfast_deployed";

/// All of it; the names are the servers' only ones, so one test has it.
pub(crate) struct Deployment {
    pub(crate) world: World,
    /// As the owner of everything.
    pub(crate) database: Database,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let secrets_directory = world.path("secrets");
        secrets::generate(&secrets_directory, &[]).await;
        let definitions =
            std::fs::read_to_string(secrets_directory.join("rabbitmq_definitions.json")).unwrap();
        world
            .broker
            .manage(Method::POST, "definitions", Some(serde_json::from_str(&definitions).unwrap()))
            .await;
        let server: reqwest::Url = world.database_url().parse().unwrap();
        let environment = [
            ("SECRETS", secrets_directory.to_str().unwrap()),
            ("PGHOST", server.host_str().unwrap()),
            ("PGPORT", &server.port().unwrap().to_string()),
            ("PGPASSWORD", server.password().unwrap_or_default()),
            ("POSTGRES_USER", server.username()),
            ("HOLDFAST_DATABASE", NAME),
        ];
        // A second time it gives the passwords anew.
        for _ in 0..2 {
            let made =
                run(repository("deploy/postgres/roles.sh"), &[], &world.path(""), &environment, "").await;
            assert_eq!(made.code, 0, "{made:?}");
        }
        let owner = url(&world, "owner_database_url", world.database_url());
        let database = Database::new(&DatabaseConfig::from(owner.as_str()), "holdfast test").unwrap();
        Self { world, database }
    }

    /// What a process of the deployment is told: as whom it comes to the database and to the broker.
    fn users(&self, database: &str, broker: &str) -> [(&'static str, String); 2] {
        let database = url(&self.world, &format!("{database}_database_url"), self.world.database_url());
        [
            ("DATABASE_URL", database),
            ("AMQP_URL", url(&self.world, &format!("{broker}_amqp_url"), &self.world.broker.url)),
        ]
    }

    pub(crate) async fn run(&self, program: &str, users: [&str; 2], arguments: &[&str]) -> Run {
        let users = self.users(users[0], users[1]);
        let settings: Vec<(&str, &str)> = users.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.world.run_with(program, arguments, &settings).await
    }

    pub(crate) async fn producer(&self, arguments: &[&str]) -> Run {
        self.run("producer", ["owner", "producer"], arguments).await
    }

    pub(crate) fn start(
        &self,
        program: &str,
        name: &str,
        users: [&str; 2],
        settings: &[(&str, &str)],
    ) -> Service {
        let users = self.users(users[0], users[1]);
        let users: Vec<(&str, &str)> = users.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.world.start(program, name, &[&users, settings].concat())
    }

    /// A worker where all is read-only but its own directories, as a user who has no rights, where the tests run as root; else as the tests.
    pub(crate) fn start_shut_in(&self) -> Service {
        let users = self.users("worker", "worker");
        let world = &self.world;
        let own = ["scratch", "restored", "repositories"].map(|name| world.path(name));
        let program = world.path("worker");
        std::fs::copy(devstack::process::binary("worker").unwrap(), &program).unwrap();
        let mut command = ServiceCommand::new("worker", world.path("worker.log"));
        if geteuid().is_root() {
            std::fs::set_permissions(world.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
            for directory in &own {
                std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            let shut_in = "for directory in \"$1\" \"$2\" \"$3\"; do mount --bind \"$directory\" \"$directory\"; done
                while read -r _ place _; do
                    case $place in \"$1\" | \"$2\" | \"$3\" | /proc* | /sys* | /dev*) continue ;; esac
                    mount -o remount,bind,ro \"$place\" 2> /dev/null || true
                done < /proc/mounts
                if touch \"$4.writable\" 2> /dev/null; then echo 'the root can be written to'; exit 9; fi
                program=$4
                shift 4
                exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \"$program\" \"$@\"";
            command = command
                .args(["--mount", "--propagation", "private", "--", "/bin/sh", "-ec", shut_in, "shut-in"])
                .args(&own)
                .arg(&program);
        }
        command = command.arg("run");
        let settings = [
            ("HOLDFAST_NAME", "shut-in"),
            ("HOLDFAST_LEASE", "3s"),
            ("HOLDFAST_HEARTBEAT", "500ms"),
            ("HOLDFAST_POOLS_MAINTAIN_SLOTS", "0"),
        ];
        for (name, value) in world.environment() {
            command = command.env(name, value);
        }
        for (name, value) in users.iter().map(|(name, value)| (*name, value.as_str())).chain(settings) {
            command = command.env(name, value);
        }
        let outer = if geteuid().is_root() { PathBuf::from("/usr/bin/unshare") } else { program };
        Service::start_program(&outer, command).unwrap()
    }

    pub(crate) async fn number(&self, statement: &str) -> i64 {
        let client = self.database.client().await.unwrap();
        client.query_one(statement, &[]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}")).get(0)
    }

    pub(crate) async fn enqueue(&self, arguments: &[&str]) {
        let run = self.producer(&[&["enqueue"], arguments, &["--wait"]].concat()).await;
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
    }
}

/// What the script wrote, with the tests' server instead of the deployment's, which has TLS.
pub(crate) fn url(world: &World, secret: &str, server: &str) -> String {
    let written = std::fs::read_to_string(world.path("secrets").join(secret)).unwrap();
    let (user, _) = written.trim().split_once("://").unwrap().1.rsplit_once('@').unwrap();
    let (scheme, rest) = server.split_once("://").unwrap();
    let (place, _) = rest.rsplit_once('@').unwrap().1.rsplit_once('/').unwrap();
    let name = if scheme == "amqp" { "holdfast" } else { NAME };
    format!("{scheme}://{user}@{place}/{name}")
}
