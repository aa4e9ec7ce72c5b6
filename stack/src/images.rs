//! Images for the compose stack where none can be pulled: a Debian base made by debootstrap, and on it what the
//! native stack was provisioned with. Their entry points take the variables of the official images.

use std::path::{Path, PathBuf};

use crate::backend::Parts;
use crate::command::{Command, DOWNLOAD, SHORT};
use crate::compose::Docker;
use crate::error::{Error, Result};
use crate::observe::{Shared, silent};
use crate::paths::{Paths, is_root};
use crate::progress::Task;
use crate::provision::{Need, Provision, require, short_hash};
use crate::state::Tools;

pub(crate) const VERSIONS: &str = include_str!("../compose/.env");
const RELEASE: &str = "bookworm";
/// Java, and the libraries that PostgreSQL is linked with.
const PACKAGES: &str = "openjdk-17-jre-headless,libicu72,libldap-2.5-0,libpq5,libxml2,libxslt1.1,\
                        libgssapi-krb5-2,libreadline8,libuuid1";
/// What an image was built from.
const LABEL: &str = "pg-cdc.inputs";

/// What is copied beside the programs.
const FILES: [(&str, &str); 7] = [
    ("Dockerfile", include_str!("../compose/offline/Dockerfile")),
    ("settings.sh", include_str!("../compose/offline/settings.sh")),
    ("run-jvm.sh", include_str!("../compose/offline/run-jvm.sh")),
    ("run-kafka.sh", include_str!("../compose/offline/run-kafka.sh")),
    ("run-connect.sh", include_str!("../compose/offline/run-connect.sh")),
    ("run-postgres.sh", include_str!("../compose/offline/run-postgres.sh")),
    ("pg-upgrade.sh", include_str!("../compose/pg-upgrade.sh")),
];

/// An image: its name, its target in the Dockerfile, and a program to try it out with.
struct Image {
    name: String,
    target: &'static str,
    program: &'static str,
}

/// Those that `compose/offline.yml` names.
fn images() -> Vec<Image> {
    let [old, new] = ["POSTGRES_OLD", "POSTGRES_NEW"].map(version);
    let (kafka, debezium) = (version("CONFLUENT"), version("DEBEZIUM"));
    let image = |name: String, target, program| Image { name: format!("{OFFLINE}{name}"), target, program };
    vec![
        image(format!("kafka:{kafka}"), "kafka", "java"),
        image(format!("kafka-connect:{kafka}-{debezium}"), "kafka-connect", "java"),
        image(format!("postgres:{old}"), "postgres-old", "postgres"),
        image(format!("postgres:{new}"), "postgres-new", "postgres"),
        image(format!("pg-upgrade:{old}-{new}"), "pg-upgrade", "pg_upgrade"),
        image("data-generator:1".into(), "data-generator", "data-generator"),
    ]
}

/// Begins the names of images that were built here.
pub(crate) const OFFLINE: &str = "pg-cdc-offline/";

/// What an upgrade with containers needs: Kafka, Kafka Connect, the old and the new PostgreSQL.
pub(crate) fn needed(offline: bool) -> [String; 4] {
    let [old, new, kafka, debezium] = ["POSTGRES_OLD", "POSTGRES_NEW", "CONFLUENT", "DEBEZIUM"].map(version);
    let [of_kafka, of_connect, of_postgres] =
        if offline { [OFFLINE; 3] } else { ["confluentinc/cp-", "pg-cdc/", ""] };
    [
        format!("{of_kafka}kafka:{kafka}"),
        format!("{of_connect}kafka-connect:{kafka}-{debezium}"),
        format!("{of_postgres}postgres:{old}"),
        format!("{of_postgres}postgres:{new}"),
    ]
}

/// The names of the images.
pub fn names() -> Vec<String> {
    images().into_iter().map(|image| image.name).collect()
}

