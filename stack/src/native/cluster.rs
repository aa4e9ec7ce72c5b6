//! PostgreSQL clusters: made by initdb, run by `postgres` itself, deleted with each rehearsal.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::snapshot::Role;
use rustix::fs::{Gid, Uid, chown};
use tokio_postgres::NoTls;

use super::{Native, first_signal, major_of, port_of, service_of};
use crate::command::{Command, SHORT, User};
use crate::daemon::Spec;
use crate::error::{Error, Result};
use crate::observe::{Shared, Silent};
use crate::paths::{create_dir, remove_dir, write_file};

/// The database of a rehearsal.
const DATABASE: &str = "testdb";
const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(5);

/// Both servers have the same. No Unix socket: every client is on 127.0.0.1, and the paths of
/// sockets must not be long. No fsync: what is rehearsed is not a power failure.
const SETTINGS: [(&str, &str); 13] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("wal_level", "logical"),
    ("max_wal_senders", "10"),
    ("max_replication_slots", "10"),
    ("password_encryption", "scram-sha-256"),
    ("fsync", "off"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_replication_commands", "on"),
    ("log_line_prefix", "%m [%p] %a "),
    ("max_connections", "100"),
];

impl Native {
    /// Deletes what the role had and makes, starts and fills an empty cluster.
    pub(super) async fn fresh_postgres(&self, role: Role, observer: &Shared) -> Result<()> {
        let service = service_of(role);
        self.home.daemons.stop(&service, first_signal(&service), STOP).await?;
        self.home.daemons.sweep(Some(&service)).await?;
        self.home.clear_log(&service);
        // The servers of a pair agree: without checksums, which initdb makes by default from 18 on.
        self.init(role, &without_checksums(major_of(self.state()?, role)), observer).await?;
        self.run_postgres(role, observer).await?;
        self.create_database(role).await
    }

    /// The folder of a cluster: `data`, and nothing that outlives it.
    pub(super) fn cluster(&self, role: Role) -> PathBuf {
        self.home.dir.join("postgres").join(role.to_string())
    }

    /// An empty cluster in place of what the role had.
    pub(super) async fn init(&self, role: Role, layout: &[String], observer: &Shared) -> Result<()> {
        let (state, tools) = (self.state()?, self.tools_of(role)?);
        let user = User::for_postgres();
        let home = &self.cluster(role);
        remove_dir(home)?;
        create_dir(home)?;
        give_to(home, user)?;
        let password = home.join("password");
        write_file(&password, &self.home.secrets.postgres, 0o600)?;
        give_to(&password, user)?;
        let data = home.join("data");
        let initdb = tools
            .command("initdb")
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--no-sync", "--no-instructions"])
            .args([format!("--locale={}", state.locale)])
            .args([format!("--pwfile={}", password.display())])
            .args([format!("--pgdata={}", data.display())])
            .args(layout);
        let initdb = initdb.cwd(home).user(user).tags(self.home.daemons.tags(&format!("initdb-{role}")));
        let result = initdb.run(&format!("initdb of the {role} server"), SHORT, &**observer).await;
        fs::remove_file(&password).map_err(Error::io("remove", &password))?;
        result?;
        let conf = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&conf).map_err(Error::io("read", &conf))?;
        text.push_str("\n# Of the rehearsal. The port is given on the command line.\n");
        for (name, value) in SETTINGS {
            let _ = writeln!(text, "{name} = '{value}'");
        }
        fs::write(&conf, text).map_err(Error::io("write", &conf))
    }

    /// Starts the server on the data it has and waits for an answer.
    pub(super) async fn run_postgres(&self, role: Role, observer: &Shared) -> Result<()> {
        let service = service_of(role);
        if self.home.daemons.find(&service).is_none() {
            self.home.daemons.sweep(Some(&service)).await?;
            let home = self.cluster(role);
            // After a crash its process may still be a zombie, which PostgreSQL takes for alive.
            let _ = fs::remove_file(home.join("data/postmaster.pid"));
            self.spawn_postgres(role, &home)?;
        }
        let what = format!("{service} answers SELECT 1");
        self.home.daemons.ready(&service, &what, READY, &**observer, || self.ask(role, "SELECT 1")).await
    }

    /// Starts the program of a server's version on the files of a cluster.
    pub(super) fn spawn_postgres(&self, role: Role, home: &Path) -> Result<()> {
        let (port, tools) = (port_of(self.state()?, role), self.tools_of(role)?);
        self.home.daemons.spawn(&Spec {
            service: service_of(role),
            program: tools.bindir.join("postgres"),
            args: vec!["-D".into(), home.join("data").display().to_string(), "-p".into(), port.to_string()],
            env: tools.library_path.iter().map(|path| ("LD_LIBRARY_PATH".into(), path.clone())).collect(),
            cwd: home.to_owned(),
            user: User::for_postgres(),
            port: Some(port),
        })
    }

    async fn create_database(&self, role: Role) -> Result<()> {
        let statement = format!("CREATE DATABASE {DATABASE}");
        let made = tokio::time::timeout(READY, self.ask(role, &statement)).await;
        let made = made.unwrap_or_else(|_| Err(format!("no answer within {} s", READY.as_secs())));
        made.map_err(|e| {
            Error::Refused(format!("cannot create database {DATABASE} on the {role} server: {e}"))
        })
    }

    /// One statement on a connection of its own.
    async fn ask(&self, role: Role, statement: &str) -> std::result::Result<(), String> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").user("postgres").password(&self.home.secrets.postgres).dbname("postgres");
        config.port(self.state().map(|s| port_of(s, role)).map_err(|e| e.to_string())?);
        config.connect_timeout(Duration::from_secs(5));
        let (client, connection) = config.connect(NoTls).await.map_err(|e| reason(&e))?;
        let work = async move {
            // The connection ends when the client is dropped.
            let result = client.batch_execute(statement).await;
            drop(client);
            result
        };
        let (result, _) = tokio::join!(work, connection);
        result.map_err(|e| reason(&e))
    }
}

/// The flag of initdb for a cluster without data checksums; before 18 that is the default.
pub(super) fn without_checksums(major: u32) -> Vec<String> {
    if major >= 18 { vec!["--no-data-checksums".into()] } else { Vec::new() }
}

/// The innermost cause is the one that says something.
fn reason(e: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(e);
    source.map_or_else(|| e.to_string(), ToString::to_string)
}

pub(super) fn give_to(path: &Path, user: Option<User>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))
        .map_err(|e| Error::io("give away", path)(e.into()))?;
    let mode = fs::metadata(path).map_err(Error::io("read", path))?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("open up", path))
}

/// `C.UTF-8` where the machine has it, else `C`: the same for both servers.
pub(super) async fn locale() -> String {
    let known =
        Command::new("locale").args(["-a"]).run("listing locales", SHORT, &Silent).await.unwrap_or_default();
    let has = known.lines().any(|name| matches!(name, "C.utf8" | "C.UTF-8"));
    if has { "C.UTF-8".into() } else { "C".into() }
}
