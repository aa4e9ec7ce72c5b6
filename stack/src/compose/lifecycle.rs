//! Up and down: which containers run when, and which data is thrown away.

use std::time::Duration;

use artifacts::run::Build;
use artifacts::snapshot::Role;
use rustix::process::Signal;

use super::state::{State, env_file};
use super::{Compose, DATA, Docker, LABEL, service_of};
use crate::command::{DOWNLOAD, SHORT};
use crate::connect;
use crate::daemon::ExitInfo;
use crate::error::{Error, Result};
use crate::images;
use crate::logs;
use crate::native::controller_changes;
use crate::observe::{Shared, Silent};
use crate::options::{Down, Parts};
use crate::paths::{create_dir, remove_dir};
use crate::ports::Ports;
use crate::progress::Task;
use crate::provision::{self, STATE_BYTES};

const STOP: Duration = Duration::from_secs(30);
/// Longer: an open replication connection holds a fast shutdown up.
const STOP_POSTGRES: Duration = Duration::from_secs(90);

impl Compose {
    /// Gets the images, starts or re-uses Kafka and Kafka Connect, and starts a fresh old server.
    pub(crate) async fn up(&mut self, from: u32, to: u32, parts: Parts, observer: &Shared) -> Result<()> {
        self.home.check_secrets()?;
        let kept = self.state.take();
        let docker = match &kept {
            Some(state) => state.docker.clone(),
            None => Docker::find().await?,
        };
        docker.answers().await?;
        if let Some(root) = docker.root().await {
            provision::require_space(&root, STATE_BYTES, "make room there: docker system df")?;
        }
        let offline = offline(&docker, [from, to], parts).await;
        create_dir(&self.home.dir)?;
        self.home.secrets.write(&self.home.dir)?;
        let ports = self.settle_ports(kept.as_ref(), parts.registry)?;
        // What nobody remembers begins anew: offsets that a lost state has left would be those of another database.
        let unknown = kept.is_none();
        let had = kept.as_ref().map(|state| (state.parts, state.offline));
        let mut state = State::new(from, to, ports, docker, offline, parts);
        state.generation = kept.as_ref().map_or(0, |state| state.generation) + 1;
        state.containers = kept.map(|state| state.containers).unwrap_or_default();
        state.log_marks = logs::marks(&self.home.dir);
        self.state = Some(state);
        self.set_wanted(Role::Old, true)?;
        self.get_images(observer).await?;
        if unknown {
            self.run_compose(&["down", "--volumes", "--remove-orphans"], observer).await?;
            self.remove_volumes(&self.state()?.docker).await?;
        }
        if let Some(had) = had.filter(|had| *had != (parts, offline)) {
            self.remove_outdated(had.0, observer).await?;
        }
        self.remove_servers().await?;
        let task = Task::start(format!("starting PostgreSQL {from}, Kafka and Kafka Connect in containers"));
        let services = [&self.state()?.warm()[..], &["postgres-old"]].concat();
        self.start(&services, observer).await?;
        self.name_versions(observer).await?;
        task.done();
        Ok(())
    }

    /// Restarts what has died; deletes nothing.
    pub(crate) async fn ensure_running(&mut self, observer: &Shared) -> Result<()> {
        let state = self.state()?;
        state.docker.answers().await?;
        let wanted = state.postgres.iter().filter(|(_, wanted)| **wanted).map(|(role, _)| service_of(*role));
        let services: Vec<String> = state.warm().into_iter().map(str::to_owned).chain(wanted).collect();
        self.start(&services.iter().map(String::as_str).collect::<Vec<_>>(), observer).await
    }

    /// A fresh new server beside the old one, which goes on running.
    pub(crate) async fn replace_postgres(&mut self, observer: &Shared) -> Result<()> {
        if self.state()?.in_place.is_some() {
            let text = "the old server was upgraded in place: begin anew with: cargo xtask up";
            return Err(Error::Refused(text.into()));
        }
        self.set_wanted(Role::New, false)?;
        // A half-made cluster of an earlier try is made anew.
        self.run_compose(&["rm", "--stop", "--force", "--volumes", "postgres-new"], observer).await?;
        self.in_volume(&["rm", "-rf", "/pgdata/new"], observer).await?;
        self.forget("postgres-new").await?;
        self.start(&["postgres-new"], observer).await?;
        self.set_wanted(Role::New, true)
    }

    /// Stops a server by a fast shutdown; its data stays.
    pub(crate) async fn stop_postgres(&mut self, role: Role) -> Result<ExitInfo> {
        if self.state()?.postgres.contains_key(&role) {
            self.set_wanted(role, false)?;
        }
        self.stop_container(&service_of(role), STOP_POSTGRES).await
    }

    /// Starts a server on the data it has.
    pub(crate) async fn start_postgres(&mut self, role: Role, observer: &Shared) -> Result<()> {
        if !self.state()?.postgres.contains_key(&role) {
            return Err(Error::Refused(format!(
                "the stack '{}' has no {role} server",
                self.home.options.name
            )));
        }
        if role == Role::Old {
            self.old_may_start()?;
        }
        self.set_wanted(role, true)?;
        self.start(&[&service_of(role)], observer).await
    }

