//! What this machine has and lacks. Looks only: starts no component and changes no file.

use std::path::Path;

use serde::Serialize;

use crate::compose::Docker;
use crate::options::Options;
use crate::paths::{Paths, is_root};
use crate::provision::{self, Jars, MAJORS, Need, STATE_BYTES, Source};

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What helps, with the command; none when all is well.
    pub remedy: Option<String>,
}

/// Whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It is, or `up` downloads it.
    Ok,
    /// It is not, and nothing asks for it now, or `up` adds it by itself.
    Warn,
    /// It is not, and `up` would refuse.
    Missing,
}

/// Looks at everything.
pub(crate) async fn check(paths: &Paths, options: &Options) -> Vec<Check> {
    let kafka = Jars::kafka().home(paths);
    let default: Vec<Source> = MAJORS[..2].iter().filter_map(|major| Source::of(*major).ok()).collect();
    let complete = kafka.exists() && default.iter().all(|source| source.is_there(paths));
    let mut checks = vec![
        Check::new("processes", provision::has_proc(), "/proc", "run: mount -t proc proc /proc"),
        disk("disk for programs", &paths.cache, provision::cache_bytes(complete)),
        disk("disk for data", &paths.state, STATE_BYTES),
    ];
    let downloads = default.iter().filter(|source| !source.is_there(paths)).filter_map(Source::needs);
    let mut needed: Vec<Need> = downloads.chain((!kafka.exists()).then_some(Need::Maven)).collect();
    needed.push(Need::Java);
    for need in [Need::Java, Need::Maven, Need::Pip, Need::Apt] {
        checks.push(program(need, needed.contains(&need), options));
    }
    checks.push(folder("Kafka and Debezium", Some(kafka), &[Need::Maven]));
    checks.push(folder("Kafka with ZooKeeper", Some(Jars::zookeeper().home(paths)), &[Need::Maven]));
    checks.push(folder("Schema Registry", Some(Jars::registry().home(paths)), &[Need::Maven]));
    for major in MAJORS {
        let name = format!("PostgreSQL {major}");
        checks.push(match Source::of(major) {
            Ok(Source::Own { bindir, .. }) => own(&name, &bindir),
            Ok(source) => folder(&name, source.folder(paths), source.needs().as_slice()),
            Err(e) => Check { name, level: Level::Warn, found: e.to_string(), remedy: None },
        });
    }
    checks.push(docker().await);
    checks
}

/// Only asked for by `--stack compose`.
async fn docker() -> Check {
    let (level, found) = match Docker::find().await {
        Ok(_) => (Level::Ok, {
            let usual = [MAJORS[0], MAJORS[1]];
            crate::compose::choose(usual, crate::options::Parts::default()).await.1
        }),
        Err(e) => (Level::Warn, e.cause()),
    };
    let remedy = (level == Level::Warn).then(|| "only needed for --stack compose".to_owned());
    Check { name: "Docker".into(), level, found, remedy }
}

impl Check {
    fn new(name: &str, ok: bool, found: &str, remedy: &str) -> Self {
        Self {
            name: name.into(),
            level: if ok { Level::Ok } else { Level::Missing },
            found: if ok { found.into() } else { "not found".into() },
            remedy: (!ok).then(|| remedy.into()),
        }
    }
}

fn disk(name: &str, path: &Path, needed: u64) -> Check {
    let free = provision::free_bytes(path).unwrap_or_default();
    let level = if free >= needed { Level::Ok } else { Level::Missing };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Check {
        name: name.into(),
        level,
        found: format!("{:.1} GiB free at {}", gib(free), path.display()),
        remedy: (level != Level::Ok).then(|| {
            format!("make room: {:.0} GiB are needed; or set PG_CDC_CACHE and PG_CDC_STATE", gib(needed))
        }),
    }
}

fn program(need: Need, needed: bool, options: &Options) -> Check {
    let found = need.found();
    let addable = options.install && provision::available() && need.package().is_some();
    let level = match (&found, needed && !addable) {
        (Some(_), _) => Level::Ok,
        (None, true) => Level::Missing,
        (None, false) => Level::Warn,
    };
    let remedy = match (level, needed) {
        (Level::Ok, _) => None,
        (Level::Warn, false) => Some("not needed now: everything it gets is in the cache".into()),
        (Level::Warn, true) => Some("up adds it".into()),
        (Level::Missing, _) => Some(provision::remedy(&[need])),
    };
    Check { name: need.name().into(), level, found: found.unwrap_or_else(|| "not found".into()), remedy }
}

/// A folder of the cache: compared file by file with the sums taken when it was unpacked.
fn folder(name: &str, path: Option<std::path::PathBuf>, needs: &[Need]) -> Check {
    let name = name.to_owned();
    let Some(path) = path else {
        return Check { name, level: Level::Warn, found: "not pinned".into(), remedy: None };
    };
    if !path.exists() {
        let by = needs.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ");
        let by = if by.is_empty() { String::new() } else { format!(" with {by}") };
        let found = format!("not downloaded yet; up does it{by} when it is asked for");
        return Check { name, level: Level::Ok, found, remedy: None };
    }
    match provision::differences(&path).first() {
        None => Check { name, level: Level::Ok, found: path.display().to_string(), remedy: None },
        Some(difference) => Check {
            name,
            level: Level::Warn,
            found: format!("{} is damaged: {difference}", path.display()),
            remedy: Some("up downloads it again".into()),
        },
    }
}

fn own(name: &str, bindir: &Path) -> Check {
    let there = crate::command::is_program(&bindir.join("postgres"));
    let who = if is_root() { " that every user can enter" } else { "" };
    let remedy = format!("set the variable to the bin folder of a {name}{who}, or unset it");
    Check::new(name, there, &format!("{} (from the environment)", bindir.display()), &remedy)
}
