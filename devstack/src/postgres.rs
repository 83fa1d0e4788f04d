//! A private PostgreSQL server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::{
    certificate::Certificate,
    exit::Exit,
    group::Group,
    home::Home,
    launch::{Launch, Parting},
    ports,
    probe::{listens, postgres_answers},
    progress::Progress,
    servers::{Found, Installed, Server, find},
    stack::Options,
};

/// Recovery after a crash under load replays up to `max_wal_size`.
const READY_WITHIN: Duration = Duration::from_mins(2);
const CREATED_WITHIN: Duration = Duration::from_mins(2);
/// Fast shutdown ends with a checkpoint, which writes up to `shared_buffers`.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How many picks of a port may be taken by somebody else before use.
const PORT_PICKS: u32 = 5;

const USER: &str = "holdfast";
const DATABASE: &str = "holdfast";

/// Read after the file that `initdb` fits to the machine (kinds of shared memory, for example).
const SETTINGS_FILE: &str = "holdfast.conf";

/// Room for the tests' many pools; durability as in production, or fault tests would prove nothing.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
# A socket's path may have 107 bytes; a checkout's often has more.
unix_socket_directories = ''
max_connections = 300
shared_buffers = '256MB'
max_wal_size = '2GB'
fsync = on
# After a crash: one call for the whole file system instead of one for each of a thousand files.
recovery_init_sync_method = 'syncfs'
full_page_writes = on
synchronous_commit = on
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
";

/// Who is let in there.
const TLS_ONLY: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A private PostgreSQL server with one superuser and one empty database, both named `holdfast`.
#[derive(Debug)]
pub struct Postgres {
    /// What its log is called.
    name: &'static str,
    installed: Installed,
    home: Home,
    cluster: PathBuf,
    port: u16,
    password: String,
    settings: String,
    certificate: Option<Certificate>,
    server: Option<Group>,
    progress: Progress,
}

impl Postgres {
    /// Starts a server below `home`, with the data of an earlier one if there is any.
    pub(crate) async fn begin(home: &Home, options: &Options) -> anyhow::Result<Self> {
        let Found::Ready(installed) = find(Server::Postgres) else {
            bail!(
                "PostgreSQL {} or newer is not installed: run `cargo xtask setup`",
                Server::Postgres.oldest()
            );
        };
        // The files of one major release mean nothing to another.
        let name = format!("postgres-{}", installed.version.major);
        let cluster = match &options.postgres_directory {
            None => home.directory(name.as_ref())?,
            Some(directory) => home.directory_in(directory, &name)?,
        };
        let progress = options.progress;
        let password = create_cluster(&installed, home, &cluster, progress).await?;
        let settings = format!("{SETTINGS}{}\n", options.postgres_settings);
        let postgres = Self {
            name: "postgres",
            installed,
            home: home.clone(),
            cluster,
            port: 0,
            password,
            settings,
            certificate: options.certificate.clone(),
            server: None,
            progress,
        };
        postgres.on_a_free_port().await
    }

    /// Starts a server beside this one that follows it, with a copy of its data, and is there to be read.
    pub async fn standby(&self) -> anyhow::Result<Self> {
        let name = "standby";
        let cluster = self.home.directory(format!("{name}-{}", self.installed.version.major).as_ref())?;
        let mut copy = self.home.command(&self.installed.programs.join("pg_basebackup"));
        copy.env("PGPASSWORD", &self.password).args(["--host", "127.0.0.1", "--username", USER]);
        copy.args([
            "--port",
            &self.port.to_string(),
            "--write-recovery-conf",
            "--checkpoint",
            "fast",
            "--no-sync",
        ]);
        copy.arg("--pgdata").arg(cluster.join("data"));
        run(&self.home, "pg_basebackup", copy, None).await?;
        let standby = Self {
            name,
            installed: self.installed.clone(),
            home: self.home.clone(),
            cluster,
            port: 0,
            password: self.password.clone(),
            settings: self.settings.clone(),
            certificate: self.certificate.clone(),
            server: None,
            progress: self.progress,
        };
        standby.on_a_free_port().await
    }

    async fn on_a_free_port(mut self) -> anyhow::Result<Self> {
        for _ in 0..PORT_PICKS {
            [self.port] = ports::pick()?;
            let server = self.launch()?;
            match self.wait_for(&server).await {
                Ok(()) => {
                    self.server = Some(server);
                    return Ok(self);
                }
                Err(_) if ports::is_about_a_taken_port(&server.output()) => {}
                Err(error) => return Err(error),
            }
        }
        bail!("{PORT_PICKS} ports picked for PostgreSQL were taken by others before it could use them");
    }