    /// Ends every process and removes every container; with `volumes`, their data and the stack's folder.
    pub(crate) async fn down(&mut self, volumes: bool) -> Result<Down> {
        let running = self.processes().iter().filter(|process| process.alive).count();
        // Writers first: what is not a container.
        for service in self.home.daemons.services() {
            if !self.state.as_ref().is_some_and(|state| state.containers.contains_key(&service)) {
                self.home.daemons.stop(&service, Signal::TERM, STOP).await?;
            }
        }
        if env_file(&self.home.dir).exists() {
            let docker = self.docker().await?;
            self.remove_loose(&docker).await?;
            // Connect first: a connector whose database is gone takes 10 s to give up.
            let connect = docker.command().args(["stop", "-t", "30", &self.name_of("connect")]);
            // One that is not there is fine.
            let _ = connect.run("stopping connect", SHORT, &Silent).await;
            let mut down = vec!["down", "--remove-orphans", "--timeout", "30"];
            down.extend(volumes.then_some("--volumes"));
            let down = self.compose_by(&docker).args(down);
            down.run("removing the containers", SHORT, &Silent).await?;
            if volumes {
                self.remove_volumes(&docker).await?;
            }
        }
        self.home.daemons.sweep(None).await?;
        for service in self.home.daemons.services() {
            self.home.daemons.stop(&service, Signal::TERM, Duration::ZERO).await?;
        }
        if volumes {
            self.state = None;
            self.home.secrets_lost = false;
            remove_dir(&self.home.dir)?;
        }
        Ok(Down { ended: running })
    }

    /// The client whose engine has the containers, which answers.
    async fn docker(&self) -> Result<Docker> {
        let docker = match &self.state {
            Some(state) => state.docker.answers().await.map(|()| state.docker.clone()),
            None => Docker::find().await,
        };
        docker.map_err(|e| {
            let remedy = format!("start it, then repeat: cargo xtask down --name {}", self.home.options.name);
            Error::preflight(format!("the stack's containers cannot be ended: {}", e.cause()), remedy)
        })
    }

    /// Containers that compose does not know: tools whose command was cut off.
    pub(super) async fn remove_loose(&self, docker: &Docker) -> Result<()> {
        let label = format!("{LABEL}={}", self.project);
        docker.remove_all(&["ps", "--all"], &label, &["rm", "--force"], "left-over containers").await
    }

    /// Removes every volume of the project that is left: compose knows only those that its present files name.
    async fn remove_volumes(&self, docker: &Docker) -> Result<()> {
        let label = format!("com.docker.compose.project={}", self.project);
        docker.remove_all(&["volume", "ls"], &label, &["volume", "rm"], "left-over volumes").await
    }

    /// Removes both servers and their data.
    async fn remove_servers(&mut self) -> Result<()> {
        let docker = self.state()?.docker.clone();
        for service in self.home.daemons.services() {
            if !self.state()?.containers.contains_key(&service) {
                self.home.daemons.stop(&service, Signal::TERM, STOP).await?;
            }
        }
        self.remove_loose(&docker).await?;
        let names = ["postgres", "postgres-new"].map(|name| format!("{}-{name}", self.project));
        // One that is not there is fine.
        let _ = docker
            .command()
            .args(["rm", "--force", "--volumes"])
            .args(&names)
            .run("removing servers", SHORT, &Silent)
            .await;
        let volume = self.volume();
        if docker.inspect("volume", &volume, "{{.Name}}", &Silent).await.is_some() {
            let remove = docker.command().args(["volume", "rm", "--force", &volume]);
            remove.run("removing the data of earlier servers", SHORT, &Silent).await?;
        }
        for service in [service_of(Role::Old), service_of(Role::New)] {
            self.forget(&service).await?;
            self.remember(|state| drop(state.containers.remove(&service)))?;
        }
        Ok(())
    }

    /// Removes what was started from other images, or for other services, than those that are wanted now.
    async fn remove_outdated(&mut self, had: Parts, observer: &Shared) -> Result<()> {
        let parts = self.state()?.parts;
        if had.zookeeper != parts.zookeeper {
            controller_changes(had.zookeeper, parts.zookeeper);
        }
        let warm = ["kafka-connect", "schema-registry", "kafka", "zookeeper"];
        self.run_compose(&[&["rm", "--stop", "--force", "--volumes"][..], &warm].concat(), observer).await?;
        for service in ["connect", "schema-registry", "kafka", "zookeeper"] {
            self.forget(service).await?;
            self.remember(|state| drop(state.containers.remove(service)))?;
        }
        Ok(())
    }

