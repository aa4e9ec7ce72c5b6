//! Kafka, Kafka Connect and Debezium: what `native/pom.xml` names, by Maven.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Provision, blocking, short_hash, verify};
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};
use crate::paths::{Paths, create_dir};
use crate::progress::Task;
use crate::state::KafkaTools;

const POM: &str = include_str!("../../native/pom.xml");
/// `sha256  file`, as sha256sum writes it; made by `cargo run -p stack --example pin`.
const SUMS: &str = include_str!("../../native/maven.sha256");

/// The pinned set.
pub(crate) struct Kafka {
    folder: String,
}

impl Kafka {
    /// The set that is part of this crate.
    pub(crate) fn pinned() -> Self {
        Self { folder: format!("kafka-{}-{}", version("kafka"), short_hash(&format!("{POM}{SUMS}"))) }
    }

    /// Its folder in the cache: `libs` and `plugins`.
    pub(crate) fn home(&self, paths: &Paths) -> PathBuf {
        paths.cache.join(&self.folder)
    }

    /// What is in the cache, downloaded first if need be.
    pub(crate) async fn fetch(&self, provision: &Provision<'_>) -> Result<KafkaTools> {
        let home = self.home(provision.paths);
        if !home.exists() {
            self.download(provision, &home).await?;
        }
        Ok(KafkaTools {
            home,
            kafka_version: version("kafka").into(),
            debezium_version: version("debezium").into(),
        })
    }

    async fn download(&self, provision: &Provision<'_>, home: &Path) -> Result<()> {
        let what = format!("downloading Kafka {} and Debezium {}", version("kafka"), version("debezium"));
        let task = Task::start(&what);
        let unfinished = provision.unfinished("kafka")?;
        let (root, pom) = (unfinished.path().join("home"), unfinished.path().join("pom.xml"));
        let (libs, plugins) = (root.join("libs"), root.join("plugins"));
        create_dir(&libs)?;
        create_dir(&plugins)?;
        fs::write(&pom, POM).map_err(Error::io("write", &pom))?;
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
        let folder = libs.clone();
        blocking(move || verify_all(&folder, SUMS)).await?;
        let plugin = libs.join(format!("debezium-connector-postgres-{}-plugin.tar.gz", version("debezium")));
        unfinished
            .command("tar")
            .args(["-xzf"])
            .args([&plugin])
            .args(["--no-same-owner", "-C"])
            .args([&plugins])
            .run("unpacking Debezium", SHORT, &**provision.observer)
            .await?;
        fs::remove_file(&plugin).map_err(Error::io("remove", &plugin))?;
        unfinished.keep(&root, home)?;
        task.done();
        Ok(())
    }
}

/// The value of the property `<name>.version` of the pom.
fn version(name: &str) -> &'static str {
    let open = format!("<{name}.version>");
    POM.split_once(&open).and_then(|(_, rest)| rest.split_once('<')).map_or("unknown", |(version, _)| version)
}

/// A folder holds the files of a list, each with its sum, and no other.
fn verify_all(folder: &Path, list: &str) -> Result<()> {
    let mut expected: BTreeMap<&str, &str> =
        list.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let sum = expected.remove(name.as_str());
        let sum =
            sum.ok_or_else(|| Error::corrupt(&entry.path(), "it is not in the pinned list maven.sha256"))?;
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
        assert_eq!((version("kafka"), version("debezium")), ("4.3.1", "3.6.3.Final"));
        assert!(!POM.contains("://"), "the pom must not name a host");
        assert!(!POM.contains("SNAPSHOT") && !POM.contains("LATEST") && !POM.contains("RELEASE"));
        assert!(SUMS.lines().all(|line| line.split_once("  ").is_some_and(|(sum, _)| sum.len() == 64)));
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
