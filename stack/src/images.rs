//! Images for the compose stack where none can be pulled: a Debian base made by debootstrap, and on it what the
//! native stack was provisioned with. Their entry points take the variables of the official images.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::command::{Command, DOWNLOAD, SHORT};
use crate::compose::Docker;
use crate::error::{Error, Result};
use crate::observe::{Shared, silent};
use crate::options::Parts;
use crate::paths::{Paths, is_root};
use crate::progress::Task;
use crate::provision::{MAJORS, Need, Provision, require, short_hash};
use crate::state::Tools;

pub(crate) const VERSIONS: &str = include_str!("../compose/.env");
const RELEASE: &str = "bookworm";
/// Java, and the libraries that PostgreSQL is linked with.
const PACKAGES: &str = "openjdk-17-jre-headless,libicu72,libldap-2.5-0,libpq5,libxml2,libxslt1.1,\
                        libgssapi-krb5-2,libreadline8,libuuid1";
/// What an image was built from.
const LABEL: &str = "pg-cdc.inputs";

const DOCKERFILE: &str = include_str!("../compose/offline/Dockerfile");
/// What is copied beside the programs.
const FILES: [(&str, &str); 8] = [
    ("settings.sh", include_str!("../compose/offline/settings.sh")),
    ("run-jvm.sh", include_str!("../compose/offline/run-jvm.sh")),
    ("run-kafka.sh", include_str!("../compose/offline/run-kafka.sh")),
    ("run-connect.sh", include_str!("../compose/offline/run-connect.sh")),
    ("run-zookeeper.sh", include_str!("../compose/offline/run-zookeeper.sh")),
    ("run-registry.sh", include_str!("../compose/offline/run-registry.sh")),
    ("run-postgres.sh", include_str!("../compose/offline/run-postgres.sh")),
    ("pg-upgrade.sh", include_str!("../compose/pg-upgrade.sh")),
];

/// Programs that images are made of: the name of their folder, or file, beside the Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Kafka,
    ZooKeeper,
    Registry,
    /// Of a major version.
    Postgres(u32),
    Generator,
}

/// An image: its name, its target in the Dockerfile, a program to try it out with, and what it is made of.
struct Image {
    name: String,
    target: &'static str,
    program: &'static str,
    parts: Vec<Part>,
}

impl Image {
    /// Major versions of PostgreSQL, as the Dockerfile calls them.
    fn arguments(&self) -> Vec<String> {
        let majors = self.parts.iter().filter_map(|part| match part {
            Part::Postgres(major) => Some(major),
            _ => None,
        });
        majors.zip(["MAJOR", "OLD"]).map(|(major, name)| format!("{name}={major}")).collect()
    }

    /// Of its program; its tag says the rest.
    fn version(&self, tools: &Tools) -> String {
        let of_zookeeper = tools.zookeeper.as_ref();
        let version = match self.target {
            "kafka" | "kafka-connect" => Some(&tools.kafka.kafka_version),
            "kafka-of-zookeeper" => of_zookeeper.map(|tools| &tools.kafka_version),
            "zookeeper" => of_zookeeper.map(|tools| &tools.zookeeper_version),
            "schema-registry" => tools.registry.as_ref().map(|tools| &tools.version),
            _ => None,
        };
        version.cloned().unwrap_or_default()
    }
}

/// Those that `compose/offline.yml` and `compose/offline-zookeeper.yml` name, for an upgrade between two major
/// versions.
fn images([from, to]: [u32; 2]) -> Vec<Image> {
    let [old, new] = [from, to].map(postgres_version);
    let [kafka, debezium, zookeeper] = ["CONFLUENT", "DEBEZIUM", "CONFLUENT_ZOOKEEPER"].map(version);
    let image = |name: String, target, program, parts: &[Part]| Image {
        name: format!("{OFFLINE}{name}"),
        target,
        program,
        parts: parts.to_vec(),
    };
    use Part::{Generator, Kafka, Postgres, Registry, ZooKeeper};
    vec![
        image(format!("kafka:{kafka}"), "kafka", "java", &[Kafka]),
        image(format!("kafka-connect:{kafka}-{debezium}"), "kafka-connect", "java", &[Kafka, Registry]),
        image(format!("postgres:{old}"), "postgres", "postgres", &[Postgres(from)]),
        image(format!("postgres:{new}"), "postgres", "postgres", &[Postgres(to)]),
        image(format!("pg-upgrade:{old}-{new}"), "pg-upgrade", "pg_upgrade", &[Postgres(to), Postgres(from)]),
        image(format!("schema-registry:{kafka}"), "schema-registry", "java", &[Registry]),
        image(format!("kafka:{zookeeper}"), "kafka-of-zookeeper", "java", &[ZooKeeper]),
        image(format!("zookeeper:{zookeeper}"), "zookeeper", "java", &[ZooKeeper]),
        image("data-generator:1".into(), "data-generator", "data-generator", &[Generator]),
    ]
}

