//! An upgrade in place: pg_upgrade makes the new cluster out of the files of the old one, and the
//! new server takes over the old one's port. The old files stay until they are decommissioned.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use artifacts::redact::Redactor;
use artifacts::snapshot::Role;

use super::cluster::give_to;
use super::pg_upgrade::{Control, PG_UPGRADE, SocketDir, from_the_fault, keep_logs, programs};
use super::{Native, first_signal, major_of, service_of};
use crate::command::{Command, DUMP, SHORT, User};
use crate::error::{Error, Result};
use crate::observe::Shared;
use crate::paths::{remove_dir, write_file};
use crate::procfs;
use crate::progress;
use crate::state::{InPlace, Transfer};

/// A fast shutdown writes a checkpoint; what takes longer is held up by a connection.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(45);
pub(crate) const LINKED: &str = "pg_upgrade --link was interrupted when both clusters had the same files already: \
                                 neither can be trusted; begin anew with: cargo xtask up";
const SAME_FILES: &str = "the new cluster has the same files (pg_upgrade --link): starting the old server would \
                          destroy both; begin anew with: cargo xtask up";

impl Native {
    /// Shuts the old server down, makes the new cluster by pg_upgrade and starts its server on the
    /// old one's port. Copies what pg_upgrade logs to `logs`. A half-made cluster of an earlier try is made anew.
    pub(crate) async fn upgrade_in_place(
        &mut self,
        transfer: Transfer,
        logs: &Path,
        observer: &Shared,
    ) -> Result<()> {
        if self.state()?.in_place.is_some_and(|upgrade| upgrade.done) {
            return self.start_postgres(Role::New, observer).await;
        }
        self.take_back().await?;
        let control = self.shut_down_cleanly(observer).await?;
        let upgrade = self.prepare(&control, transfer, observer).await?;
        if let Err(e) = self.pg_upgrade(&upgrade, &["--check"], &logs.join("check"), observer).await {
            // Nothing has been changed yet.
            self.start_postgres(Role::Old, observer).await?;
            return Err(e);
        }
        self.set_in_place(InPlace { transfer, done: false })?;
        self.pg_upgrade(&upgrade, &[], &logs.join("upgrade"), observer).await?;
        upgrade.clear()?;
        self.set_in_place(InPlace { transfer, done: true })?;
        self.start_postgres(Role::New, observer).await
    }

    /// Stops the old server and starts the new version on its files, as the original README does. No
    /// PostgreSQL starts on the files of another major version.
    pub(crate) async fn start_on_old_files(&mut self, observer: &Shared) -> Result<()> {
        self.stop_postgres(Role::Old).await?;
        let (service, home) = (service_of(Role::New), self.cluster(Role::Old));
        self.spawn_postgres(Role::New, &home)?;
        let what = format!(
            "PostgreSQL {} answers on the files of the old server",
            major_of(self.state()?, Role::New)
        );
        let alive = || async { Err::<(), _>("no answer yet".to_owned()) };
        let answer = self.home.daemons.ready(&service, &what, SHUTDOWN, &**observer, alive).await;
        answer.map_err(|e| match e {
            Error::Component { tail, .. } if tail.contains("FATAL") => {
                Error::Refused(format!("{what}: {}", complaint(&tail)))
            }
            other => other,
        })
    }

    /// Deletes the files of the old cluster after an upgrade in place; returns their size in bytes,
    /// files that the new cluster shares not counted.
    pub(crate) async fn decommission(&mut self) -> Result<u64> {
        let runs = self.home.daemons.find(&service_of(Role::New)).is_some();
        may_decommission(self.state()?.in_place, runs)?;
        let home = self.cluster(Role::Old);
        if !home.exists() {
            return Err(Error::Refused("the files of the old server have been removed already".into()));
        }
        let bytes = own_bytes(&home);
        remove_dir(&home)?;
        let dir = self.home.dir.clone();
        let state = self.state_mut()?;
        state.postgres.remove(&Role::Old);
        state.write(&dir)?;
        Ok(bytes)
    }

