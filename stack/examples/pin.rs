//! Writes `native/maven.sha256`, `native/zookeeper.sha256` and `native/registry.sha256` anew: every file that
//! `native/pom.xml`, `native/zookeeper.pom.xml` and `native/registry.pom.xml` lead to, with its sum.
//!
//! `cargo run -p stack --example pin`, after a change of the pom; then read the difference.
//! The sums of `native/postgresql.list` are changed by hand: a wrong one is refused with the right
//! one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use artifacts::seal::sha256_file;

fn main() -> anyhow::Result<()> {
    pin("pom.xml", "maven.sha256")?;
    pin("zookeeper.pom.xml", "zookeeper.sha256")?;
    pin("registry.pom.xml", "registry.sha256")
}

fn pin(pom: &str, list: &str) -> anyhow::Result<()> {
    let native = Path::new(env!("CARGO_MANIFEST_DIR")).join("native");
    let dir = tempfile::tempdir()?;
    let libs = dir.path().join("libs");
    let status = Command::new("mvn")
        .args(["-B", "-ntp", "-C", "-f"])
        .arg(native.join(pom))
        .arg(format!("-Dmaven.repo.local={}", dir.path().join("repository").display()))
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", libs.display()))
        .status()
        .context("cannot start mvn")?;
    ensure!(status.success(), "mvn failed with {status}");
    let mut files: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&libs)? {
        files.push(entry?.file_name().to_string_lossy().into_owned());
    }
    files.sort_unstable();
    let lines = files.iter().map(|name| Ok(format!("{}  {name}\n", sha256_file(&libs.join(name))?)));
    let text = lines.collect::<anyhow::Result<String>>()?;
    let list = native.join(list);
    std::fs::write(&list, text).with_context(|| format!("cannot write {}", list.display()))
}
