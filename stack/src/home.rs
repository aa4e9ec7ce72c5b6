//! What a stack has wherever it runs: a folder, processes of its own, passwords, ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::redact::Redactor;
use serde::de::DeserializeOwned;

use crate::daemon::{Daemons, Spec};
use crate::error::{Error, Result};
use crate::logs;
use crate::options::Options;
use crate::paths::Paths;
use crate::ports::{Ports, Reserved};
use crate::progress;
use crate::state::{self, Secrets, State};

/// The part of a stack that no backend changes.
pub(crate) struct Home {
    pub(crate) paths: Paths,
    pub(crate) options: Options,
    pub(crate) dir: PathBuf,
    pub(crate) daemons: Daemons,
    pub(crate) secrets: Secrets,
    /// Those that the components have cannot be read.
    pub(crate) secrets_lost: bool,
    /// Keeps other stacks off our ports until the components have bound them.
    reserved: Reserved,
}

impl Home {
    pub(crate) fn open(options: Options) -> Result<Self> {
        let paths = Paths::from_env()?;
        let dir = paths.stack(&options.name);
        Self::in_folder(paths, options, &dir)
    }

    pub(crate) fn in_folder(paths: Paths, options: Options, dir: &Path) -> Result<Self> {
        let known = Secrets::of(dir)?;
        let secrets_lost = known.is_none();
        let secrets = known.unwrap_or_else(Secrets::random);
        let (dir, daemons) = (dir.to_owned(), Daemons::new(dir));
        Ok(Self { paths, options, dir, daemons, secrets, secrets_lost, reserved: Reserved::default() })
    }

    /// What the backend remembers; nothing when that cannot be read.
    pub(crate) fn state<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match state::read(&self.dir) {
            Err(e @ Error::Corrupt { .. }) => {
                progress::line(&format!("{e}; the stack will be made anew"));
                Ok(None)
            }
            other => other,
        }
    }

    /// Nothing but `down` goes on without the passwords.
    pub(crate) fn check_secrets(&self) -> Result<()> {
        if !self.secrets_lost {
            return Ok(());
        }
        let remedy = format!("make the stack anew: cargo xtask down --volumes --name {}", self.options.name);
        Err(Error::corrupt(&self.dir.join("secrets.json"), format!("it holds no passwords; {remedy}")))
    }

    /// Nothing is remembered.
    pub(crate) fn absent(&self) -> Error {
        let name = &self.options.name;
        Error::Refused(format!("the stack '{name}' is not there; make it with: cargo xtask up"))
    }

    pub(crate) fn spawn(
        &self,
        service: &str,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<()> {
        self.daemons.spawn(&Spec {
            service: service.into(),
            program: program.into(),
            args: args.to_vec(),
            env: env.to_vec(),
            cwd: self.dir.clone(),
            user: None,
            port: None,
        })
    }

    pub(crate) fn last_log_lines(&self, service: &str) -> String {
        Redactor::new(self.secrets.all()).text(&self.daemons.log_tail(service))
    }

    /// Copies the part of each log that belongs to this rehearsal.
    pub(crate) fn collect_logs(&self, marks: &BTreeMap<String, u64>, dest: &Path) -> Result<()> {
        logs::collect(&self.dir, marks, &self.secrets, dest)
    }

    /// The log of a cluster goes with the cluster.
    pub(crate) fn clear_log(&self, service: &str) {
        let _ = std::fs::remove_file(self.daemons.log(service));
    }

    /// Ports for the stack: `kept` where they are free or `ours`.
    pub(crate) fn settle_ports(
        &mut self,
        kept: Option<&Ports>,
        standard: bool,
        registry: bool,
        ours: impl Fn(&Daemons, u16) -> bool,
    ) -> Result<Ports> {
        let taken = State::ports_of_others(&self.paths.state.join("stacks"), &self.dir);
        let ours = |port: u16| ours(&self.daemons, port);
        Ports::settle(kept.cloned(), standard, registry, &taken, &mut self.reserved, ours)
    }
}
