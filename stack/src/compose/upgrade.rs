//! An upgrade in place: pg_upgrade in a container with the programs of both versions, then the service
//! `postgres` on the new cluster. The old files stay until they are decommissioned.

use std::path::Path;
use std::time::Duration;

use artifacts::redact::Redactor;
use artifacts::snapshot::Role;
use rustix::process::{getegid, geteuid};

use super::{Compose, LABEL, service_of};
use crate::command::{DUMP, SHORT};
use crate::error::{Error, Result};
use crate::native::pg_upgrade::{PG_UPGRADE, from_the_fault, keep_logs};
use crate::native::{LINKED, SHUTDOWN, complaint, may_decommission, old_may_start};
use crate::observe::{Shared, Silent};
use crate::paths::create_dir;
use crate::progress::Task;
use crate::state::{InPlace, Transfer};
use crate::wait::{self, Probe};

/// What pg_upgrade renames when it has begun to link.
const RENAMED: &str = "/pgdata/old/global/pg_control.old";

impl Compose {
    /// Shuts the old server down, makes the new cluster by pg_upgrade and starts its server on the old one's port.
    /// Copies what pg_upgrade logs to `logs`. A half-made cluster of an earlier try is made anew.
    pub(crate) async fn upgrade_in_place(
        &mut self,
        transfer: Transfer,
        logs: &Path,
        observer: &Shared,
    ) -> Result<()> {
        if self.state()?.in_place.is_some_and(|upgrade| upgrade.done) {
            return self.start_postgres(Role::New, observer).await;
        }
        self.take_back(observer).await?;
        self.shut_down_cleanly(observer).await?;
        let link: &[&str] = if transfer == Transfer::Link { &["--link"] } else { &[] };
        if let Err(e) = self.pg_upgrade(&[&["--check"], link].concat(), &logs.join("check"), observer).await {
            // Nothing has been changed yet.
            self.start_postgres(Role::Old, observer).await?;
            return Err(e);
        }
        self.set_in_place(InPlace { transfer, done: false })?;
        self.pg_upgrade(link, &logs.join("upgrade"), observer).await?;
        self.set_in_place(InPlace { transfer, done: true })?;
        self.start_postgres(Role::New, observer).await
    }

    /// Stops the old server and starts the new version on its files, as the original README does. No
    /// PostgreSQL starts on the files of another major version.
    pub(crate) async fn start_on_old_files(&mut self, observer: &Shared) -> Result<()> {
        self.stop_postgres(Role::Old).await?;
        let state = self.state()?;
        let what = format!("PostgreSQL {} answers on the files of the old server", state.to);
        let start = self
            .container()?
            .args([
                "--network=none",
                "--env=PGDATA=/pgdata/old",
                &format!("--volume={}:/pgdata", self.volume()),
            ])
            .args([state.postgres_image(Role::New), "postgres".into()])
            .with_stderr();
        let ended = start.run(&what, SHUTDOWN, &**observer).await;
        let text = match ended {
            Ok(text) | Err(Error::Command { tail: text, .. }) => text,
            Err(e) => return Err(e),
        };
        let log = self.home.daemons.log(&service_of(Role::New));
        std::fs::write(&log, &text).map_err(Error::io("write", &log))?;
        Err(Error::Refused(format!("{what}: {}", complaint(&text))))
    }

    /// Deletes the files of the old cluster after an upgrade in place; returns their size in bytes,
    /// files that the new cluster shares not counted.
    pub(crate) async fn decommission(&mut self) -> Result<u64> {
        let runs = self.service(&service_of(Role::New)).is_some_and(|service| service.alive);
        may_decommission(self.state()?.in_place, runs)?;
        let observer = crate::observe::silent();
        if !self.there("/pgdata/old").await? {
            return Err(Error::Refused("the files of the old server have been removed already".into()));
        }
        let own = ["find", "/pgdata/old", "-type", "f", "-links", "1", "-printf", "%b\\n"];
        let blocks = self.in_volume(&own, &observer).await?;
        self.in_volume(&["rm", "-rf", "/pgdata/old"], &observer).await?;
        self.remember(|state| {
            state.postgres.remove(&Role::Old);
        })?;
        Ok(blocks.lines().filter_map(|blocks| blocks.parse::<u64>().ok()).sum::<u64>() * 512)
    }

    /// Whether the old server may be started on its files.
    pub(super) fn old_may_start(&self) -> Result<()> {
        old_may_start(self.state()?.in_place)
    }

