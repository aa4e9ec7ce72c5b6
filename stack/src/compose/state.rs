//! What a compose stack remembers: `state.json`, and what it tells compose: `compose.env`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::run::Build;
use artifacts::snapshot::Role;
use serde::{Deserialize, Serialize};

use super::Docker;
use crate::endpoints::{Converter, RegistryEndpoint};
use crate::error::Result;
use crate::images;
use crate::options::{Kind, Parts};
use crate::paths::write_file;
use crate::ports::Ports;
use crate::procfs::Process;
use crate::registry::apicurio;
use crate::state::{self, InPlace, Secrets};

/// The folder of `compose.yml`.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compose");

/// `state.json` of a compose stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Schema version.
    pub(super) schema: String,
    /// Compose.
    pub(super) kind: Kind,
    /// Counts the rehearsals since the stack was made.
    pub(super) generation: u64,
    /// Major version before.
    pub(super) from: u32,
    /// Major version after.
    pub(super) to: u32,
    /// On 127.0.0.1, kept across restarts.
    pub(super) ports: Ports,
    /// How the engine is reached.
    pub(super) docker: Docker,
    /// The images are those that were built here.
    pub(super) offline: bool,
    /// What runs beside the usual services.
    pub(super) parts: Parts,
    /// The servers there are, and whether they should run.
    pub(super) postgres: BTreeMap<Role, bool>,
    /// Set from the moment when pg_upgrade may change files of the old cluster.
    pub(super) in_place: Option<InPlace>,
    /// Bytes in each log when the rehearsal began.
    pub(super) log_marks: BTreeMap<String, u64>,
    /// By service.
    pub(super) containers: BTreeMap<String, Container>,
    /// By component.
    pub(super) versions: BTreeMap<String, String>,
    /// By component: the image.
    pub(super) builds: BTreeMap<String, Vec<Build>>,
}

/// A container as it was last looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) id: String,
    /// When this start of it began.
    pub(super) started: String,
    /// Its program, where that is a process of this machine.
    pub(super) process: Option<Process>,
}

impl State {
    pub(super) fn new(from: u32, to: u32, ports: Ports, docker: Docker, offline: bool, parts: Parts) -> Self {
        Self {
            schema: state::SCHEMA.into(),
            kind: Kind::Compose,
            generation: 0,
            from,
            to,
            ports,
            docker,
            offline,
            parts,
            postgres: BTreeMap::new(),
            in_place: None,
            log_marks: BTreeMap::new(),
            containers: BTreeMap::new(),
            versions: BTreeMap::new(),
            builds: BTreeMap::new(),
        }
    }

    /// Writes `state.json`, and `compose.env`, which only its owner can read.
    pub(super) fn write(&self, dir: &Path, project: &str, secrets: &Secrets) -> Result<()> {
        write_file(&env_file(dir), &self.env(project, secrets), 0o600)?;
        state::write(dir, self)
    }

    /// Versions, then values for the other variables of `compose.yml`, then what compose itself is told.
    fn env(&self, project: &str, secrets: &Secrets) -> String {
        let ports = &self.ports;
        let files: Vec<String> = self.files().iter().map(|name| format!("{FILES}/{name}")).collect();
        let mut env = vec![
            ("COMPOSE_PROJECT_NAME", project.to_owned()),
            ("COMPOSE_FILE", files.join(":")),
            ("COMPOSE_PROFILES", "*".into()),
            ("CONTAINER_PREFIX", format!("{project}-")),
            ("POSTGRES_OLD", images::postgres_version(self.from).into()),
            ("POSTGRES_NEW", images::postgres_version(self.to).into()),
            ("POSTGRES_PASSWORD", secrets.postgres.clone()),
            ("POSTGRES_PORT", ports.postgres_old.to_string()),
            ("POSTGRES_NEW_PORT", ports.postgres_new.to_string()),
            ("KAFKA_PORT", ports.kafka.to_string()),
            ("CONNECT_PORT", ports.connect.to_string()),
            ("SCHEMA_REGISTRY_PORT", ports.registry.to_string()),
        ];
        if self.in_place.is_some_and(|upgrade| upgrade.done) {
            env.push(("POSTGRES", images::postgres_version(self.to).into()));
            env.push(("POSTGRES_CLUSTER", "new".into()));
        }
        let lines: String = env.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        format!("{}{lines}", images::VERSIONS)
    }

    /// In the order in which they override one another.
    fn files(&self) -> Vec<&'static str> {
        let with = |wanted: bool, name| wanted.then_some(name);
        let zookeeper = self.parts.zookeeper;
        [
            Some("compose.yml"),
            with(zookeeper, "kafka-zookeeper.yml"),
            with(self.offline, "offline.yml"),
            with(zookeeper && self.offline, "offline-zookeeper.yml"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The services that every rehearsal shares; those that need others come later.
    pub(super) fn warm(&self) -> Vec<&'static str> {
        let with = |wanted: bool, name| wanted.then_some(name);
        let all = [
            with(self.parts.zookeeper, "zookeeper"),
            Some("kafka"),
            with(self.parts.registry, "schema-registry"),
            Some("connect"),
        ];
        all.into_iter().flatten().collect()
    }

    /// Confluent's registry, or Apicurio's in its place.
    pub(super) fn registry(&self) -> RegistryEndpoint {
        let (url, inside) =
            (format!("http://127.0.0.1:{}", self.ports.registry), "http://schema-registry:8081");
        if self.offline {
            return apicurio(&url, inside);
        }
        RegistryEndpoint { url, converter: Converter::Confluent(inside.into()) }
    }

    /// The images that this stack needs.
    pub(super) fn images(&self) -> Vec<String> {
        images::needed(self.offline, [self.from, self.to], self.parts)
    }

    /// The image of a server.
    pub(super) fn postgres_image(&self, role: Role) -> String {
        let tag = images::postgres_version(match role {
            Role::Old => self.from,
            Role::New => self.to,
        });
        format!("{}postgres:{tag}", if self.offline { images::OFFLINE } else { "" })
    }
}

/// The file of variables in a stack's folder.
pub(super) fn env_file(dir: &Path) -> PathBuf {
    dir.join("compose.env")
}
