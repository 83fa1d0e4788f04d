//! Private servers and service processes for people who develop Holdfast.
//!
//! A [`Stack`] is one PostgreSQL server and one RabbitMQ node of our own: free ports on `127.0.0.1`, an own
//! `epmd`, own directories, an unprivileged user when started by root. Nothing of the system's servers is
//! used, configured or stopped. A [`Service`] is one of our binaries beside them. Each can be stopped, killed
//! and started again, which is what the fault tests are made of. `cargo xtask` is the command line to the
//! same code.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use devstack::{Service, ServiceCommand, Stack};
//!
//! let stack = Stack::start("target/devstack/example".as_ref()).await?;
//! let mut worker = Service::start(
//!     ServiceCommand::new("worker", "target/devstack/example/worker.log")
//!         .arg("run")
//!         .env("DATABASE_URL", stack.postgres.url())
//!         .env("AMQP_URL", stack.rabbitmq.url()),
//! )?;
//! worker.kill().await?;
//! stack.stop().await
//! # }
//! ```

pub mod stack;

pub mod certificate;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod rabbitmq;

pub mod claim;
mod home;
mod leftovers;

pub mod install;
pub mod servers;
pub mod tools;

mod account;
mod exit;
mod group;
mod identity;
mod launch;
mod ports;
pub mod probe;
pub mod progress;
mod spawner;
mod waiting;

pub use certificate::Certificate;
pub use claim::Claim;
pub use exit::Exit;
pub use postgres::Postgres;
pub use process::{Service, ServiceCommand};
pub use progress::Progress;
pub use proxy::Proxy;
pub use rabbitmq::RabbitMq;
pub use stack::{Options, Stack};