/// Begins the names of images that were built here.
pub(crate) const OFFLINE: &str = "pg-cdc-offline/";

/// Says which version of its program an image has.
pub(crate) const VERSION: &str = "pg-cdc.version";

/// What an upgrade with containers needs: Kafka, Kafka Connect, the old and the new PostgreSQL; the Schema
/// Registry, ZooKeeper; pg_upgrade.
pub(crate) fn needed(offline: bool, majors: [u32; 2], parts: Parts) -> Vec<String> {
    let [old, new] = majors.map(postgres_version);
    let [kafka, debezium, zookeeper] = ["CONFLUENT", "DEBEZIUM", "CONFLUENT_ZOOKEEPER"].map(version);
    let [official, ours, postgres] = if offline { [OFFLINE; 3] } else { ["confluentinc/cp-", "pg-cdc/", ""] };
    let broker = if parts.zookeeper { zookeeper } else { kafka };
    let mut images = vec![
        format!("{official}kafka:{broker}"),
        format!("{ours}kafka-connect:{kafka}-{debezium}"),
        format!("{postgres}postgres:{old}"),
        format!("{postgres}postgres:{new}"),
    ];
    images.extend(parts.registry.then(|| format!("{official}schema-registry:{kafka}")));
    images.extend(parts.zookeeper.then(|| format!("{official}zookeeper:{zookeeper}")));
    images.push(format!("{ours}pg-upgrade:{old}-{new}"));
    images
}

/// The command that builds the images for an upgrade between two major versions.
pub(crate) fn build(from: u32, to: u32) -> String {
    let usual = (from, to) == (MAJORS[0], MAJORS[1]);
    let pair = if usual { String::new() } else { format!(" --from {from} --to {to}") };
    format!("cargo xtask images --offline{pair}")
}

/// The names of the images for an upgrade between two major versions.
pub fn names(majors: [u32; 2]) -> Vec<String> {
    images(majors).into_iter().map(|image| image.name).collect()
}

/// Builds those for an upgrade between two major versions whose inputs have changed, with this data generator;
/// returns their names. `install`: missing system packages may be added.
///
/// # Errors
/// [`Error::Preflight`] when there is no engine, or no root to make a base with; a failed build.
pub async fn build_offline(majors: [u32; 2], generator: &Path, install: bool) -> Result<Vec<String>> {
    let (paths, observer) = (Paths::from_env()?, silent());
    let provision = Provision { paths: &paths, install, observer: &observer };
    Docker::find().await?;
    let tools = provision.tools(&majors, Parts { zookeeper: true, registry: true }).await?;
    let base = base(&provision).await?;
    let sources = Sources::of(&tools, generator, majors)?;
    let mut outdated = Vec::new();
    for image in images(majors) {
        let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
        let ask = docker(&["image", "inspect", "--format", &format, &image.name]);
        let made_from = ask.run("looking for an image", SHORT, &*observer).await.unwrap_or_default();
        let inputs = sources.hash(&base, &image)?;
        if made_from.trim() != inputs {
            outdated.push((image, inputs));
        }
    }
    if outdated.is_empty() {
        return Ok(Vec::new());
    }
    let _lock = provision.lock().await?;
    let context = provision.unfinished("images")?;
    let parts: BTreeSet<Part> = outdated.iter().flat_map(|(image, _)| &image.parts).copied().collect();
    sources.fill(context.path(), &parts, &observer).await?;
    for (image, inputs) in &outdated {
        let task = Task::start(format!("building {}", image.name));
        let file = context.path().join(format!("{}.Dockerfile", image.target));
        std::fs::write(&file, stages(image.target)).map_err(Error::io("write", &file))?;
        // The classic builder: it needs no plug-in.
        docker(&["build", "--quiet", "--label", &format!("{LABEL}={inputs}"), "--target", image.target])
            .args(["--label", &format!("{VERSION}={}", image.version(&tools))])
            .args(["--build-arg", &format!("BASE={base}")])
            .args(image.arguments().iter().flat_map(|argument| ["--build-arg", argument]))
            .args(["--tag", &image.name, "--file"])
            .args([&file, context.path()])
            .env("DOCKER_BUILDKIT", "0")
            .run(&format!("building {}", image.name), DOWNLOAD, &*observer)
            .await?;
        docker(&["run", "--rm", "--network=none", "--entrypoint", image.program, &image.name, "--version"])
            .run(&format!("trying out {}", image.name), SHORT, &*observer)
            .await?;
        task.done();
    }
    // Those that had the names before.
    let old = ["image", "prune", "--force", "--filter", &format!("label={LABEL}")];
    docker(&old).run("removing outdated images", SHORT, &*observer).await?;
    Ok(outdated.into_iter().map(|(image, _)| image.name).collect())
}