/// Builds those whose inputs have changed, with this data generator; returns their names. `install`: missing
/// system packages may be added.
///
/// # Errors
/// [`Error::Preflight`] when there is no engine, or no root to make a base with; a failed build.
pub async fn build_offline(generator: &Path, install: bool) -> Result<Vec<String>> {
    let (paths, observer) = (Paths::from_env()?, silent());
    let provision = Provision { paths: &paths, install, observer: &observer };
    Docker::find().await?;
    let majors = ["POSTGRES_OLD", "POSTGRES_NEW"].map(|name| major(version(name)));
    let tools = provision.tools(&majors, Parts::default()).await?;
    let base = base(&provision).await?;
    let inputs = inputs(&base, &tools, generator)?;
    let mut outdated = Vec::new();
    for image in images() {
        let format = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
        let ask = docker(&["image", "inspect", "--format", &format, &image.name]);
        let made_from = ask.run("looking for an image", SHORT, &*observer).await.unwrap_or_default();
        if made_from.trim() != inputs {
            outdated.push(image);
        }
    }
    if outdated.is_empty() {
        return Ok(Vec::new());
    }
    let _lock = provision.lock().await?;
    let context = provision.unfinished("images")?;
    fill(context.path(), &tools, generator, majors, &observer).await?;
    let arguments = [format!("BASE={base}"), format!("OLD={}", majors[0]), format!("NEW={}", majors[1])];
    for image in &outdated {
        let task = Task::start(format!("building {}", image.name));
        // The classic builder: it needs no plug-in.
        docker(&["build", "--quiet", "--label", &format!("{LABEL}={inputs}"), "--target", image.target])
            .args(arguments.iter().flat_map(|argument| ["--build-arg", argument]))
            .args(["--tag", &image.name])
            .args([context.path()])
            .env("DOCKER_BUILDKIT", "0")
            .run(&format!("building {}", image.name), DOWNLOAD, &*observer)
            .await?;
        docker(&["run", "--rm", "--network=none", "--entrypoint", image.program, &image.name, "--version"])
            .run(&format!("trying out {}", image.name), SHORT, &*observer)
            .await?;
        task.done();
    }
    Ok(outdated.into_iter().map(|image| image.name).collect())
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

/// What the images are made from, in a few characters.
fn inputs(base: &str, tools: &Tools, generator: &Path) -> Result<String> {
    let generator = artifacts::seal::sha256_file(generator).map_err(|e| Error::corrupt(generator, e))?;
    let programs: Vec<&PathBuf> = tools.postgres.values().map(|tools| &tools.bindir).collect();
    Ok(short_hash(&format!("{base} {FILES:?} {VERSIONS} {:?} {programs:?} {generator}", tools.kafka.home)))
}

/// Fills the folder that the images are built from.
async fn fill(
    context: &Path,
    tools: &Tools,
    generator: &Path,
    majors: [u32; 2],
    observer: &Shared,
) -> Result<()> {
    for (name, text) in FILES {
        std::fs::write(context.join(name), text).map_err(Error::io("write", &context.join(name)))?;
    }
    let copy = async |what: &Path, name: &str| {
        let copy = Command::new("cp").args(["-a"]).args([what, &context.join(name)]);
        copy.run("copying into the images", SHORT, &**observer).await
    };
    copy(&tools.kafka.home, "kafka").await?;
    copy(generator, "data-generator").await?;
    for (name, major) in ["postgres-old", "postgres-new"].into_iter().zip(majors) {
        let bindir = &tools.postgres[&major].bindir;
        let cache = Paths::from_env()?.cache;
        let inside = bindir.strip_prefix(&cache).ok().and_then(|path| {
            let folder = path.iter().next()?;
            Some((cache.join(folder), path.strip_prefix(folder).ok()?))
        });
        let Some((folder, bin)) = inside else {
            return Err(Error::preflight(
                format!("PostgreSQL {major} is that of {}, not the pinned one", bindir.display()),
                format!("unset PG{major}_BINDIR: images are built from the pinned one"),
            ));
        };
        copy(&folder, name).await?;
        let link = context.join(name).join("bin");
        std::os::unix::fs::symlink(bin, &link).map_err(Error::io("link", &link))?;
    }
    Ok(())
}

/// A line of `compose/.env`.
pub(crate) fn version(name: &str) -> &'static str {
    let value = |line: &'static str| line.strip_prefix(name)?.strip_prefix('=');
    VERSIONS.lines().find_map(value).unwrap_or_default()
}

/// `15.18-bookworm` is 15.
pub(crate) fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_version_and_a_target() {
        assert_eq!(major(version("POSTGRES_OLD")), 15);
        for image in images() {
            assert!(!image.name.ends_with([':', '-']), "{}", image.name);
            let target = format!(" AS {}\n", image.target);
            assert!(FILES[0].1.contains(&target), "{}", image.target);
        }
    }
}
