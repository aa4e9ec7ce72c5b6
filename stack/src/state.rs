//! What a stack remembers between commands: `state.json` and `secrets.json` in its folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::run::Build;
use artifacts::snapshot::Role;
use rand::distr::{Alphanumeric, SampleString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::error::{Error, Result};
use crate::options::Kind;
use crate::paths::write_file;
use crate::ports::Ports;

pub(crate) const SCHEMA: &str = "1.0";
const PASSWORD_CHARS: usize = 24;

/// `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Schema version.
    pub(crate) schema: String,
    /// Native.
    pub(crate) kind: Kind,
    /// Counts the rehearsals since the stack was made.
    pub(crate) generation: u64,
    /// Major version before.
    pub(crate) from: u32,
    /// Major version after.
    pub(crate) to: u32,
    /// Kept across restarts.
    pub(crate) ports: Ports,
    /// Locale of both clusters.
    pub(crate) locale: String,
    /// The programs that were provisioned.
    pub(crate) tools: Tools,
    /// The clusters there are, and whether they should run.
    pub(crate) postgres: BTreeMap<Role, bool>,
    /// Set from the moment when pg_upgrade may change files of the old cluster.
    #[serde(default)]
    pub(crate) in_place: Option<InPlace>,
    /// Bytes in each log when the rehearsal began.
    #[serde(default)]
    pub(crate) log_marks: BTreeMap<String, u64>,
}

/// How pg_upgrade brings the files of the old cluster into the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transfer {
    /// They are copied; the old cluster stays as it was.
    Copy,
    /// Both clusters have the same files; the old one must not be started any more.
    Link,
}

impl std::fmt::Display for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Copy => "copy",
            Self::Link => "link",
        })
    }
}

/// An upgrade in place: the new server has the port of the old one, which does not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InPlace {
    pub(crate) transfer: Transfer,
    /// pg_upgrade has ended well.
    pub(crate) done: bool,
}

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tools {
    /// The Java launcher.
    pub(crate) java: Java,
    /// `libs` and `plugins` of Kafka, Kafka Connect and Debezium.
    pub(crate) kafka: KafkaTools,
    /// The broker that runs instead of Kafka's own when ZooKeeper is asked for.
    #[serde(default)]
    pub(crate) zookeeper: Option<ZooKeeperTools>,
    /// The Schema Registry, when events are written as Avro.
    #[serde(default)]
    pub(crate) registry: Option<RegistryTools>,
    /// Folder with a class archive per service: the JVMs start in a third of the time. None when
    /// they could not be made.
    pub(crate) archives: Option<PathBuf>,
    /// By major version.
    pub(crate) postgres: BTreeMap<u32, PostgresTools>,
}

/// A Java runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Java {
    /// Path of `java`.
    pub(crate) program: PathBuf,
    /// `17.0.15`
    pub(crate) version: String,
}

/// Kafka, Kafka Connect and Debezium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KafkaTools {
    /// Folder with `libs` and `plugins`.
    pub(crate) home: PathBuf,
    /// `4.3.1`
    pub(crate) kafka_version: String,
    /// `3.6.3.Final`
    pub(crate) debezium_version: String,
}

/// Kafka of the last line with ZooKeeper, and ZooKeeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ZooKeeperTools {
    /// Folder with `libs`.
    pub(crate) home: PathBuf,
    /// `3.9.1`
    pub(crate) kafka_version: String,
    /// `3.8.4`
    pub(crate) zookeeper_version: String,
}

/// Apicurio's registry and its converter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryTools {
    /// Folder with `server` and `plugins`.
    pub(crate) home: PathBuf,
    /// `2.6.13.Final`
    pub(crate) version: String,
}

/// PostgreSQL of one major version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PostgresTools {
    /// `15.18`
    pub(crate) version: String,
    /// Folder of `postgres`, `initdb`, `pg_dump`.
    pub(crate) bindir: PathBuf,
    /// Folders of private libraries, for `LD_LIBRARY_PATH`.
    pub(crate) library_path: Option<String>,
    /// The files they were taken from.
    #[serde(default)]
    pub(crate) builds: Vec<Build>,
}

impl PostgresTools {
    /// One of the programs, in a clean environment that finds its libraries.
    pub(crate) fn command(&self, program: &str) -> Command {
        let command = Command::new(self.bindir.join(program)).clean();
        self.library_path.iter().fold(command, |command, path| command.env("LD_LIBRARY_PATH", path))
    }
}

impl State {
    /// The path of the file in a stack's folder.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("state.json")
    }

    /// A state that has seen no rehearsal.
    pub(crate) fn new(from: u32, to: u32, ports: Ports, locale: String, tools: Tools) -> Self {
        Self {
            schema: SCHEMA.into(),
            kind: Kind::Native,
            generation: 0,
            from,
            to,
            ports,
            locale,
            tools,
            postgres: BTreeMap::new(),
            in_place: None,
            log_marks: BTreeMap::new(),
        }
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        write(dir, self)
    }

    /// Ports of every stack below a state root but one.
    pub(crate) fn ports_of_others(stacks: &Path, but: &Path) -> Vec<u16> {
        let Ok(entries) = std::fs::read_dir(stacks) else { return Vec::new() };
        let others = entries.flatten().map(|e| e.path()).filter(|path| path != but);
        let ports = |dir: PathBuf| {
            let value: serde_json::Value =
                serde_json::from_slice(&std::fs::read(Self::path(&dir)).ok()?).ok()?;
            serde_json::from_value::<Ports>(value.get("ports")?.clone()).ok()
        };
        others.filter_map(ports).flat_map(|ports| ports.all()).collect()
    }
}

