//! The compose backend: the services of `compose/compose.yml` as containers, published on 127.0.0.1. The log of
//! each is followed into the stack's folder by a process of the stack, which lives as long as its container.

mod containers;
mod docker;
mod lifecycle;
mod state;
mod upgrade;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use artifacts::run::Build;
use artifacts::snapshot::Role;
use rustix::process::{Signal, getegid, geteuid};

use crate::command::{Command, DUMP, SHORT};
use crate::daemon::{ExitInfo, ServiceStatus, memory};
use crate::endpoints::{Endpoints, PostgresEndpoint};
use crate::error::Result;
use crate::home::Home;
use crate::images;
use crate::native::zookeeper_version;
use crate::observe::{Shared, Silent};
use crate::options::{Kind, Options, Parts};
use crate::paths::create_dir;
use crate::provision::short_hash;
pub(crate) use docker::Docker;
use state::{State, env_file};

/// Marks containers that compose does not know.
const LABEL: &str = "pg-cdc.stack";
const POSTGRES_PORT: u16 = 5432;
/// The volume of both clusters, and where it is mounted.
const DATA: &str = "postgres-data";

/// A stack of containers.
pub(crate) struct Compose {
    pub(crate) home: Home,
    state: Option<State>,
    /// Of the project; also begins the names of its containers.
    project: String,
}

/// Where a stack for an upgrade between two major versions goes that may be anywhere, and why: containers, when an
/// engine with compose v2 answers that has the images. Nothing is downloaded.
pub async fn choose(majors: [u32; 2], parts: Parts) -> (Kind, String) {
    match Docker::find().await {
        Err(e) => (Kind::Native, e.cause()),
        Ok(docker) => {
            let official = docker.has(&images::needed(false, majors, parts)).await;
            if official || docker.has(&images::needed(true, majors, parts)).await {
                return (Kind::Compose, "a Docker engine with compose v2 answers and has the images".into());
            }
            (Kind::Native, "the Docker engine has no images of the stack; --stack compose gets them".into())
        }
    }
}

/// Whether a folder is that of a compose stack, whatever its state says.
pub(crate) fn is_of(dir: &std::path::Path) -> bool {
    env_file(dir).exists()
}

