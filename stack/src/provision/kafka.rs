//! Kafka, Kafka Connect and Debezium: what `native/pom.xml` names, by Maven. Kafka with ZooKeeper, which
//! `native/zookeeper.pom.xml` names, only when it is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Provision, blocking, short_hash, verify};
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};
use crate::paths::{Paths, create_dir};
use crate::progress::Task;
use crate::state::{KafkaTools, ZooKeeperTools};

const POM: &str = include_str!("../../native/pom.xml");
/// `sha256  file`, as sha256sum writes it; made by `cargo run -p stack --example pin`.
const SUMS: &str = include_str!("../../native/maven.sha256");

const ZOOKEEPER_POM: &str = include_str!("../../native/zookeeper.pom.xml");
const ZOOKEEPER_SUMS: &str = include_str!("../../native/zookeeper.sha256");

/// A pinned set.
#[derive(Clone)]
pub(crate) struct Kafka {
    pom: &'static str,
    sums: &'static str,
    folder: String,
}

impl Kafka {
    /// Kafka (KRaft), Kafka Connect and Debezium.
    pub(crate) fn pinned() -> Self {
        Self::of("kafka", POM, SUMS)
    }

    /// The last line of Kafka that runs with ZooKeeper, and ZooKeeper.
    pub(crate) fn with_zookeeper() -> Self {
        Self::of("kafka-zookeeper", ZOOKEEPER_POM, ZOOKEEPER_SUMS)
    }

    fn of(name: &str, pom: &'static str, sums: &'static str) -> Self {
        let folder = format!("{name}-{}-{}", version(pom, "kafka"), short_hash(&format!("{pom}{sums}")));
        Self { pom, sums, folder }
    }

    /// Its folder in the cache: `libs` and `plugins`.
    pub(crate) fn home(&self, paths: &Paths) -> PathBuf {
        paths.cache.join(&self.folder)
    }

    /// What is in the cache, downloaded first if need be.
    pub(crate) async fn fetch(&self, provision: &Provision<'_>) -> Result<KafkaTools> {
        Ok(KafkaTools {
            home: self.get(provision).await?,
            kafka_version: version(self.pom, "kafka").into(),
            debezium_version: version(self.pom, "debezium").into(),
        })
    }

    /// As [`Kafka::fetch`], of the set with ZooKeeper.
    pub(crate) async fn fetch_zookeeper(&self, provision: &Provision<'_>) -> Result<ZooKeeperTools> {
        Ok(ZooKeeperTools {
            home: self.get(provision).await?,
            kafka_version: version(self.pom, "kafka").into(),
            zookeeper_version: version(self.pom, "zookeeper").into(),
        })
    }

    async fn get(&self, provision: &Provision<'_>) -> Result<PathBuf> {
        let home = self.home(provision.paths);
        if !home.exists() {
            self.download(provision, &home).await?;
        }
        Ok(home)
    }

    async fn download(&self, provision: &Provision<'_>, home: &Path) -> Result<()> {
        let plugin = (self.pom == POM).then(|| version(self.pom, "debezium"));
        let beside = match plugin {
            Some(debezium) => format!("Debezium {debezium}"),
            None => format!("ZooKeeper {}", version(self.pom, "zookeeper")),
        };
        let what = format!("downloading Kafka {} and {beside}", version(self.pom, "kafka"));
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
        if let Some(debezium) = plugin {
            let (archive, plugins) =
                (format!("debezium-connector-postgres-{debezium}-plugin.tar.gz"), root.join("plugins"));
            let archive = libs.join(archive);
            create_dir(&plugins)?;
            unfinished
                .command("tar")
                .args(["-xzf"])
                .args([&archive])
                .args(["--no-same-owner", "-C"])
                .args([&plugins])
                .run("unpacking Debezium", SHORT, &**provision.observer)
                .await?;
            fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
        }
        unfinished.keep(&root, home)?;
        task.done();
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
        for (pom, sums) in [(POM, SUMS), (ZOOKEEPER_POM, ZOOKEEPER_SUMS)] {
            assert!(!pom.contains("://"), "the pom must not name a host");
            assert!(!pom.contains("SNAPSHOT") && !pom.contains("LATEST") && !pom.contains("RELEASE"));
            assert!(sums.lines().all(|line| line.split_once("  ").is_some_and(|(sum, _)| sum.len() == 64)));
        }
        assert!(ZOOKEEPER_SUMS.contains("  zookeeper-3.8.4.jar"));
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
