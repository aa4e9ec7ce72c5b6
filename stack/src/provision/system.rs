//! What must be there before: disk, `/proc`, Java, and the clients of the package registries.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::command::{Command, DOWNLOAD, find_program, is_program};
use crate::error::{Error, Result};
use crate::observe::Shared;
use crate::paths::is_root;
use crate::progress::Task;
use crate::state::Java;

const JAVA_MAJOR: u32 = 17;
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=120";

/// A program that is needed from the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Java 17 or later, to run Kafka and Kafka Connect.
    Java,
    /// To download Kafka and Debezium.
    Maven,
    /// Python's pip, to download PostgreSQL builds.
    Pip,
    /// apt-get and dpkg-deb, to download and unpack PostgreSQL builds.
    Apt,
    /// To make a base for images.
    Debootstrap,
    /// To look at reports.
    Chromium,
    /// To drive Chromium.
    Node,
    /// To download what drives it.
    Npm,
}

impl Need {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Java => "Java 17 or later",
            Self::Maven => "Maven",
            Self::Pip => "pip for Python 3",
            Self::Apt => "apt-get and dpkg-deb",
            Self::Debootstrap => "debootstrap",
            Self::Chromium => "Chromium",
            Self::Node => "Node.js",
            Self::Npm => "npm",
        }
    }

    /// The Debian package that brings it.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Java => Some("default-jre-headless"),
            Self::Maven => Some("maven"),
            Self::Pip => Some("python3-pip"),
            Self::Apt => None,
            Self::Debootstrap => Some("debootstrap"),
            Self::Chromium => Some("chromium"),
            Self::Node => Some("nodejs"),
            Self::Npm => Some("npm"),
        }
    }

    /// What is there: a path or a version.
    pub(crate) fn found(self) -> Option<String> {
        let program = |name| find_program(name).map(|path| path.display().to_string());
        match self {
            Self::Java => {
                find_java().ok().map(|java| format!("{} ({})", java.version, java.program.display()))
            }
            Self::Maven => program("mvn"),
            Self::Pip => {
                let python = program("python3")?;
                let pip = std::process::Command::new(&python)
                    .args(["-m", "pip", "--version"])
                    .stdin(Stdio::null())
                    .output()
                    .ok()
                    .filter(|out| out.status.success())?;
                String::from_utf8_lossy(&pip.stdout).split(" from").next().map(str::to_owned)
            }
            Self::Apt => program("dpkg-deb").and(program("apt-get")),
            Self::Debootstrap => program("debootstrap"),
            Self::Chromium => program("chromium"),
            Self::Node => program("node"),
            Self::Npm => program("npm"),
        }
    }
}

/// The one command that adds what is missing.
pub(crate) fn remedy(missing: &[Need]) -> String {
    let packages: Vec<&str> = missing.iter().filter_map(|need| need.package()).collect();
    if missing.contains(&Need::Apt) {
        return "use Debian or set PG15_BINDIR to the bin folder of a PostgreSQL 15".into();
    }
    if find_program("apt-get").is_none() {
        return format!("install {}", missing.iter().map(|n| n.name()).collect::<Vec<_>>().join(", "));
    }
    let sudo = if is_root() { "" } else { "sudo " };
    format!("run: {sudo}apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Whether apt-get can add what is missing here.
pub(crate) fn available() -> bool {
    is_root() && find_program("apt-get").is_some()
}

/// Makes sure that all of it is there, adding packages where that is allowed.
///
/// # Errors
/// [`Error::Preflight`] with the one command to run.
pub(crate) async fn prepare(needs: &[Need], install: bool, observer: &Shared) -> Result<Java> {
    let java = find_java();
    if let (Ok(java), true) = (&java, needs.iter().all(|need| *need == Need::Java)) {
        return Ok(java.clone());
    }
    let lacks = |need: &Need| if *need == Need::Java { java.is_err() } else { need.found().is_none() };
    let missing: Vec<Need> = needs.iter().copied().filter(lacks).collect();
    if missing.is_empty() {
        return java;
    }
    add(missing, install, observer).await?;
    find_java()
}

/// Makes sure that all of it is there, Java apart.
///
/// # Errors
/// As [`prepare`].
pub(crate) async fn require(needs: &[Need], install: bool, observer: &Shared) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| need.found().is_none()).collect();
    if missing.is_empty() { Ok(()) } else { add(missing, install, observer).await }
}

/// Adds what is missing, where that is allowed.
async fn add(mut missing: Vec<Need>, install: bool, observer: &Shared) -> Result<()> {
    missing.sort_unstable();
    missing.dedup();
    if !install || !available() || missing.contains(&Need::Apt) {
        let names = missing.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ");
        return Err(Error::preflight(format!("{names} not found"), remedy(&missing)));
    }
    let packages: Vec<&str> = missing.iter().filter_map(|need| need.package()).collect();
    add_packages(&packages, observer).await
}

