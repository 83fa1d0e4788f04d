//! The servers that worlds are made on.

use devstack::Stack;

/// Where a database server and a broker are.
#[derive(Debug, Clone)]
pub struct Servers {
    /// `postgres://..`, as a user who may create databases.
    pub database: String,
    /// `amqp://..`, as a user who may do everything.
    pub amqp: String,
    /// `http://..`, the root of the broker's management interface.
    pub management: String,
    /// `http://..`, what the broker tells Prometheus.
    pub broker_metrics: String,
}

impl Servers {
    /// Those of `cargo xtask test`.
    pub fn from_environment() -> Self {
        Self {
            database: variable("HOLDFAST_TEST_DATABASE_URL"),
            amqp: variable("HOLDFAST_TEST_AMQP_URL"),
            management: variable("HOLDFAST_TEST_MANAGEMENT_URL"),
            broker_metrics: variable("HOLDFAST_TEST_BROKER_METRICS_URL"),
        }
    }

    /// Those of a stack of one's own.
    pub fn of(stack: &Stack) -> Self {
        Self {
            database: stack.postgres.url(),
            amqp: stack.rabbitmq.url(),
            management: stack.rabbitmq.management_url(),
            broker_metrics: stack.rabbitmq.metrics_url(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the tests' servers are handed over")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}