    /// Whether the old server may be started on its files.
    pub(super) fn old_may_start(&self) -> Result<()> {
        if self.files_linked() {
            return Err(Error::Refused(SAME_FILES.into()));
        }
        old_may_start(self.state()?.in_place)
    }

    /// pg_upgrade has given the control file of the old cluster another name: it has begun to link.
    fn files_linked(&self) -> bool {
        self.cluster(Role::Old).join("data/global/pg_control.old").exists()
    }

    /// After an interrupted try: ends what it left, and gives the old cluster back its name.
    async fn take_back(&mut self) -> Result<()> {
        self.home.daemons.sweep(Some(PG_UPGRADE)).await?;
        let service = service_of(Role::New);
        self.home.daemons.stop(&service, first_signal(&service), SHUTDOWN).await?;
        if self.files_linked() {
            // The last thing that pg_upgrade does is to start the new server: it may have written.
            return Err(Error::Refused(LINKED.into()));
        }
        let dir = self.home.dir.clone();
        let state = self.state_mut()?;
        state.in_place = None;
        state.postgres.remove(&Role::New);
        state.write(&dir)
    }

    fn set_in_place(&mut self, upgrade: InPlace) -> Result<()> {
        let dir = self.home.dir.clone();
        let state = self.state_mut()?;
        state.in_place = Some(upgrade);
        state.postgres.insert(Role::Old, false);
        if upgrade.done {
            state.postgres.insert(Role::New, true);
        }
        state.write(&dir)
    }

    /// Ends the old server by a fast shutdown: pg_upgrade refuses any other end. One that has crashed
    /// is started once more for it.
    async fn shut_down_cleanly(&mut self, observer: &Shared) -> Result<Control> {
        let service = service_of(Role::Old);
        if self.home.daemons.find(&service).is_none() && !self.control(observer).await?.clean {
            self.start_postgres(Role::Old, observer).await?;
        }
        self.set_wanted(Role::Old, false)?;
        let end = self.home.daemons.ask_to_end(&service, first_signal(&service), SHUTDOWN, &**observer).await;
        let end = end.map_err(|(process, cause)| {
            let children = procfs::all().into_iter().filter(|p| p.parent() == Some(process.pid));
            let titles = children.map(|p| format!("process {} ({})", p.pid, p.command()));
            let senders: Vec<String> = titles.filter(|title| title.contains("walsender")).collect();
            let held = match senders.join(", ") {
                none if none.is_empty() => "by no replication connection; see its log".to_owned(),
                some => format!("by {some}; release the slot: cargo xtask stop-connector"),
            };
            Error::Refused(format!(
                "{cause}; the shutdown is held up {held}, then repeat: cargo xtask upgrade-database"
            ))
        });
        if let Err(e) = end {
            self.set_wanted(Role::Old, true)?;
            return Err(e);
        }
        let control = self.control(observer).await?;
        if !control.clean {
            return Err(Error::Refused(format!(
                "the old cluster is '{}', not 'shut down', which pg_upgrade needs: repeat: cargo xtask upgrade-database",
                control.state
            )));
        }
        Ok(control)
    }

    /// What the control file of the old cluster says.
    async fn control(&self, observer: &Shared) -> Result<Control> {
        let data = self.cluster(Role::Old).join("data");
        let ask = self.tools_of(Role::Old)?.command("pg_controldata").args(["-D"]).args([&data]);
        Ok(Control::of(&ask.run("pg_controldata of the old cluster", SHORT, &**observer).await?))
    }