/// Adds system packages; nothing is ever upgraded, downgraded or removed. A run of apt-get that is
/// cut off leaves packages half installed, so each one ends by itself.
async fn add_packages(packages: &[&str], observer: &Shared) -> Result<()> {
    let task = Task::start(format!("adding system packages: {}", packages.join(" ")));
    let apt = |args: &[&str]| {
        let options = ["-q", "-o", LOCK_TIMEOUT, "-o", "Dpkg::Use-Pty=0"];
        Command::new("apt-get")
            .args(options)
            .args(args)
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .undisturbed()
    };
    let simulate = apt(&["install", "-s", "--no-install-recommends"]);
    let plan = match simulate.run("simulating the installation", DOWNLOAD, &**observer).await {
        Ok(plan) => plan,
        Err(_) => {
            let update = Command::new("apt-get").args(["-q", "-o", LOCK_TIMEOUT, "update"]);
            update.undisturbed().run("reading the package lists", DOWNLOAD, &**observer).await?;
            simulate.run("simulating the installation", DOWNLOAD, &**observer).await?
        }
    };
    let changes = changes_of_installed(&plan);
    if !changes.is_empty() {
        return Err(Error::preflight(
            format!(
                "adding {} would change installed packages ({})",
                packages.join(", "),
                changes.join(", ")
            ),
            "decide yourself and run: apt-get install --no-install-recommends ".to_owned()
                + &packages.join(" "),
        ));
    }
    apt(&["install", "-y", "--no-install-recommends", "--no-remove"])
        .run("adding system packages", DOWNLOAD, &**observer)
        .await?;
    task.done();
    Ok(())
}

/// What a simulated installation would do to packages that are there: lines `Remv name`, and
/// `Inst name [old version] (new version ...)`.
fn changes_of_installed(plan: &str) -> Vec<String> {
    plan.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            match (words.next()?, words.next()?, words.next()) {
                ("Remv", name, _) => Some(format!("{name} removed")),
                ("Inst", name, Some(version)) if version.starts_with('[') => Some(format!("{name} replaced")),
                _ => None,
            }
        })
        .collect()
}

/// The first Java that is recent enough: `JAVA_HOME`, `PATH`, then the usual folder.
///
/// # Errors
/// [`Error::Preflight`] with the one command to run.
pub(crate) fn find_java() -> Result<Java> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let usual =
        std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten().map(|e| e.path().join("bin/java"));
    let candidates =
        home.into_iter().chain(find_program("java")).chain(usual).filter(|file| is_program(file));
    let mut old = None;
    for program in candidates {
        match java_version(&program) {
            Some(version) if major(&version) >= JAVA_MAJOR => return Ok(Java { program, version }),
            Some(version) => {
                old = Some(format!("Java {version} ({}) is too old, 17 is needed", program.display()))
            }
            None => {}
        }
    }
    Err(Error::preflight(old.unwrap_or_else(|| "Java 17 or later not found".into()), remedy(&[Need::Java])))
}

fn java_version(program: &Path) -> Option<String> {
    let output = std::process::Command::new(program)
        .arg("-version")
        .env_remove("JAVA_TOOL_OPTIONS")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    // openjdk version "17.0.15" 2025-04-15
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.split('"').nth(1).map(str::to_owned)
}

/// `17.0.15` is 17, `1.8.0_392` is 8.
fn major(version: &str) -> u32 {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
    match numbers.next() {
        Some(1) => numbers.next().unwrap_or(1),
        first => first.unwrap_or(0),
    }
}

/// Processes are told apart by what `/proc` says about them.
pub(crate) fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

/// # Errors
/// There is no `/proc`.
pub(crate) fn require_proc() -> Result<()> {
    if has_proc() {
        return Ok(());
    }
    Err(Error::preflight("/proc is not mounted", "run: mount -t proc proc /proc"))
}

/// Free bytes for this user on the disk of a path, or of its nearest parent that exists.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|p| p.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// What helps where our own folders are.
pub(crate) const ELSEWHERE: &str =
    "make room, or set PG_CDC_CACHE and PG_CDC_STATE to folders on another disk";

/// # Errors
/// Less than `bytes` are free.
pub(crate) fn require_space(path: &Path, bytes: u64, remedy: &str) -> Result<()> {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    match free_bytes(path) {
        Some(free) if free < bytes => Err(Error::preflight(
            format!("{:.1} GiB are free at {}, {:.1} GiB are needed", gib(free), path.display(), gib(bytes)),
            remedy,
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java() {
        assert_eq!(major("17.0.15"), 17);
        assert_eq!(major("1.8.0_392"), 8);
        assert_eq!(major("21-ea"), 21);
        assert_eq!(major("nonsense"), 0);
    }

    #[test]
    fn a_plan_that_touches_what_is_there_is_seen() {
        let plan = "Inst maven (3.8.7-1 Debian:12.11/stable [all])\n\
                    Inst libssl3 [3.0.16] (3.0.17 Debian-Security:12 [amd64])\n\
                    Conf maven (3.8.7-1 Debian:12.11/stable [all])\nRemv gradle [4.4]";
        assert_eq!(changes_of_installed(plan), ["libssl3 replaced", "gradle removed"]);
        assert!(changes_of_installed("Inst maven (3.8.7-1 Debian:12.11/stable [all])").is_empty());
    }

    #[test]
    fn too_little_disk_is_a_preflight_error_with_both_figures() {
        let error = require_space(Path::new("/tmp/not/there"), u64::MAX, ELSEWHERE).unwrap_err();
        assert!(error.is_preflight());
        assert!(error.to_string().contains("GiB are needed; make room"), "{error}");
    }

    #[test]
    fn one_command_adds_all_that_is_missing() {
        let text = remedy(&[Need::Java, Need::Maven]);
        assert!(
            text.contains("apt-get install --no-install-recommends default-jre-headless maven"),
            "{text}"
        );
    }
}
