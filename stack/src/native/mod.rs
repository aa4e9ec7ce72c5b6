//! The native backend: real programs as processes on 127.0.0.1, without containers.

mod archive;
mod cluster;
mod jvm;
mod lifecycle;
pub(crate) mod pg_upgrade;
mod registry;
mod upgrade;
mod zookeeper;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use artifacts::run::Build;
use artifacts::snapshot::Role;
use rustix::process::Signal;

use crate::command::{Command, DUMP};
use crate::daemon::{ExitInfo, ServiceStatus};
use crate::endpoints::{Endpoints, PostgresEndpoint};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::observe::Shared;
use crate::options::Options;
use crate::registry::apicurio;
use crate::state::{PostgresTools, State, pgpass};
pub(crate) use lifecycle::controller_changes;
pub(crate) use upgrade::{LINKED, SHUTDOWN, complaint, may_decommission, old_may_start};
pub(crate) use zookeeper::zookeeper_version;

const KAFKA: &str = "kafka";
const CONNECT: &str = "connect";
const REGISTRY: &str = "schema-registry";
const ZOOKEEPER: &str = "zookeeper";
/// In the order in which they are stopped.
const WARM: [&str; 4] = [CONNECT, REGISTRY, KAFKA, ZOOKEEPER];

/// A stack of processes.
pub(crate) struct Native {
    pub(crate) home: Home,
    state: Option<State>,
    /// Where to write class archives; none but while they are being made.
    record: Option<PathBuf>,
}

impl Native {
    pub(crate) fn open(options: Options) -> Result<Self> {
        let home = Home::open(options)?;
        let state = home.state()?;
        Ok(Self { home, state, record: None })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.generation)
    }

    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        let Some(state) = &self.state else { return BTreeMap::new() };
        let tools = &state.tools;
        let mut versions: BTreeMap<String, String> = tools
            .postgres
            .iter()
            .map(|(major, t)| (format!("postgresql-{major}"), t.version.clone()))
            .collect();
        let broker = tools.zookeeper.as_ref().map_or(&tools.kafka.kafka_version, |z| &z.kafka_version);
        versions.insert("kafka".into(), broker.clone());
        versions.extend(tools.zookeeper.iter().map(|z| ("zookeeper".into(), z.zookeeper_version.clone())));
        versions.extend(tools.registry.iter().map(|r| (REGISTRY.into(), r.version.clone())));
        versions.insert("kafka-connect".into(), tools.kafka.kafka_version.clone());
        versions.insert("debezium".into(), tools.kafka.debezium_version.clone());
        versions.insert("java".into(), tools.java.version.clone());
        versions
    }

    pub(crate) fn builds(&self) -> BTreeMap<String, Vec<Build>> {
        let tools = self.state.iter().flat_map(|state| &state.tools.postgres);
        tools.map(|(major, tools)| (format!("postgresql-{major}"), tools.builds.clone())).collect()
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        let Some(state) = &self.state else { return Endpoints::none() };
        let server = |role: Role| PostgresEndpoint {
            host: "127.0.0.1".into(),
            port: port_of(state, role),
            inside: ("127.0.0.1".into(), port_of(state, role)),
            version: self.tools_of(role).map(|tools| tools.version.clone()).unwrap_or_default(),
        };
        let roles: &[Role] = if state.in_place.is_some() { &[Role::New] } else { &[Role::Old, Role::New] };
        Endpoints {
            postgres: roles.iter().map(|role| (*role, server(*role))).collect(),
            kafka: format!("127.0.0.1:{}", state.ports.kafka),
            zookeeper: state
                .tools
                .zookeeper
                .is_some()
                .then(|| format!("127.0.0.1:{}", state.ports.controller)),
            connect: format!("http://127.0.0.1:{}", state.ports.connect),
            registry: state.tools.registry.as_ref().map(|_| {
                let url = registry::url(&state.ports);
                apicurio(&url, &url)
            }),
        }
    }

    pub(crate) fn log_marks(&self) -> BTreeMap<String, u64> {
        self.state.as_ref().map(|state| state.log_marks.clone()).unwrap_or_default()
    }

    /// Runs a tool of a server's own version against that server.
    pub(crate) async fn exec(
        &self,
        tool: &str,
        role: Role,
        args: &[&str],
        observer: &Shared,
    ) -> Result<String> {
        // Nobody's psqlrc changes what a rehearsal does.
        let own: &[&str] = if tool == "psql" { &["-X"] } else { &[] };
        let command = self.tool(tool, role)?.args(own).args(args);
        command.run(&format!("{tool} on the {role} server"), DUMP, &**observer).await
    }

    /// A tool of a server's own version that finds that server.
    pub(crate) fn tool(&self, tool: &str, role: Role) -> Result<Command> {
        let state = self.state()?;
        let command = self.tools_of(role)?.command(tool).tags(self.home.daemons.tags(tool));
        Ok(command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port_of(state, role).to_string())
            .env("PGUSER", "postgres")
            .env("PGPASSFILE", pgpass(&self.home.dir).display().to_string()))
    }

    pub(crate) async fn stop(&self, service: &str, deadline: Duration) -> Result<ExitInfo> {
        self.home.daemons.stop(service, first_signal(service), deadline).await
    }

    pub(crate) fn service(&self, name: &str) -> Option<ServiceStatus> {
        self.home.daemons.status(name)
    }

    pub(crate) fn processes(&self) -> Vec<ServiceStatus> {
        self.home.daemons.services().iter().filter_map(|service| self.home.daemons.status(service)).collect()
    }

    fn state(&self) -> Result<&State> {
        self.home.check_secrets()?;
        self.state.as_ref().ok_or_else(|| self.home.absent())
    }

    fn state_mut(&mut self) -> Result<&mut State> {
        self.home.check_secrets()?;
        self.state.as_mut().ok_or_else(|| self.home.absent())
    }

    fn tools_of(&self, role: Role) -> Result<&PostgresTools> {
        let state = self.state()?;
        let major = major_of(state, role);
        state.tools.postgres.get(&major).ok_or_else(|| {
            Error::Refused(format!("PostgreSQL {major} was not provisioned; run: cargo xtask up"))
        })
    }
}

/// `postgres-old` or `postgres-new`.
fn service_of(role: Role) -> String {
    format!("postgres-{role}")
}

fn major_of(state: &State, role: Role) -> u32 {
    match role {
        Role::Old => state.from,
        Role::New => state.to,
    }
}

fn port_of(state: &State, role: Role) -> u16 {
    match role {
        Role::New if state.in_place.is_none() => state.ports.postgres_new,
        Role::Old | Role::New => state.ports.postgres_old,
    }
}

/// PostgreSQL's fast shutdown is SIGINT: clients are disconnected.
fn first_signal(service: &str) -> Signal {
    if service.starts_with("postgres-") { Signal::INT } else { Signal::TERM }
}
