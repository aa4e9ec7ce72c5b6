//! The stack as the steps see it: endpoints and a handful of verbs. Which backend runs it is
//! decided here and nowhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::run::Build;
use artifacts::snapshot::Role;

use crate::compose::{self, Compose};
use crate::daemon::{ExitInfo, ServiceStatus};
use crate::doctor::{self, Check};
use crate::endpoints::Endpoints;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::native::Native;
use crate::observe::Shared;
use crate::options::{Down, Kind, Options, Parts};
use crate::paths::Paths;
use crate::state::{self, Secrets, Transfer};

const LONGEST_NAME: usize = 32;

/// The components of one named stack. Opening it starts nothing; dropping it ends nothing.
pub struct Stack {
    backend: Backend,
}

enum Backend {
    Native(Box<Native>),
    Compose(Box<Compose>),
}

/// The same of whichever backend it is.
macro_rules! of {
    ($stack:expr, $backend:ident => $work:expr) => {
        match $stack {
            Backend::Native($backend) => $work,
            Backend::Compose($backend) => $work,
        }
    };
}

impl Stack {
    /// Reads what the stack remembers, if anything.
    ///
    /// # Errors
    /// A name that cannot be a folder's; a state written by a later version of the tool.
    pub fn open(options: Options) -> Result<Self> {
        check_name(&options.name)?;
        let backend = match Self::kept(&options.name)?.unwrap_or(options.kind) {
            Kind::Native => Backend::Native(Box::new(Native::open(options)?)),
            Kind::Compose => Backend::Compose(Box::new(Compose::open(options)?)),
        };
        Ok(Self { backend })
    }

    /// Where the stack of that name runs, or ran last; none when it was never up, or nobody knows any more.
    ///
    /// # Errors
    /// A state written by a later version of the tool.
    pub fn kept(name: &str) -> Result<Option<Kind>> {
        let dir = Paths::from_env()?.stack(name);
        match state::kind(&dir) {
            // What compose was told is still there.
            Err(Error::Corrupt { .. }) => Ok(compose::is_of(&dir).then_some(Kind::Compose)),
            kind => kind,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.home().options.name
    }

    fn home(&self) -> &Home {
        of!(&self.backend, backend => &backend.home)
    }

    /// Where it runs.
    pub fn kind(&self) -> Kind {
        match &self.backend {
            Backend::Native(_) => Kind::Native,
            Backend::Compose(_) => Kind::Compose,
        }
    }

    /// Provisions, starts (or re-uses) Kafka and Kafka Connect, and always starts a fresh server
    /// of major version `from`: clusters of earlier rehearsals are stopped and deleted. Begins a
    /// new [`generation`](Self::generation). Works after a crash of anything.
    ///
    /// # Errors
    /// [`Error::Preflight`] when something is missing on this machine; a component that does not
    /// become ready, with the last lines of its log.
    pub async fn up(&mut self, from: u32, to: u32, parts: Parts, observer: &Shared) -> Result<()> {
        of!(&mut self.backend, backend => backend.up(from, to, parts, observer).await)
    }

    /// Restarts what has died; deletes nothing. A server that was stopped on purpose stays so.
    ///
    /// # Errors
    /// As [`Stack::up`]; the stack was never up.
    pub async fn ensure_running(&mut self, observer: &Shared) -> Result<()> {
        of!(&mut self.backend, backend => backend.ensure_running(observer).await)
    }

    /// Starts an empty server of the later version on the second port; the old one goes on.
    ///
    /// # Errors
    /// As [`Stack::up`]; the stack was never up.
    pub async fn replace_postgres(&mut self, observer: &Shared) -> Result<()> {
        of!(&mut self.backend, backend => backend.replace_postgres(observer).await)
    }

    /// Shuts the old server down, makes the new cluster out of its files by pg_upgrade and starts the
    /// new server on the old one's port. The old files stay, and what pg_upgrade logs is copied to
    /// `logs`. May be repeated after a crash; when it has ended well, it only starts the new server.
    ///
    /// # Errors
    /// The shutdown is held up (by whom); pg_upgrade fails, and if its `--check` did, the old server
    /// runs again; an interrupted `--link`, after which neither cluster can be trusted.
    pub async fn upgrade_in_place(
        &mut self,
        transfer: Transfer,
        logs: &Path,
        observer: &Shared,
    ) -> Result<()> {
        of!(&mut self.backend, backend => backend.upgrade_in_place(transfer, logs, observer).await)
    }

    /// Stops the old server and starts the later version on its files: what the original README does for
    /// an upgrade in place, and what never works.
    ///
    /// # Errors
    /// [`Error::Component`] with what the server says.
    pub async fn start_on_old_files(&mut self, observer: &Shared) -> Result<()> {
        of!(&mut self.backend, backend => backend.start_on_old_files(observer).await)
    }

    /// Deletes the files of the old server after an upgrade in place; returns how many bytes that
    /// frees.
    ///
    /// # Errors
    /// There was none, it has not ended well, or the new server does not run.
    pub async fn decommission(&mut self) -> Result<u64> {
        of!(&mut self.backend, backend => backend.decommission().await)
    }

    /// Stops a server by a fast shutdown and, after 90 s, by SIGKILL. Its data stays.
    ///
    /// # Errors
    /// The stack was never up; a process survives SIGKILL.
    pub async fn stop_postgres(&mut self, role: Role) -> Result<ExitInfo> {
        of!(&mut self.backend, backend => backend.stop_postgres(role).await)
    }

    /// Starts a server on the data it has.
    ///
    /// # Errors
    /// There is no such server; it does not become ready.
    pub async fn start_postgres(&mut self, role: Role, observer: &Shared) -> Result<()> {
        of!(&mut self.backend, backend => backend.start_postgres(role, observer).await)
    }

    /// Runs `psql`, `pg_dump`, `pg_dumpall` or `pg_restore` of a server's version against that
    /// server as superuser, and returns what it wrote to stdout.
    ///
    /// # Errors
    /// Its exit code is not 0; the message has its last lines and the command.
    pub async fn exec(&self, tool: &str, role: Role, args: &[&str], observer: &Shared) -> Result<String> {
        of!(&self.backend, backend => backend.exec(tool, role, args, observer).await)
    }

    /// A tool of a server's version that finds that server as superuser, to be started by whoever waits for it; what is
    /// left of it is ended by [`Stack::down`].
    ///
    /// # Errors
    /// The stack was never up, or its servers run in containers.
    pub fn tool(&self, tool: &str, role: Role) -> Result<std::process::Command> {
        match &self.backend {
            Backend::Native(native) => Ok(native.tool(tool, role)?.into_std()),
            Backend::Compose(_) => Err(Error::Refused(format!(
                "{tool} is no process of this machine: the server is in a container"
            ))),
        }
    }

    /// Marks a process that is about to be started, and its children, as one of the stack: what is left of it
    /// is ended by [`Stack::down`].
    pub fn adopt(&self, command: &mut std::process::Command, service: &str) {
        command.envs(self.home().daemons.tags(service));
    }

    /// Starts a process that belongs to the stack: with a log, and ended by [`Stack::down`].
    /// It sees `PATH`, `LC_ALL`, `HOME` (the stack's folder) and `env`.
    ///
    /// # Errors
    /// It cannot be started, or the service already runs.
    pub async fn spawn(
        &self,
        service: &str,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
    ) -> Result<()> {
        self.home().spawn(service, program, args, env)
    }

    /// Ends a process: SIGTERM (PostgreSQL: SIGINT), then SIGKILL after the deadline.
    ///
    /// # Errors
    /// It survives SIGKILL.
    pub async fn stop(&self, service: &str, deadline: Duration) -> Result<ExitInfo> {
        of!(&self.backend, backend => backend.stop(service, deadline).await)
    }

    /// A process of the stack; none when it was not started since the last stop.
    pub fn service(&self, name: &str) -> Option<ServiceStatus> {
        of!(&self.backend, backend => backend.service(name))
    }

    /// Every process that was started and not stopped, by name.
    pub fn processes(&self) -> Vec<ServiceStatus> {
        of!(&self.backend, backend => backend.processes())
    }

    /// The last lines of a component's log, without secrets.
    pub fn last_log_lines(&self, service: &str) -> String {
        self.home().last_log_lines(service)
    }

    /// Where a component logs; the file is there once it was started.
    pub fn log_file(&self, service: &str) -> PathBuf {
        self.state_dir().join("logs").join(format!("{service}.log"))
    }

    /// Copies what each component has logged since `up`, one file per component, without secrets.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn collect_logs(&self, dest: &Path) -> Result<()> {
        let marks = of!(&self.backend, backend => backend.log_marks());
        self.home().collect_logs(&marks, dest)
    }