/// The backend whose state a folder holds; none when there is none.
///
/// # Errors
/// As [`read`].
pub(crate) fn kind(dir: &Path) -> Result<Option<Kind>> {
    #[derive(Deserialize)]
    struct Of {
        kind: Kind,
    }
    Ok(read::<Of>(dir)?.map(|of| of.kind))
}

/// Reads what a backend remembers; none when there is nothing.
///
/// # Errors
/// Corrupt, or written by a later, incompatible version of the tool.
pub(crate) fn read<T: DeserializeOwned>(dir: &Path) -> Result<Option<T>> {
    let path = State::path(dir);
    let Some(text) = read_if_there(&path)? else { return Ok(None) };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| Error::corrupt(&path, e))?;
    let schema = value.get("schema").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    if !schema.is_empty() && schema.split('.').next() != SCHEMA.split('.').next() {
        return Err(Error::Refused(format!(
            "{} has schema {schema}, this tool reads {SCHEMA}: use the version of the tool that wrote it, \
             or remove the folder",
            path.display()
        )));
    }
    serde_json::from_value(value).map(Some).map_err(|e| Error::corrupt(&path, e))
}

/// Writes what a backend remembers, whole or not at all.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(dir: &Path, state: &impl Serialize) -> Result<()> {
    let path = State::path(dir);
    let text = serde_json::to_string_pretty(state).map_err(|e| Error::corrupt(&path, e))?;
    write_file(&path, &(text + "\n"), 0o644)
}

/// The passwords of a stack: random, the same for both databases. It has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Of the superuser `postgres`.
    pub postgres: String,
    /// Of the connector's role.
    pub debezium: String,
    /// Of the workload's role.
    pub app_writer: String,
}

impl Secrets {
    pub(crate) fn random() -> Self {
        let password = || Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARS);
        Self { postgres: password(), debezium: password(), app_writer: password() }
    }

    /// All of them, to take them out of texts.
    pub fn all(&self) -> Vec<String> {
        vec![self.postgres.clone(), self.debezium.clone(), self.app_writer.clone()]
    }

    /// Those of a stack; new ones, not yet written, when there are none. None when there were some
    /// that cannot be read: databases and connectors have them.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>> {
        let text = match read_if_there(&dir.join("secrets.json")) {
            Err(Error::Corrupt { .. }) => None,
            text => text?,
        };
        let known = text.and_then(|text| serde_json::from_str(&text).ok());
        Ok(known.or_else(|| (!State::path(dir).exists()).then(Self::random)))
    }

    /// Writes `secrets.json`, and `pgpass` for PostgreSQL's own clients. Both are readable by
    /// their owner only.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join("secrets.json");
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::corrupt(&path, e))?;
        write_file(&path, &(text + "\n"), 0o600)?;
        let users =
            [("postgres", &self.postgres), ("debezium", &self.debezium), ("app_writer", &self.app_writer)];
        let lines = users.map(|(user, password)| format!("127.0.0.1:*:*:{user}:{password}\n"));
        write_file(&pgpass(dir), &lines.concat(), 0o600)
    }
}

/// The password file for PostgreSQL's own clients, so that commands can be pasted as they are.
pub(crate) fn pgpass(dir: &Path) -> PathBuf {
    dir.join("pgpass")
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(Error::corrupt(path, e)),
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_random_kept_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let of = || Secrets::of(dir.path()).unwrap();
        let secrets = of().unwrap();
        assert!(Some(&secrets) != of().as_ref());
        secrets.write(dir.path()).unwrap();
        assert!(Some(&secrets) == of().as_ref());
        let pgpass = std::fs::read_to_string(pgpass(dir.path())).unwrap();
        assert!(pgpass.contains(&format!("127.0.0.1:*:*:debezium:{}\n", secrets.debezium)));
        std::fs::write(dir.path().join("secrets.json"), "{").unwrap();
        assert!(of().is_some(), "nobody has them yet");
        std::fs::write(State::path(dir.path()), "{}").unwrap();
        assert!(of().is_none());
    }

    #[test]
    fn a_torn_state_is_corrupt_and_a_later_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(State::path(dir.path()), text).unwrap();
        assert!(read::<State>(dir.path()).unwrap().is_none());
        write(r#"{"schema": "1.0", "kind"#);
        assert!(matches!(read::<State>(dir.path()), Err(Error::Corrupt { .. })));
        write(r#"{"schema": "2.3"}"#);
        let message = read::<State>(dir.path()).unwrap_err().to_string();
        assert!(message.contains("has schema 2.3, this tool reads 1.0"), "{message}");
    }
}
