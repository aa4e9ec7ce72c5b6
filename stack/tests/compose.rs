//! The compose files: accepted by `docker compose`, and of the same versions as the native stack.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn versions() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder().join("compose/.env")).expect("stack/compose/.env");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

#[test]
fn both_stacks_have_the_same_versions() {
    let versions = versions();
    let pom = std::fs::read_to_string(folder().join("native/pom.xml")).unwrap();
    let debezium = format!("<debezium.version>{}<", versions["DEBEZIUM"]);
    assert!(pom.contains(&debezium), "{debezium} is not in pom.xml");
    let list = std::fs::read_to_string(folder().join("native/postgresql.list")).unwrap();
    for name in ["POSTGRES_15", "POSTGRES_16", "POSTGRES_17", "POSTGRES_18"] {
        let (version, release) = versions[name].split_once('-').unwrap();
        assert!(list.lines().any(|line| line.split_whitespace().nth(1) == Some(version)), "{name}={version}");
        // Another release has other collations.
        assert_eq!(release, "bookworm", "{name}");
    }
}

/// `docker compose` in the folder of the files; none when it is not here.
fn compose() -> Option<impl Fn(&[&str]) -> Vec<String>> {
    let run = |args: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(args).current_dir(folder().join("compose"));
        command.env_clear().env("POSTGRES_PASSWORD", "x");
        let kept = ["PATH", "HOME", "DOCKER_CONFIG"];
        command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.output()
    };
    if !run(&["version"]).is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: docker compose is not here");
        return None;
    }
    Some(move |args: &[&str]| {
        let out = run(args).expect("docker compose");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
    })
}

/// With ZooKeeper, of the images that were built here.
const WITH_ZOOKEEPER: [&str; 8] =
    ["-f", "compose.yml", "-f", "kafka-zookeeper.yml", "-f", "offline.yml", "-f", "offline-zookeeper.yml"];

#[test]
fn docker_compose_accepts_every_profile() {
    let Some(compose) = compose() else { return };
    let all = ["postgres", "postgres-new", "pg-upgrade", "kafka", "kafka-connect", "schema-registry"];
    for (files, more) in [
        (&["-f", "compose.yml"][..], "data-generator"),
        (&["-f", "compose.yml", "-f", "kafka-zookeeper.yml"], "zookeeper"),
        (&["-f", "compose.yml", "-f", "offline.yml"], "data-generator"),
        (&WITH_ZOOKEEPER, "zookeeper"),
    ] {
        let services = compose(&[files, &["--profile", "*", "config", "--services"]].concat());
        for service in all.iter().chain([&more]) {
            assert!(services.iter().any(|line| line == *service), "{service}, {files:?}: {services:?}");
        }
    }
}

#[test]
fn the_offline_images_are_those_that_are_built() {
    let Some(compose) = compose() else { return };
    let images = |files: &[&str]| compose(&[files, &["--profile", "*", "config", "--images"]].concat());
    let all = [images(&["-f", "compose.yml", "-f", "offline.yml"]), images(&WITH_ZOOKEEPER)].concat();
    let mut named: Vec<String> = all.into_iter().filter(|i| i.starts_with("pg-cdc-offline/")).collect();
    let mut built = stack::images::names([15, 16]);
    named.sort();
    named.dedup();
    built.sort();
    assert_eq!(named, built);
}