    /// Pulls and builds what the engine does not have.
    async fn get_images(&self, observer: &Shared) -> Result<()> {
        let state = self.state()?;
        if state.offline || state.docker.has(&state.images()).await {
            return Ok(());
        }
        let offline = format!("or build images without a registry: {}", images::build(state.from, state.to));
        if !self.home.options.install {
            let found = "the Docker engine has no images of the stack, and --no-install forbids to get them";
            return Err(Error::preflight(found, format!("leave it out, {offline}")));
        }
        let task = Task::start("pulling the official images, building that of Kafka Connect");
        for words in
            [&["pull", "--quiet", "--ignore-buildable"][..], &["build", "kafka-connect", "pg-upgrade"]]
        {
            let get = self.compose()?.args(words);
            get.run("getting the images", DOWNLOAD, &**observer).await.map_err(|e| {
                let found = format!("the images of the stack cannot be had: {}", e.said());
                Error::preflight(found, format!("see that the engine reaches their registry, {offline}"))
            })?;
        }
        task.done();
        Ok(())
    }

    /// Versions and images, for the evidence.
    async fn name_versions(&mut self, observer: &Shared) -> Result<()> {
        let worker = connect::Client::new(&self.endpoints().connect, observer.clone());
        let worker = worker.map_err(|e| Error::Refused(e.to_string()))?;
        let worker = worker
            .worker()
            .await
            .map_err(|e| Error::Refused(format!("Kafka Connect does not answer: {e}")))?;
        let kafka = worker.get("version").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        let state = self.state()?;
        let mut versions = std::collections::BTreeMap::new();
        for (major, role) in [(state.from, Role::Old), (state.to, Role::New)] {
            let version =
                self.endpoints().postgres(role).map(|server| server.version.clone()).unwrap_or_default();
            versions.insert(format!("postgresql-{major}"), version);
        }
        // Broker and Connect are of one release, unless it is one with ZooKeeper.
        let broker = match state.parts.zookeeper {
            true => state.docker.label(&state.images()[0], images::VERSION).await,
            false => kafka.clone(),
        };
        versions.insert("kafka".into(), broker);
        versions.extend(self.zookeeper().await?.map(|version| ("zookeeper".into(), version)));
        versions.insert("kafka-connect".into(), kafka);
        versions.insert("debezium".into(), images::version("DEBEZIUM").into());
        let mut builds = std::collections::BTreeMap::new();
        let servers = [state.from, state.to].map(|major| format!("postgresql-{major}"));
        let mut components = vec!["kafka".to_owned(), "kafka-connect".to_owned()];
        components.extend(servers);
        components.extend(state.parts.registry.then(|| "schema-registry".to_owned()));
        components.extend(state.parts.zookeeper.then(|| "zookeeper".to_owned()));
        for (component, image) in components.into_iter().zip(state.images()) {
            let id = state.docker.inspect("image", &image, "{{.Id}}", &Silent).await.unwrap_or_default();
            let tag = image.rsplit(':').next().unwrap_or_default();
            let version = versions.get(&component).map_or(tag, String::as_str).to_owned();
            let sha256 = id.strip_prefix("sha256:").unwrap_or(&id).to_owned();
            builds.insert(component, vec![Build { package: image, version, sha256 }]);
        }
        self.remember(|state| (state.versions, state.builds) = (versions, builds))
    }

    /// Runs `docker compose` to its end.
    pub(super) async fn run_compose(&self, words: &[&str], observer: &Shared) -> Result<String> {
        self.compose()?
            .args(words)
            .run(&format!("docker compose {}", words.join(" ")), SHORT, &**observer)
            .await
    }

    /// Runs a program on the files of the clusters, as their owner.
    pub(super) async fn in_volume(&self, words: &[&str], observer: &Shared) -> Result<String> {
        let Some((program, args)) = words.split_first() else { return Ok(String::new()) };
        let command = self
            .container()?
            .args(["--network=none", "--user=0:0", &format!("--volume={}:/pgdata", self.volume())])
            .args([format!("--entrypoint={program}"), self.state()?.postgres_image(Role::New)])
            .args(args);
        command.run(&words.join(" "), SHORT, &**observer).await
    }

    pub(super) fn volume(&self) -> String {
        format!("{}_{DATA}", self.project)
    }

    fn settle_ports(&mut self, kept: Option<&State>, registry: bool) -> Result<Ports> {
        let standard = self.home.options.standard_ports;
        self.home.settle_ports(kept.map(|s| &s.ports), standard, registry, |daemons, port| {
            let Some(ports) = kept.map(|s| &s.ports) else { return false };
            let runs = |service: &str| daemons.find(service).is_some();
            (port == ports.kafka && runs("kafka"))
                || (port == ports.connect && runs("connect"))
                || (port == ports.registry && runs("schema-registry"))
                || (port == ports.postgres_old && (runs("postgres-old") || runs("postgres-new")))
                || (port == ports.postgres_new && runs("postgres-new"))
        })
    }
}

/// Whether the images are taken that were built here: when the official ones are not there.
async fn offline(docker: &Docker, majors: [u32; 2], parts: Parts) -> bool {
    let needed = |offline| images::needed(offline, majors, parts);
    !docker.has(&needed(false)).await && docker.has(&needed(true)).await
}
