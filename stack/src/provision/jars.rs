//! Kafka, Kafka Connect and Debezium: what `native/pom.xml` names, by Maven. Kafka with ZooKeeper, which
//! `native/zookeeper.pom.xml` names, and the Schema Registry with its converter, which
//! `native/registry.pom.xml` names, only when they are asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Provision, Unfinished, blocking, short_hash, verify};
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};
use crate::paths::{Paths, create_dir};
use crate::progress::Task;
use crate::state::{KafkaTools, RegistryTools, ZooKeeperTools};

const POM: &str = include_str!("../../native/pom.xml");
/// `sha256  file`, as sha256sum writes it; made by `cargo run -p stack --example pin`.
const SUMS: &str = include_str!("../../native/maven.sha256");

const ZOOKEEPER_POM: &str = include_str!("../../native/zookeeper.pom.xml");
const ZOOKEEPER_SUMS: &str = include_str!("../../native/zookeeper.sha256");

const REGISTRY_POM: &str = include_str!("../../native/registry.pom.xml");
const REGISTRY_SUMS: &str = include_str!("../../native/registry.sha256");

/// A pinned set of jars.
#[derive(Clone)]
pub(crate) struct Jars {
    pom: &'static str,
    sums: &'static str,
    folder: String,
    /// For who waits: `Kafka 4.3.1 and Debezium 3.6.3.Final`.
    what: String,
}

impl Jars {
    /// Kafka (KRaft), Kafka Connect and Debezium.
    pub(crate) fn kafka() -> Self {
        let what = format!("Kafka {} and Debezium {}", version(POM, "kafka"), version(POM, "debezium"));
        Self::of("kafka", version(POM, "kafka"), POM, SUMS, what)
    }

    /// The last line of Kafka that runs with ZooKeeper, and ZooKeeper.
    pub(crate) fn zookeeper() -> Self {
        let (kafka, zookeeper) = (version(ZOOKEEPER_POM, "kafka"), version(ZOOKEEPER_POM, "zookeeper"));
        let what = format!("Kafka {kafka} and ZooKeeper {zookeeper}");
        Self::of("kafka-zookeeper", kafka, ZOOKEEPER_POM, ZOOKEEPER_SUMS, what)
    }

    /// The Schema Registry, and the converter that Kafka Connect writes Avro with.
    pub(crate) fn registry() -> Self {
        let registry = version(REGISTRY_POM, "registry");
        let what = format!("Apicurio Registry {registry} and its converter");
        Self::of("schema-registry", registry, REGISTRY_POM, REGISTRY_SUMS, what)
    }

    fn of(name: &str, version: &str, pom: &'static str, sums: &'static str, what: String) -> Self {
        let folder = format!("{name}-{version}-{}", short_hash(&format!("{pom}{sums}")));
        Self { pom, sums, folder, what }
    }

    /// Its folder in the cache.
    pub(crate) fn home(&self, paths: &Paths) -> PathBuf {
        paths.cache.join(&self.folder)
    }

    /// What is in the cache, downloaded first if need be.
    pub(crate) async fn fetch_kafka(&self, provision: &Provision<'_>) -> Result<KafkaTools> {
        Ok(KafkaTools {
            home: self.get(provision).await?,
            kafka_version: version(self.pom, "kafka").into(),
            debezium_version: version(self.pom, "debezium").into(),
        })
    }

    /// As [`Jars::fetch_kafka`], of the set with ZooKeeper.
    pub(crate) async fn fetch_zookeeper(&self, provision: &Provision<'_>) -> Result<ZooKeeperTools> {
        Ok(ZooKeeperTools {
            home: self.get(provision).await?,
            kafka_version: version(self.pom, "kafka").into(),
            zookeeper_version: version(self.pom, "zookeeper").into(),
        })
    }

    /// As [`Jars::fetch_kafka`], of the set of the registry.
    pub(crate) async fn fetch_registry(&self, provision: &Provision<'_>) -> Result<RegistryTools> {
        let version = version(self.pom, "registry").into();
        Ok(RegistryTools { home: self.get(provision).await?, version })
    }

    async fn get(&self, provision: &Provision<'_>) -> Result<PathBuf> {
        let home = self.home(provision.paths);
        if !home.exists() {
            self.download(provision, &home).await?;
        }
        Ok(home)
    }