    /// After an interrupted try: ends what it left, and gives the old cluster back its name.
    async fn take_back(&mut self, observer: &Shared) -> Result<()> {
        let docker = self.state()?.docker.clone();
        self.remove_loose(&docker).await?;
        let Some(upgrade) = self.state()?.in_place else { return Ok(()) };
        if upgrade.transfer == Transfer::Link && self.there(RENAMED).await? {
            return Err(Error::Refused(LINKED.into()));
        }
        self.remember(|state| {
            state.in_place = None;
            state.postgres.remove(&Role::New);
        })?;
        self.in_volume(&["rm", "-rf", "/pgdata/new"], observer).await.map(drop)
    }

    fn set_in_place(&mut self, upgrade: InPlace) -> Result<()> {
        self.remember(|state| {
            state.in_place = Some(upgrade);
            state.postgres.insert(Role::Old, false);
            if upgrade.done {
                state.postgres.insert(Role::New, true);
            }
        })
    }

    /// Ends the old server by a fast shutdown: pg_upgrade refuses any other end. One that has ended otherwise is
    /// started once more for it.
    async fn shut_down_cleanly(&mut self, observer: &Shared) -> Result<()> {
        let service = service_of(Role::Old);
        if !self.runs(&service).await? {
            self.start_postgres(Role::Old, observer).await?;
        }
        self.set_wanted(Role::Old, false)?;
        let (docker, name) = (self.state()?.docker.clone(), self.name_of(&service));
        let signal = docker.command().args(["kill", "--signal", "INT", &name]);
        signal.run("asking the old server for a fast shutdown", SHORT, &**observer).await?;
        let what = format!("end of {service} (container {name})");
        let this = &*self;
        let end = wait::until(&**observer, &what, SHUTDOWN, || async {
            match this.runs(&service).await {
                Ok(false) => Probe::Ready(()),
                Ok(true) => Probe::NotYet("still running".into()),
                Err(e) => Probe::NotYet(e.to_string()),
            }
        })
        .await;
        if let Err(cause) = end {
            let top = docker.command().args(["top", &name, "-eo", "pid,args"]);
            let processes = top.run("looking at the processes of the old server", SHORT, &Silent).await?;
            let senders: Vec<&str> =
                processes.lines().map(str::trim).filter(|p| p.contains("walsender")).collect();
            let held = match senders.join(", ") {
                none if none.is_empty() => "by no replication connection; see its log".to_owned(),
                some => format!("by process {some}; release the slot: cargo xtask stop-connector"),
            };
            self.set_wanted(Role::Old, true)?;
            return Err(Error::Refused(format!(
                "{cause}; the shutdown is held up {held}, then repeat: cargo xtask upgrade-database"
            )));
        }
        self.home
            .daemons
            .stop(&service, rustix::process::Signal::TERM, Duration::from_secs(5))
            .await
            .map(drop)
    }

    async fn pg_upgrade(&self, flags: &[&str], logs: &Path, observer: &Shared) -> Result<()> {
        let what = [&[PG_UPGRADE], flags].concat().join(" ");
        let task = Task::start(what.clone());
        let label = format!("{LABEL}={}", self.project);
        let run = ["run", "--rm", "-T", "--no-deps", "--label", &label, "pg-upgrade", "--retain"];
        let result = self.compose()?.args(run).args(flags).run(&what, DUMP, &**observer).await;
        self.keep_logs(logs).await?;
        result.map_err(from_the_fault)?;
        task.done();
        Ok(())
    }

    /// Copies what pg_upgrade has logged out of the volume, without secrets.
    async fn keep_logs(&self, logs: &Path) -> Result<()> {
        if !self.there("/pgdata/new/pg_upgrade_output.d").await? {
            return Ok(());
        }
        create_dir(&self.home.dir)?;
        let copy = tempfile::tempdir_in(&self.home.dir).map_err(Error::io("write to", &self.home.dir))?;
        let script = format!(
            "cp -r /pgdata/new/pg_upgrade_output.d/. /copy && chown -R {}:{} /copy",
            geteuid().as_raw(),
            getegid().as_raw()
        );
        let run = self
            .container()?
            .args(["--network=none", "--user=0:0", "--entrypoint=sh"])
            .args([
                format!("--volume={}:/pgdata", self.volume()),
                format!("--volume={}:/copy", copy.path().display()),
            ])
            .args([self.state()?.postgres_image(Role::New)])
            .args(["-c", &script]);
        run.run("copying the logs of pg_upgrade", SHORT, &Silent).await?;
        keep_logs(copy.path(), logs, &Redactor::new(self.home.secrets.all()))
    }

    /// Whether something is in the volume of the clusters.
    async fn there(&self, path: &str) -> Result<bool> {
        let script = format!("if [ -e {path} ]; then echo yes; else echo no; fi");
        Ok(self.in_volume(&["sh", "-c", &script], &crate::observe::silent()).await?.trim() == "yes")
    }
}