    /// An empty new cluster of the old one's layout, and all that pg_upgrade is told.
    async fn prepare(&self, control: &Control, transfer: Transfer, observer: &Shared) -> Result<Upgrade> {
        self.home.clear_log(&service_of(Role::New));
        self.init(Role::New, &control.layout(major_of(self.state()?, Role::New)), observer).await?;
        let (old, new) = (self.cluster(Role::Old), self.cluster(Role::New));
        let user = User::for_postgres();
        let pgpass = new.join("pgpass");
        write_file(&pgpass, &format!("*:*:*:postgres:{}\n", self.home.secrets.postgres), 0o600)?;
        give_to(&pgpass, user)?;
        let socket = SocketDir::for_cluster(&new, user)?;
        let (from, to) = (self.tools_of(Role::Old)?, self.tools_of(Role::New)?);
        let ports = &self.state()?.ports;
        let command = to
            .command(PG_UPGRADE)
            .args(["--old-bindir"])
            .args([programs(from, &new, user)?])
            .args(["--new-bindir"])
            .args([&to.bindir])
            .args(["--old-datadir"])
            .args([old.join("data")])
            .args(["--new-datadir"])
            .args([new.join("data")])
            .args([
                "--username=postgres",
                "--retain",
                "--no-sync",
                &format!("--socketdir={}", socket.path().display()),
            ])
            .args([
                format!("--old-port={}", ports.postgres_old),
                format!("--new-port={}", ports.postgres_new),
            ])
            .args((transfer == Transfer::Link).then_some("--link"))
            .env("PGPASSFILE", pgpass.display().to_string())
            .cwd(&new)
            .user(user)
            .tags(self.home.daemons.tags(PG_UPGRADE));
        Ok(Upgrade { command, pgpass, output: new.join("data/pg_upgrade_output.d"), _socket: socket })
    }

    async fn pg_upgrade(
        &self,
        upgrade: &Upgrade,
        extra: &[&str],
        logs: &Path,
        observer: &Shared,
    ) -> Result<()> {
        let what = [&[PG_UPGRADE], extra].concat().join(" ");
        let task = progress::Task::start(what.clone());
        let result = upgrade.command.clone().args(extra).run(&what, DUMP, &**observer).await;
        // Servers that it has started end with it, unless it was killed.
        self.home.daemons.sweep(Some(PG_UPGRADE)).await?;
        keep_logs(&upgrade.output, logs, &Redactor::new(self.home.secrets.all()))?;
        result.map_err(from_the_fault)?;
        task.done();
        Ok(())
    }
}

/// Whether the old server may be started on its files after this upgrade in place.
pub(crate) fn old_may_start(upgrade: Option<InPlace>) -> Result<()> {
    match upgrade {
        None => Ok(()),
        Some(InPlace { transfer: Transfer::Link, .. }) => Err(Error::Refused(SAME_FILES.into())),
        Some(_) => Err(Error::Refused(
            "the old server was upgraded in place and the new one has its port; begin anew with: cargo xtask up"
                .into(),
        )),
    }
}

/// Whether the files of the old server may be deleted after this upgrade in place; `runs`: the new server does.
pub(crate) fn may_decommission(upgrade: Option<InPlace>, runs: bool) -> Result<()> {
    let refused = |text: &str| Err(Error::Refused(text.into()));
    match upgrade {
        None => refused("no server of this stack was upgraded in place: there is nothing to decommission"),
        Some(upgrade) if !upgrade.done => refused(
            "pg_upgrade has not ended well, the old files may still be needed: repeat it with: cargo xtask upgrade-database",
        ),
        Some(_) if !runs => refused(
            "the new server does not run, the old files may still be needed: look at it first: cargo xtask ps",
        ),
        Some(_) => Ok(()),
    }
}

/// The last complaint in a log of PostgreSQL, with its detail, in one line.
pub(crate) fn complaint(log: &str) -> String {
    let from = log.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains("FATAL:")).unwrap_or(0);
    let told =
        log.lines().skip(from).filter_map(|line| line.split_once("FATAL:").or(line.split_once("DETAIL:")));
    told.map(|(_, text)| text.trim()).collect::<Vec<_>>().join("; ")
}

/// All that pg_upgrade is told. Dropped, it leaves no socket behind.
struct Upgrade {
    command: Command,
    pgpass: PathBuf,
    output: PathBuf,
    _socket: SocketDir,
}

impl Upgrade {
    fn clear(&self) -> Result<()> {
        fs::remove_file(&self.pgpass).map_err(Error::io("remove", &self.pgpass))
    }
}

/// Bytes of the files below a folder that have no other name.
fn own_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| Some((entry.path(), fs::symlink_metadata(entry.path()).ok()?)));
    bytes
        .map(|(path, m)| match m.is_dir() {
            true => own_bytes(&path),
            false if m.nlink() == 1 => m.blocks() * 512,
            false => 0,
        })
        .sum()
}
