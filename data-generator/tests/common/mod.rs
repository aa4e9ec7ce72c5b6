//! A PostgreSQL of its own for a test, and the generator as a process.

pub(crate) mod truth;

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::{Client, Config, NoTls};

const PASSWORD: &str = "correct horse";
const DEADLINE: Duration = Duration::from_secs(60);
const DEFAULT_BINDIR: &str = "/usr/lib/postgresql/15/bin";

/// Waits until the probe gives something.
pub(crate) async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        if let Some(value) = probe().await {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
    }
}

/// A server; it ends with the test.
pub(crate) struct Postgres {
    bindir: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::QUIT);
        let _ = self.process.wait();
    }
}

/// As root, PostgreSQL runs as the user postgres or, without one, as nobody.
fn unprivileged(command: &mut Command) -> &mut Command {
    if let Some((uid, gid)) = postgres_user() {
        command.uid(uid).gid(gid);
    }
    command.env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PG15_LIBRARY_PATH") {
        command.env("LD_LIBRARY_PATH", path);
    }
    command
}

fn postgres_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| users.lines().find(|line| line.split(':').next() == Some(name));
    let user = of("postgres").or_else(|| of("nobody")).expect("a user that is not root");
    let fields: Vec<&str> = user.split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let from = 20_000 + (std::process::id() % 10_000) as u16;
    loop {
        let port = from + TAKEN.fetch_add(1, Ordering::SeqCst);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Postgres {
    /// A server with the tables of the workload, of the PostgreSQL 15 in `PG15_BINDIR` or, when it is
    /// not set, of the system's; `PG15_LIBRARY_PATH` holds libraries that only it needs.
    pub(crate) async fn start() -> Self {
        let bindir = std::env::var_os("PG15_BINDIR").map_or_else(|| DEFAULT_BINDIR.into(), PathBuf::from);
        let there = bindir.join("postgres").exists();
        assert!(there, "no PostgreSQL 15 in {}: set PG15_BINDIR to its bin folder", bindir.display());
        // The user of PostgreSQL must be able to enter it.
        let folder = tempfile::Builder::new().prefix("data-generator-").tempdir().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        if let Some((uid, gid)) = postgres_user() {
            for path in [folder.path(), &folder.path().join("password")] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        let data = folder.path().join("data");
        let made = unprivileged(&mut Command::new(bindir.join("initdb")))
            .args(["--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--pgdata"])
            .arg(&data)
            .arg(format!("--pwfile={}", folder.path().join("password").display()))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let process = Self::spawn(&bindir, folder.path(), port);
        let server = Self { bindir, folder, port, process };
        server.create_tables().await;
        server
    }

    fn spawn(bindir: &Path, folder: &Path, port: u16) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        let settings =
            ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "wal_level=logical"];
        unprivileged(&mut Command::new(bindir.join("postgres")))
            .arg("-D")
            .arg(folder.join("data"))
            .arg(format!("-p{port}"))
            .args(settings.iter().flat_map(|s| ["-c", s]))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn create_tables(&self) {
        let admin = self.admin().await;
        let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stack/sql");
        for file in ["roles.sql", "schema.sql", "audit.sql"] {
            admin.batch_execute(&std::fs::read_to_string(sql.join(file)).unwrap()).await.unwrap();
        }
        admin.batch_execute(&format!("ALTER ROLE app_writer LOGIN PASSWORD '{PASSWORD}'")).await.unwrap();
    }

    /// How somebody connects to it.
    pub(crate) fn config(&self, user: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(PASSWORD).dbname("postgres");
        config
    }

    /// A connection of the superuser, once the server answers.
    pub(crate) async fn admin(&self) -> Client {
        let config = self.config("postgres");
        let (client, connection) =
            until("PostgreSQL answers", async || config.connect(NoTls).await.ok()).await;
        tokio::spawn(connection);
        client
    }

    /// Stops it: `Signal::INT` is a fast shutdown, `Signal::QUIT` a crash.
    pub(crate) fn stop(&mut self, how: Signal) {
        kill_process(Pid::from_child(&self.process), how).unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = Self::spawn(&self.bindir, self.folder.path(), self.port);
    }

    /// The generator, to be given more options.
    pub(crate) fn generator(&self, files: &Files) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_data-generator"));
        command
            .args(["--user=app_writer", "--database=postgres"])
            .arg(format!("--port={}", self.port))
            .arg(format!("--ledger={}", files.ledger().display()))
            .arg(format!("--summary={}", files.summary().display()))
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stderr(std::fs::File::options().create(true).append(true).open(files.stderr()).unwrap());
        command
    }

    /// The generator, at work until it is stopped.
    pub(crate) fn running(&self, files: &Files) -> Running {
        Running(self.generator(files).spawn().unwrap())
    }

    /// Ends every connection of the generator.
    pub(crate) async fn terminate_backends(&self, admin: &Client) -> usize {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_writer'";
        admin.query(sql, &[]).await.unwrap().len()
    }

    /// Process ids of the generator's backends.
    pub(crate) async fn backends(&self, admin: &Client) -> Vec<i32> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'app_writer'";
        admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

/// Where a generator writes.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger.jsonl")
    }

    pub(crate) fn summary(&self) -> PathBuf {
        self.0.path().join("summary.json")
    }

    pub(crate) fn stderr(&self) -> PathBuf {
        self.0.path().join("stderr")
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.stderr()).unwrap()
    }

    pub(crate) fn read_summary(&self) -> data_generator::Summary {
        serde_json::from_slice(&std::fs::read(self.summary()).unwrap()).unwrap()
    }
}

/// A generator that is at work; it ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("the generator ends", async || self.0.try_wait().unwrap()).await
    }

    /// Waits until the ledger holds so many more bytes.
    pub(crate) async fn writes(&mut self, files: &Files, bytes: u64) {
        let len = || std::fs::metadata(files.ledger()).map_or(0, |meta| meta.len());
        let from = len();
        until("the ledger grows", async || {
            assert_eq!(self.0.try_wait().unwrap(), None, "{}", files.said());
            (len() >= from + bytes).then_some(())
        })
        .await;
    }
}