fn docker(args: &[&str]) -> Command {
    Command::new("docker").args(args)
}

/// The image of the base, made when it is not there.
async fn base(provision: &Provision<'_>) -> Result<String> {
    let name = format!("{OFFLINE}base:{RELEASE}-{}", short_hash(PACKAGES));
    let observer = &**provision.observer;
    if docker(&["image", "inspect", &name]).run("looking for the base", SHORT, observer).await.is_ok() {
        return Ok(name);
    }
    if !is_root() {
        let found = "a base image is made by debootstrap, which needs root";
        return Err(Error::preflight(found, "repeat as root: cargo xtask images --offline"));
    }
    require(&[Need::Debootstrap], provision.install, provision.observer).await?;
    let _lock = provision.lock().await?;
    let task = Task::start(format!("making a base image of Debian {RELEASE}"));
    let unfinished = provision.unfinished("base")?;
    let (root, archive) = (unfinished.path().join("root"), unfinished.path().join("base.tar"));
    // What debootstrap mounts is gone with its name space, however it ends.
    unfinished
        .command("unshare")
        .args(["--mount", "debootstrap", "--variant=minbase", &format!("--include={PACKAGES}"), RELEASE])
        .args([&root])
        .run("debootstrap", DOWNLOAD, observer)
        .await?;
    let tar =
        unfinished.command("tar").args(["--exclude=./var/cache/apt/archives/*.deb", "-C"]).args([&root]);
    tar.args(["-cf"]).args([&archive]).args(["."]).run("packing the base", SHORT, observer).await?;
    docker(&["import"]).args([&archive]).args([&name]).run("importing the base", SHORT, observer).await?;
    task.done();
    Ok(name)
}

/// The stages of the Dockerfile that a target is made of: the classic builder runs all that come before it.
fn stages(target: &str) -> String {
    let (head, rest) = DOCKERFILE.split_once("\nFROM ").unwrap_or((DOCKERFILE, ""));
    let stages: Vec<&str> = rest.split("\nFROM ").collect();
    let (mut wanted, mut text) = (target, String::new());
    while let Some((from, stage)) = stages.iter().find_map(|stage| {
        let (base, named) = stage.split_once(" AS ")?;
        (named.lines().next() == Some(wanted)).then_some((base, stage))
    }) {
        text = format!("\nFROM {stage}{text}");
        wanted = from;
    }
    format!("{head}{text}\n")
}

/// Where the parts are on this machine.
struct Sources(BTreeMap<Part, PathBuf>);

impl Sources {
    fn of(tools: &Tools, generator: &Path, majors: [u32; 2]) -> Result<Self> {
        let mut sources = BTreeMap::from([
            (Part::Kafka, tools.kafka.home.clone()),
            (Part::Generator, generator.to_owned()),
        ]);
        for major in majors {
            sources.insert(Part::Postgres(major), postgres(tools, major)?);
        }
        sources.extend(tools.zookeeper.iter().map(|tools| (Part::ZooKeeper, tools.home.clone())));
        sources.extend(tools.registry.iter().map(|tools| (Part::Registry, tools.home.clone())));
        Ok(Self(sources))
    }