    async fn download(&self, provision: &Provision<'_>, home: &Path) -> Result<()> {
        let what = format!("downloading {}", self.what);
        let task = Task::start(&what);
        let unfinished = provision.unfinished(&self.folder)?;
        let (root, pom) = (unfinished.path().join("home"), unfinished.path().join("pom.xml"));
        let libs = root.join("libs");
        create_dir(&libs)?;
        fs::write(&pom, self.pom).map_err(Error::io("write", &pom))?;
        let repository = provision.paths.cache.join("maven");
        unfinished
            .command("mvn")
            .args(["-B", "-ntp", "-C", "-f"])
            .args([&pom])
            .args([format!("-Dmaven.repo.local={}", repository.display())])
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .args([format!("-DoutputDirectory={}", libs.display())])
            .run(&what, DOWNLOAD, &**provision.observer)
            .await?;
        let (folder, sums) = (libs.clone(), self.sums);
        blocking(move || verify_all(&folder, sums)).await?;
        self.unpack(provision, &unfinished, &root, &libs).await?;
        unfinished.keep(&root, home)?;
        task.done();
        Ok(())
    }

    /// Kafka: Debezium into `plugins`. Registry: the server into `server`, the other jars, which are those of
    /// the converter, into `plugins`.
    async fn unpack(
        &self,
        provision: &Provision<'_>,
        unfinished: &Unfinished,
        root: &Path,
        libs: &Path,
    ) -> Result<()> {
        let plugins = root.join("plugins");
        let (archive, to) = if self.pom == POM {
            let debezium = version(POM, "debezium");
            (format!("debezium-connector-postgres-{debezium}-plugin.tar.gz"), plugins.clone())
        } else if self.pom == REGISTRY_POM {
            let registry = version(REGISTRY_POM, "registry");
            (format!("apicurio-registry-app-{registry}-all.tar.gz"), root.join("server"))
        } else {
            return Ok(());
        };
        let archive = libs.join(archive);
        create_dir(&to)?;
        unfinished
            .command("tar")
            .args(["-xzf"])
            .args([&archive])
            .args(["--no-same-owner", "-C"])
            .args([&to])
            .run(&format!("unpacking {}", archive.display()), SHORT, &**provision.observer)
            .await?;
        fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
        if self.pom == REGISTRY_POM {
            create_dir(&plugins)?;
            let converter = plugins.join("apicurio-converter");
            fs::rename(libs, &converter).map_err(Error::io("move", libs))?;
        }
        Ok(())
    }
}

/// The value of the property `<name>.version` of a pom.
fn version(pom: &'static str, name: &str) -> &'static str {
    let open = format!("<{name}.version>");
    pom.split_once(&open).and_then(|(_, rest)| rest.split_once('<')).map_or("unknown", |(version, _)| version)
}

/// A folder holds the files of a list, each with its sum, and no other.
fn verify_all(folder: &Path, list: &str) -> Result<()> {
    let mut expected: BTreeMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let sum = expected.remove(name.as_str());
        let sum = sum.ok_or_else(|| Error::corrupt(&entry.path(), "it is not in the pinned list"))?;
        verify(&entry.path(), sum)?;
    }
    match expected.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::corrupt(folder, format!("{name} of the pinned list is not there"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_pins_everything_and_names_no_place() {
        assert_eq!((version(POM, "kafka"), version(POM, "debezium")), ("4.3.1", "3.6.3.Final"));
        let of_zookeeper = (version(ZOOKEEPER_POM, "kafka"), version(ZOOKEEPER_POM, "zookeeper"));
        assert_eq!(of_zookeeper, ("3.9.1", "3.8.4"));
        assert_eq!(version(REGISTRY_POM, "registry"), "2.6.13.Final");
        for (pom, sums) in [(POM, SUMS), (ZOOKEEPER_POM, ZOOKEEPER_SUMS), (REGISTRY_POM, REGISTRY_SUMS)] {
            assert!(!pom.contains("://"), "the pom must not name a host");
            assert!(!pom.contains("SNAPSHOT") && !pom.contains("LATEST") && !pom.contains("RELEASE"));
            assert!(sums.lines().all(|line| line.split_once("  ").is_some_and(|(sum, _)| sum.len() == 64)));
        }
        assert!(ZOOKEEPER_SUMS.contains("  zookeeper-3.8.4.jar"));
        assert!(REGISTRY_SUMS.contains("  apicurio-registry-app-2.6.13.Final-all.tar.gz"));
        assert!(
            SUMS.contains("  kafka_2.13-4.3.1.jar")
                && SUMS.contains("debezium-connector-postgres-3.6.3.Final")
        );
    }

    #[test]
    fn a_folder_must_hold_the_list_and_nothing_else() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let dir = tempfile::tempdir().unwrap();
        let list = format!("{EMPTY}  a.jar\n{EMPTY}  b.jar\n");
        fs::write(dir.path().join("a.jar"), "").unwrap();
        let missing = verify_all(dir.path(), &list).unwrap_err().to_string();
        assert!(missing.contains("b.jar of the pinned list is not there"), "{missing}");
        fs::write(dir.path().join("b.jar"), "").unwrap();
        verify_all(dir.path(), &list).unwrap();
        fs::write(dir.path().join("c.jar"), "").unwrap();
        assert!(verify_all(dir.path(), &list).unwrap_err().to_string().contains("not in the pinned list"));
    }
}