impl Compose {
    pub(crate) fn open(options: Options) -> Result<Self> {
        let home = Home::open(options)?;
        let project = format!("pg-cdc-{}-{}", home.options.name, short_hash(&home.dir.display().to_string()));
        let state = home.state()?;
        Ok(Self { home, state, project })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.generation)
    }

    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        self.state.as_ref().map(|state| state.versions.clone()).unwrap_or_default()
    }

    pub(crate) fn builds(&self) -> BTreeMap<String, Vec<Build>> {
        self.state.as_ref().map(|state| state.builds.clone()).unwrap_or_default()
    }

    pub(crate) fn log_marks(&self) -> BTreeMap<String, u64> {
        self.state.as_ref().map(|state| state.log_marks.clone()).unwrap_or_default()
    }

    /// The engine's folder, if that is one of this machine.
    pub(crate) async fn data_dir(&self) -> Option<PathBuf> {
        self.state.as_ref()?.docker.root().await
    }

    /// Why no container can answer.
    pub(crate) async fn gone(&self) -> Option<String> {
        let cause = self.state.as_ref()?.docker.answers().await.err()?.cause();
        Some(format!("{cause}; start it again"))
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        let Some(state) = &self.state else { return Endpoints::none() };
        let in_place = state.in_place.is_some();
        let server = |role: Role| {
            let (service, port) = match role {
                Role::New if !in_place => ("postgres-new", state.ports.postgres_new),
                Role::Old | Role::New => ("postgres", state.ports.postgres_old),
            };
            let image = state.postgres_image(role);
            let tag = image.rsplit(':').next().unwrap_or_default();
            PostgresEndpoint {
                host: "127.0.0.1".into(),
                port,
                inside: (service.into(), POSTGRES_PORT),
                version: tag.split('-').next().unwrap_or_default().into(),
            }
        };
        let roles: &[Role] = if in_place { &[Role::New] } else { &[Role::Old, Role::New] };
        Endpoints {
            postgres: roles.iter().map(|role| (*role, server(*role))).collect(),
            kafka: format!("127.0.0.1:{}", state.ports.kafka),
            zookeeper: state.parts.zookeeper.then(|| "zookeeper:2181".into()),
            connect: format!("http://127.0.0.1:{}", state.ports.connect),
            registry: state.parts.registry.then(|| state.registry()),
        }
    }

    /// Runs a tool of a server's own version against that server, in a container of its own that sees the
    /// stack's backups where this program sees them.
    pub(crate) async fn exec(
        &self,
        tool: &str,
        role: Role,
        args: &[&str],
        observer: &Shared,
    ) -> Result<String> {
        let own: &[&str] = if tool == "psql" { &["-X"] } else { &[] };
        let backups = self.home.dir.join("backups");
        create_dir(&backups)?;
        let server =
            self.endpoints().postgres(role).map(|server| server.inside.0.clone()).unwrap_or_default();
        let command = self
            .container()?
            .args([format!("--network={}_default", self.project)])
            .args([format!("--user={}:{}", geteuid().as_raw(), getegid().as_raw())])
            .args([format!("--volume={0}:{0}", backups.display())])
            .args([
                format!("--env=PGHOST={server}"),
                "--env=PGUSER=postgres".into(),
                "--env=PGPASSWORD".into(),
            ])
            .args([format!("--entrypoint={tool}"), self.state()?.postgres_image(role)])
            .args(own)
            .args(args)
            .tags([("PGPASSWORD", self.home.secrets.postgres.clone())]);
        command.run(&format!("{tool} on the {role} server"), DUMP, &**observer).await
    }

    /// Ends a service, or the data generator.
    pub(crate) async fn stop(&self, service: &str, deadline: Duration) -> Result<ExitInfo> {
        if self.state.as_ref().is_some_and(|state| state.containers.contains_key(service)) {
            return self.stop_container(service, deadline).await;
        }
        self.home.daemons.stop(service, Signal::TERM, deadline).await
    }

    /// A container in place of the process that follows its log.
    pub(crate) fn service(&self, name: &str) -> Option<ServiceStatus> {
        let status = self.home.daemons.status(name)?;
        let Some(container) = self.state.as_ref().and_then(|state| state.containers.get(name)) else {
            return Some(status);
        };
        let process = container.process.filter(|process| process.is_alive());
        Some(ServiceStatus { pid: process.map(|p| p.pid), rss_bytes: process.map(memory), ..status })
    }

    pub(crate) fn processes(&self) -> Vec<ServiceStatus> {
        self.home.daemons.services().iter().filter_map(|service| self.service(service)).collect()
    }

    /// Asked in its container: it is not published.
    pub(crate) async fn zookeeper(&self) -> Result<Option<String>> {
        let state = self.state()?;
        if !state.parts.zookeeper {
            return Ok(None);
        }
        let ask = "exec 3<>/dev/tcp/127.0.0.1/2181 && echo srvr >&3 && cat <&3";
        let exec = state.docker.command().args(["exec", &self.name_of("zookeeper"), "bash", "-c", ask]);
        let answer = exec.run("asking zookeeper srvr", SHORT, &Silent).await?;
        Ok(zookeeper_version(&answer))
    }

    /// `docker run` of what is gone with its end.
    fn container(&self) -> Result<Command> {
        let run = self.state()?.docker.command().args(["run", "--rm", "--pull=never"]);
        Ok(run.args([format!("--label={LABEL}={}", self.project)]))
    }

    /// `docker compose` on the project of this stack, with every profile.
    fn compose(&self) -> Result<Command> {
        Ok(self.compose_by(&self.state()?.docker))
    }

    fn compose_by(&self, docker: &Docker) -> Command {
        docker.command().args(["compose", "--env-file"]).args([env_file(&self.home.dir)])
    }

    fn state(&self) -> Result<&State> {
        self.home.check_secrets()?;
        self.state.as_ref().ok_or_else(|| self.home.absent())
    }

    /// Changes what is remembered.
    fn remember(&mut self, change: impl FnOnce(&mut State)) -> Result<()> {
        self.home.check_secrets()?;
        let Some(state) = &mut self.state else { return Err(self.home.absent()) };
        change(state);
        state.write(&self.home.dir, &self.project, &self.home.secrets)
    }

    /// There is a server, and whether it should run.
    fn set_wanted(&mut self, role: Role, wanted: bool) -> Result<()> {
        self.remember(|state| {
            state.postgres.insert(role, wanted);
        })
    }

    /// The name of a service's container.
    fn name_of(&self, service: &str) -> String {
        format!("{}-{}", self.project, self.in_compose(service))
    }

    /// What `compose.yml` calls a service: after an upgrade in place the new server is where the old one was.
    fn in_compose<'a>(&self, service: &'a str) -> &'a str {
        let in_place = self.state.as_ref().is_some_and(|state| state.in_place.is_some());
        match service {
            "connect" => "kafka-connect",
            "postgres-old" => "postgres",
            "postgres-new" if in_place => "postgres",
            other => other,
        }
    }
}

/// `postgres-old` or `postgres-new`.
fn service_of(role: Role) -> String {
    format!("postgres-{role}")
}
