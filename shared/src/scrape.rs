//! What every process measures of itself, for whoever scrapes it.

use std::time::Duration;

use metrics::{counter, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::db::{Database, PoolStatus};
use crate::http::listener;
use crate::metric;
use crate::metric::{Kind, Metric};

/// The media type of the answer.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How often a process looks at itself. What was observed is put into its classes then: until that each observation takes memory.
pub const EVERY: Duration = Duration::from_secs(5);

metric!(BUILD_INFO: Metric::gauge(
    "holdfast_build_info", &["program", "version"], "Always 1; the labels say which program this is"
));
metric!(DATABASE_CONNECTIONS: Metric::gauge(
    "holdfast_database_connections", &["pool", "state"],
    "Open connections of this process to the database, by what they are for, and whether they are busy or free"
));
metric!(DATABASE_LIMIT: Metric::gauge(
    "holdfast_database_connections_limit", &["pool"], "How many connections to the database the process opens at most, by what they are for"
));
metric!(DATABASE_WAITING: Metric::gauge(
    "holdfast_database_waiting", &["pool"], "Callers in this process that wait for a connection to the database"
));
metric!(DATABASE_EXHAUSTED: Metric::counter(
    "holdfast_database_exhausted_total", &["pool"],
    "Callers in this process that found no connection to the database in time"
));
metric!(BROKER_CONNECTED: Metric::gauge(
    "holdfast_broker_connected", &["purpose"],
    "Whether the connection to the broker that this process has for a purpose is there: 1 or 0"
));
metric!(HTTP_CONNECTIONS: Metric::gauge(
    "holdfast_http_connections", &[], "Connections of clients that are open; connections that wait to be taken are not among them"
));
metric!(RUNTIME_THREADS: Metric::gauge(
    "holdfast_runtime_threads", &[], "Threads that run this process's asynchronous tasks"
));
metric!(RUNTIME_TASKS: Metric::gauge(
    "holdfast_runtime_tasks", &[], "Asynchronous tasks of this process that have not ended"
));
metric!(RUNTIME_QUEUED: Metric::gauge(
    "holdfast_runtime_queued", &[], "Asynchronous tasks that could go on and that no thread has taken from the common queue"
));
metric!(RUNTIME_BUSY: Metric::counter(
    "holdfast_runtime_busy_seconds_total", &[],
    "How long the threads of holdfast_runtime_threads were at work, all together, in whole seconds"
));

/// What the operating system says of the process, under the names that clients of Prometheus have in common. `metrics-process` sets it.
mod process {
    use crate::metric;
    use crate::metric::Metric;

    metric!(_CPU: Metric::counter(
        "process_cpu_seconds_total", &[], "Processor time that the process has had, in whole seconds"
    ));
    metric!(_RESIDENT: Metric::gauge("process_resident_memory_bytes", &[], "Memory of the process that is in RAM"));
    metric!(_VIRTUAL: Metric::gauge("process_virtual_memory_bytes", &[], "Addresses of the process that are in use"));
    metric!(_VIRTUAL_LIMIT: Metric::gauge(
        "process_virtual_memory_max_bytes", &[], "How many addresses the process may use at most"
    ));
    metric!(_FILES: Metric::gauge("process_open_fds", &[], "Files and connections that the process has open"));
    metric!(_FILES_LIMIT: Metric::gauge("process_max_fds", &[], "How many files and connections the process may have open at most"));
    metric!(_THREADS: Metric::gauge("process_threads", &[], "Threads of the process"));
    metric!(_STARTED: Metric::gauge("process_start_time_seconds", &[], "When the process began, in seconds since 1970"));
}

/// A recorder for all metrics that are linked into this program. A gauge that was not set for `stale` describes nothing any more and
/// disappears; without that it stays. To be called once a process, before its first statement.
///
/// # Errors
/// It was called before.
pub fn install(stale: Option<Duration>) -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, stale);
    for metric in metric::all() {
        if let Kind::Histogram(classes) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), classes)?;
        }
    }
    let handle = builder.install_recorder()?;
    metric::describe();
    Ok(handle)
}

/// What a process sees of itself whatever it does.
pub struct Process {
    program: &'static str,
    databases: Vec<(&'static str, Database)>,
    broker: Broker,
    system: metrics_process::Collector,
}

impl Process {
    /// The program `program`, with its connections to the database, each pool under what it is for, and to the broker.
    #[must_use]
    pub fn new(program: &'static str, databases: Vec<(&'static str, Database)>, broker: Broker) -> Self {
        Self { program, databases, broker, system: metrics_process::Collector::default() }
    }

    /// Looks at it, and calls `more` for what else is to be set, every `every` until `stop`.
    pub async fn watch(
        &self,
        handle: &PrometheusHandle,
        every: Duration,
        more: impl Fn(),
        stop: &CancellationToken,
    ) {
        let mut every = tokio::time::interval(every);
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            self.look();
            more();
            // Keeps the memory of what is measured small, also when nobody scrapes.
            handle.run_upkeep();
        }
    }

    fn look(&self) {
        gauge!(BUILD_INFO, "program" => self.program, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        self.system.collect();
        for (pool, database) in &self.databases {
            set_pool(pool, database.status());
        }
        for (purpose, connected) in self.broker.sessions() {
            gauge!(BROKER_CONNECTED, "purpose" => purpose).set(f64::from(u8::from(connected)));
        }
        gauge!(HTTP_CONNECTIONS).set(listener::connections() as f64);
        let runtime = runtime::Handle::current().metrics();
        gauge!(RUNTIME_THREADS).set(runtime.num_workers() as f64);
        gauge!(RUNTIME_TASKS).set(runtime.num_alive_tasks() as f64);
        gauge!(RUNTIME_QUEUED).set(runtime.global_queue_depth() as f64);
        let busy: Duration =
            (0..runtime.num_workers()).map(|thread| runtime.worker_total_busy_duration(thread)).sum();
        counter!(RUNTIME_BUSY).absolute(busy.as_secs());
    }
}

fn set_pool(pool: &'static str, status: PoolStatus) {
    let PoolStatus { limit, size, available, waiting, exhausted } = status;
    gauge!(DATABASE_CONNECTIONS, "pool" => pool, "state" => "busy").set((size - available.min(size)) as f64);
    gauge!(DATABASE_CONNECTIONS, "pool" => pool, "state" => "free").set(available as f64);
    gauge!(DATABASE_LIMIT, "pool" => pool).set(limit as f64);
    gauge!(DATABASE_WAITING, "pool" => pool).set(waiting as f64);
    counter!(DATABASE_EXHAUSTED, "pool" => pool).absolute(exhausted);
}
