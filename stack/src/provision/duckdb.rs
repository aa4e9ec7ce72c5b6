//! DuckDB, to compare with: a module of Python 3.11 in the cache. What it has read is checked at
//! every use, as every file of the cache.

use std::path::PathBuf;

use super::wheel::{Wheel, unpack};
use super::{Need, Provision, differences, short_hash, system};
use crate::command::{Command, SHORT, find_program};
use crate::error::{Error, Result};
use crate::observe::silent;
use crate::paths::{Paths, create_dir, remove_dir};
use crate::progress::Task;

/// What is run.
const WHEEL: Wheel = Wheel {
    package: "duckdb==2.0.0",
    tags: "cp311-manylinux_2_28_x86_64",
    sha256: "5a3601121c7cc50d0b70412995634682fafcb58a0156d5d663dfd0b3bbe30a33",
};
/// The Python that the wheel is for.
const PYTHON: &str = "python3.11";

/// A Python that can `import duckdb`.
#[derive(Debug, Clone)]
pub struct DuckDb {
    /// The interpreter itself, no script in front of it.
    pub python: PathBuf,
    /// For `PYTHONPATH`.
    pub modules: PathBuf,
}

/// DuckDB 2.0, downloaded once.
///
/// # Errors
/// [`Error::Preflight`] where there is no Python 3.11, no wheel for this kind of machine or, unless it
/// may be added (`install`), no pip; a failed download.
pub async fn duckdb(install: bool) -> Result<DuckDb> {
    let needs = "DuckDB is run by Python 3.11 on x86_64";
    if std::env::consts::ARCH != "x86_64" {
        return Err(Error::preflight(format!("this is {}", std::env::consts::ARCH), needs));
    }
    let python = find_program(PYTHON)
        .ok_or_else(|| Error::preflight(format!("there is no {PYTHON}"), format!("{needs}: install it")))?;
    let observer = silent();
    let ask = Command::new(python).args(["-c", "import sys; print(sys.executable)"]);
    let python = ask.run("asking Python where it is", SHORT, &*observer).await?.trim().into();
    let paths = Paths::from_env()?;
    let provision = Provision { paths: &paths, install, observer: &observer };
    let modules = paths.cache.join(format!("duckdb-{}", short_hash(WHEEL.sha256)));
    create_dir(&paths.cache)?;
    let _lock = provision.lock().await?;
    if modules.exists() && differences(&modules).is_empty() {
        return Ok(DuckDb { python, modules });
    }
    remove_dir(&modules)?;
    system::require(&[Need::Pip], install, &observer).await?;
    let task = Task::start(format!("downloading {}", WHEEL.package));
    let unfinished = provision.unfinished("duckdb")?;
    let unpacked = unpack(&provision, &unfinished, &WHEEL).await?;
    unfinished.keep(&unpacked, &modules)?;
    task.done();
    Ok(DuckDb { python, modules })
}