    /// Ends every process of the stack, also those that a crash left behind. With `volumes` the
    /// stack's folder is deleted too: data, logs, passwords and backups. May be called again, and
    /// without a stack.
    ///
    /// # Errors
    /// A process survives SIGKILL; a file cannot be removed.
    pub async fn down(&mut self, volumes: bool) -> Result<Down> {
        of!(&mut self.backend, backend => backend.down(volumes).await)
    }

    /// What this machine has and lacks. Changes nothing.
    pub async fn doctor(&self) -> Vec<Check> {
        doctor::check(&self.home().paths, &self.home().options).await
    }

    /// Where the components answer.
    pub fn endpoints(&self) -> Endpoints {
        of!(&self.backend, backend => backend.endpoints())
    }

    /// The version that ZooKeeper answers; none when the stack runs without.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn zookeeper(&self) -> Result<Option<String>> {
        of!(&self.backend, backend => backend.zookeeper().await)
    }

    /// The stack's passwords.
    pub fn secrets(&self) -> &Secrets {
        &self.home().secrets
    }

    /// The stack's folder.
    pub fn state_dir(&self) -> &Path {
        &self.home().dir
    }

    /// Where the servers keep their data; none when that is not on a disk of this machine's own.
    pub async fn data_dir(&self) -> Option<PathBuf> {
        match &self.backend {
            Backend::Native(native) => Some(native.home.dir.clone()),
            Backend::Compose(compose) => compose.data_dir().await,
        }
    }

    /// Why nothing of the stack can answer any more: the Docker engine of its containers is gone.
    pub async fn gone(&self) -> Option<String> {
        match &self.backend {
            Backend::Native(_) => None,
            Backend::Compose(compose) => compose.gone().await,
        }
    }

    /// The number of the rehearsal on this stack: 1 after the first `up`.
    pub fn generation(&self) -> u64 {
        of!(&self.backend, backend => backend.generation())
    }

    /// `kafka`, `kafka-connect`, `debezium`, `java`, `postgresql-15`, ... and their versions.
    pub fn versions(&self) -> BTreeMap<String, String> {
        of!(&self.backend, backend => backend.versions())
    }

    /// `postgresql-15`, ... and the files that its programs were taken from.
    pub fn builds(&self) -> BTreeMap<String, Vec<Build>> {
        of!(&self.backend, backend => backend.builds())
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('-') && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "'{name}' cannot name a stack: use up to {LONGEST_NAME} lower-case letters, digits and dashes"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folders_and_nothing_else() {
        assert!(check_name("lab-2").is_ok());
        for bad in ["", "-x", "a/b", "..", "Lab", "a b", &"x".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