    /// What an image is made from, in a few characters. Names of folders say what is in them.
    fn hash(&self, base: &str, image: &Image) -> Result<String> {
        let mut made_from = format!("{base} {} {FILES:?}", stages(image.target));
        for part in &image.parts {
            let path = self.path(*part);
            made_from += &match part {
                Part::Generator => {
                    artifacts::seal::sha256_file(&path).map_err(|e| Error::corrupt(&path, e))?
                }
                _ => path.display().to_string(),
            };
        }
        Ok(short_hash(&made_from))
    }

    fn path(&self, part: Part) -> PathBuf {
        self.0.get(&part).cloned().unwrap_or_default()
    }

    /// Fills the folder that the images are built from.
    async fn fill(&self, context: &Path, parts: &BTreeSet<Part>, observer: &Shared) -> Result<()> {
        for (name, text) in FILES {
            std::fs::write(context.join(name), text).map_err(Error::io("write", &context.join(name)))?;
        }
        for part in parts {
            let (path, name) = (self.path(*part), part.name());
            // The folder of the programs of a PostgreSQL is somewhere in what was unpacked.
            let (folder, bin) = match part {
                Part::Postgres(_) => unpacked(&path)?,
                _ => (path, None),
            };
            let copy = Command::new("cp").args(["-a"]).args([&folder, &context.join(&name)]);
            copy.run("copying into the images", SHORT, &**observer).await?;
            if let Some(bin) = bin {
                let link = context.join(name).join("bin");
                std::os::unix::fs::symlink(bin, &link).map_err(Error::io("link", &link))?;
            }
        }
        Ok(())
    }
}

impl Part {
    /// As the Dockerfile calls it.
    fn name(self) -> String {
        match self {
            Self::Kafka => "kafka".into(),
            Self::ZooKeeper => "zookeeper".into(),
            Self::Registry => "registry".into(),
            Self::Postgres(major) => format!("postgres-{major}"),
            Self::Generator => "data-generator".into(),
        }
    }
}

/// The folder of a version's programs, which has to be one of the cache.
fn postgres(tools: &Tools, major: u32) -> Result<PathBuf> {
    let bindir = &tools.postgres[&major].bindir;
    let pinned = || {
        Error::preflight(
            format!("PostgreSQL {major} is that of {}, not the pinned one", bindir.display()),
            format!("unset PG{major}_BINDIR: images are built from the pinned one"),
        )
    };
    unpacked(bindir).map_err(|_| pinned())?;
    Ok(bindir.clone())
}

/// The folder of the cache that a folder of programs is in, and its path there.
fn unpacked(bindir: &Path) -> Result<(PathBuf, Option<PathBuf>)> {
    let cache = Paths::from_env()?.cache;
    let inside = bindir.strip_prefix(&cache).ok().and_then(|path| {
        let folder = path.iter().next()?;
        Some((cache.join(folder), path.strip_prefix(folder).ok()?.to_owned()))
    });
    let (folder, bin) =
        inside.ok_or_else(|| Error::Refused(format!("{} is not in the cache", bindir.display())))?;
    Ok((folder, Some(bin)))
}

/// A line of `compose/.env`.
pub(crate) fn version(name: &str) -> &'static str {
    let value = |line: &'static str| line.strip_prefix(name)?.strip_prefix('=');
    VERSIONS.lines().find_map(value).unwrap_or_default()
}

/// The tag of the images of a major version.
pub(crate) fn postgres_version(major: u32) -> &'static str {
    version(&format!("POSTGRES_{major}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_made_of_its_own_stages() {
        let generator = stages("data-generator");
        assert!(generator.starts_with("# ") && generator.contains("\nARG BASE\n"), "{generator}");
        assert_eq!(generator.matches("FROM ").count(), 1);
        let upgrade = stages("pg-upgrade");
        assert!(upgrade.find("AS postgres\n").unwrap() < upgrade.find("AS pg-upgrade").unwrap());
        assert_eq!(upgrade.matches("FROM ").count(), 2);
    }

    #[test]
    fn every_image_has_a_version_and_a_target() {
        let pairs = [[15, 16], [16, 17], [17, 18]];
        for image in pairs.into_iter().flat_map(images) {
            assert!(!image.name.ends_with([':', '-']) && !image.name.contains(":-"), "{}", image.name);
            let target = format!(" AS {}\n", image.target);
            let stages = stages(image.target);
            assert!(stages.contains(&target) && stages.contains("FROM ${BASE} AS"), "{stages}");
        }
    }
}