    /// `postgres://holdfast:PASSWORD@127.0.0.1:PORT/holdfast`, the same for the life of this value.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the stopped server again and waits until it answers. Errors: it runs already.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("PostgreSQL is already started");
        }
        let server = self.launch()?;
        self.wait_for(&server).await?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server: open transactions are rolled back, a checkpoint is written ("fast" shutdown).
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.running()?.end(Signal::INT, STOPPED_WITHIN).await?;
        Ok(())
    }

    /// Kills every process of the server with SIGKILL, as a power failure would.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.running()?.kill().await?;
        Ok(())
    }

    /// Cuts all connections without a goodbye ("immediate" shutdown) and starts again, which recovers from
    /// the log.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.running()?.end(Signal::QUIT, STOPPED_WITHIN).await?;
        self.start().await
    }

    /// Shows another certificate to whoever connects from now on, or a moment later.
    pub fn show(&mut self, certificate: Certificate) -> anyhow::Result<()> {
        self.certificate = Some(certificate);
        self.write_certificate()?;
        let server = self.server.as_ref().context("PostgreSQL is not started")?;
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(server.pid())?).context("a process has a number")?;
        rustix::process::kill_process(pid, Signal::HUP).context("telling PostgreSQL")
    }

    /// Behind the others, in a server that is to be spoken to by TLS.
    fn tls_settings(&self) -> String {
        let path = |name: &str| self.data().join(name).display().to_string();
        let lines = |_: &Certificate| {
            format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nhba_file = '{}'\n",
                path("holdfast.crt"),
                path("holdfast.key"),
                path("holdfast_hba.conf"),
            )
        };
        self.certificate.as_ref().map(lines).unwrap_or_default()
    }

    fn write_certificate(&self) -> anyhow::Result<()> {
        let Some(certificate) = &self.certificate else { return Ok(()) };
        let data = self.data();
        self.home.write(&data.join("holdfast_hba.conf"), TLS_ONLY)?;
        self.home.write(&data.join("holdfast.crt"), &certificate.chain)?;
        self.home.write(&data.join("holdfast.key"), &certificate.key)
    }

    /// How the server ended, if it did without being asked to.
    pub fn exit(&self) -> anyhow::Result<Option<Exit>> {
        self.server.as_ref().map_or(Ok(None), Group::exit)
    }

    /// Stops the server if it runs; the end of a stack that goes on another time.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() { self.stop().await } else { Ok(()) }
    }

    /// Ends the server if it runs; nobody will look at its data again.
    pub(crate) async fn abandon(&mut self) -> anyhow::Result<()> {
        match self.server.take() {
            Some(server) => server.end(Signal::QUIT, STOPPED_WITHIN).await.map(drop),
            None => Ok(()),
        }
    }

    fn running(&mut self) -> anyhow::Result<Group> {
        self.server.take().context("PostgreSQL is not started")
    }

    fn data(&self) -> PathBuf {
        self.cluster.join("data")
    }

    fn launch(&self) -> anyhow::Result<Group> {
        let data = self.data();
        self.home.write(&data.join(SETTINGS_FILE), &format!("{}{}", self.settings, self.tls_settings()))?;
        self.write_certificate()?;
        // Nothing of ours runs here any more. After a reboot the process the file names may be anything,
        // and PostgreSQL would take it for a running server.
        fs::remove_file(data.join("postmaster.pid")).ok();
        self.progress
            .tell("Starting", &format!("PostgreSQL {} on 127.0.0.1:{}", self.installed.version, self.port));
        let mut command = self.home.command(&self.installed.programs.join("postgres"));
        command.arg("-D").arg(&data).arg("-p").arg(self.port.to_string());
        Group::start(Launch {
            name: "PostgreSQL".to_owned(),
            command,
            bare: true,
            account: Some(self.home.account()),
            input: None,
            log: self.home.log(self.name),
            record: Some(self.home.record(self.name)),
            parting: Parting::Quit,
        })
    }

    async fn wait_for(&self, server: &Group) -> anyhow::Result<()> {
        let started = Instant::now();
        let file = self.data().join("postmaster.pid");
        let answers = async || match &self.certificate {
            None => postgres_answers(self.port).await,
            Some(_) => listens(self.port).await,
        };
        let ready = async || says_ready(&file, server.pid()) && answers().await;
        server.wait_until(READY_WITHIN, ready).await?;
        self.progress.tell("Ready", &format!("PostgreSQL in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// Whether the server's own file names this process and its last line says that it takes connections. So an
/// answer on the port is known to come from this server.
fn says_ready(postmaster_pid: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(postmaster_pid).unwrap_or_default();
    let mut lines = text.lines();
    lines.next() == Some(&pid.to_string()) && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// Creates the data directory unless it is there; answers with the superuser's password.
async fn create_cluster(
    installed: &Installed,
    home: &Home,
    cluster: &Path,
    progress: Progress,
) -> anyhow::Result<String> {
    let password_file = cluster.join("password");
    let (data, unfinished) = (cluster.join("data"), cluster.join("data.unfinished"));
    if data.is_dir() {
        return fs::read_to_string(&password_file)
            .context("the database's password is lost; remove its directory");
    }
    progress.tell("Creating", "a database cluster");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    let password = ports::random_password()?;
    home.write(&password_file, &password)?;
    let mut initdb = home.command(&installed.programs.join("initdb"));
    initdb.arg("-D").arg(&unfinished).arg("--pwfile").arg(&password_file);
    initdb.args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8"]);
    // A crash of the machine during creation loses nothing anybody wants.
    initdb.arg("--no-sync");
    run(home, "initdb", initdb, None).await?;
    let statement = cluster.join("create.sql");
    home.write(&statement, &format!("CREATE DATABASE {DATABASE}\n"))?;
    let mut single = home.command(&installed.programs.join("postgres"));
    single.arg("--single").arg("-D").arg(&unfinished).args(["-c", "log_checkpoints=off", "postgres"]);
    run(home, "postgres --single", single, Some(statement)).await?;
    let main_file = unfinished.join("postgresql.conf");
    let fitted =
        fs::read_to_string(&main_file).with_context(|| format!("cannot read {}", main_file.display()))?;
    home.write(&main_file, &format!("{fitted}\ninclude '{SETTINGS_FILE}'\n"))?;
    fs::rename(&unfinished, &data)?;
    Ok(password)
}

async fn run(
    home: &Home,
    name: &str,
    command: std::process::Command,
    input: Option<PathBuf>,
) -> anyhow::Result<()> {
    let program = Group::start(Launch {
        name: name.to_owned(),
        command,
        bare: true,
        account: Some(home.account()),
        input,
        log: home.log("postgres"),
        record: None,
        parting: Parting::Kill,
    })?;
    program.wait_for_success(CREATED_WITHIN).await
}
