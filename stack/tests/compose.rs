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
    for name in ["POSTGRES_OLD", "POSTGRES_NEW"] {
        let (version, release) = versions[name].split_once('-').unwrap();
        assert!(list.lines().any(|line| line.split_whitespace().nth(1) == Some(version)), "{name}={version}");
        // Another release has other collations.
        assert_eq!(release, "bookworm", "{name}");
    }
}

#[test]
fn docker_compose_accepts_every_profile() {
    let compose = |args: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(args).current_dir(folder().join("compose"));
        command.env_clear().env("POSTGRES_PASSWORD", "x");
        command.envs(
            std::env::vars_os()
                .filter(|(name, _)| name == "PATH" || name == "HOME" || name == "DOCKER_CONFIG"),
        );
        command.output()
    };
    if !compose(&["version"]).is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: docker compose is not here");
        return;
    }
    let all = ["postgres", "postgres-new", "pg-upgrade", "kafka", "kafka-connect", "schema-registry"];
    for (files, more) in [
        (&["-f", "compose.yml"][..], "data-generator"),
        (&["-f", "compose.yml", "-f", "kafka-zookeeper.yml"], "zookeeper"),
    ] {
        let args = [files, &["--profile", "*", "config", "--services"]].concat();
        let out = compose(&args).unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        let services = String::from_utf8(out.stdout).unwrap();
        for service in all.iter().chain([&more]) {
            assert!(services.lines().any(|line| line == *service), "{service} of {args:?}: {services}");
        }
    }
}
