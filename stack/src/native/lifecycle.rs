//! Up and down: what runs when, and what is thrown away.

use std::time::Duration;

use artifacts::snapshot::Role;
use rustix::process::Signal;

use super::{CONNECT, KAFKA, Native, REGISTRY, WARM, ZOOKEEPER, archive, first_signal, port_of, service_of};
use crate::daemon::ExitInfo;
use crate::error::{Error, Result};
use crate::observe::Shared;
use crate::options::{Down, Parts};
use crate::paths::{create_dir, remove_dir, require_open};
use crate::ports::Ports;
use crate::progress::{self, Task};
use crate::provision::{self, Provision};
use crate::state::{State, Tools};

const STOP: Duration = Duration::from_secs(30);
/// Longer: an open replication connection holds a fast shutdown up.
const STOP_POSTGRES: Duration = Duration::from_secs(90);
/// For the servers, when everything ends.
const STOP_FOR_GOOD: Duration = Duration::from_secs(5);

impl Native {
    /// Provisions, starts or re-uses Kafka and Kafka Connect, and starts a fresh old server.
    pub(crate) async fn up(&mut self, from: u32, to: u32, parts: Parts, observer: &Shared) -> Result<()> {
        self.home.check_secrets()?;
        let provision = Provision { paths: &self.home.paths, install: self.home.options.install, observer };
        let mut tools = provision.tools(&[from, to], parts).await?;
        tools.archives = archive::prepare(&provision, &tools).await;
        create_dir(&self.home.dir)?;
        require_open(
            tools.postgres.values().map(|tools| tools.bindir.as_path()).chain([self.home.dir.as_path()]),
        )?;
        self.home.secrets.write(&self.home.dir)?;
        let kept = self.state.take();
        self.stop_outdated(kept.as_ref(), &tools).await?;
        self.stop_others(true).await?;
        if kept.is_none() {
            // What nobody remembers begins anew: offsets that a lost state has left would be of another database.
            WARM.iter().try_for_each(|service| remove_dir(&self.home.dir.join(service)))?;
        }
        remove_dir(&self.home.dir.join("postgres"))?;
        let ports = self.settle_ports(kept.as_ref(), self.home.options.standard_ports, parts.registry)?;
        if kept.as_ref().is_some_and(|state| state.ports != ports) {
            self.stop_warm().await?;
        }
        let locale = super::cluster::locale().await;
        let mut state = State::new(from, to, ports, locale, tools);
        state.generation = kept.map_or(0, |state| state.generation) + 1;
        state.postgres.insert(Role::Old, true);
        state.log_marks = crate::logs::marks(&self.home.dir);
        state.write(&self.home.dir)?;
        self.state = Some(state);
        let task = Task::start(format!("starting PostgreSQL {from}, Kafka and Kafka Connect"));
        tokio::try_join!(self.start_warm(observer), self.fresh_postgres(Role::Old, observer))?;
        task.done();
        Ok(())
    }

    /// Restarts what has died; deletes nothing.
    pub(crate) async fn ensure_running(&mut self, observer: &Shared) -> Result<()> {
        let state = self.state()?.clone();
        let ports = self.settle_ports(Some(&state), state.ports.standard, state.tools.registry.is_some())?;
        if ports != state.ports {
            self.stop_warm().await?;
            let state = self.state_mut()?;
            state.ports = ports;
            let state = state.clone();
            state.write(&self.home.dir)?;
        }
        self.start_warm(observer).await?;
        for (role, wanted) in state.postgres {
            if wanted && self.home.daemons.find(&service_of(role)).is_none() {
                self.start_postgres(role, observer).await?;
            }
        }
        Ok(())
    }

    /// A fresh new server beside the old one, which goes on running.
    pub(crate) async fn replace_postgres(&mut self, observer: &Shared) -> Result<()> {
        // Its port has been free since `up`: somebody else may have taken it.
        if self.state()?.in_place.is_some() {
            let text = "the old server was upgraded in place: begin anew with: cargo xtask up";
            return Err(Error::Refused(text.into()));
        }
        let state = self.state()?.clone();
        let ports = self.settle_ports(Some(&state), state.ports.standard, state.tools.registry.is_some())?;
        self.state_mut()?.ports.postgres_new = ports.postgres_new;
        // A half-made cluster is no server to start again.
        self.set_wanted(Role::New, false)?;
        self.fresh_postgres(Role::New, observer).await?;
        self.set_wanted(Role::New, true)
    }

    /// Stops a server by a fast shutdown; its data stays.
    pub(crate) async fn stop_postgres(&mut self, role: Role) -> Result<ExitInfo> {
        if self.state()?.postgres.contains_key(&role) {
            self.set_wanted(role, false)?;
        }
        let service = service_of(role);
        let info = self.home.daemons.stop(&service, first_signal(&service), STOP_POSTGRES).await?;
        self.home.daemons.sweep(Some(&service)).await?;
        Ok(info)
    }

    /// Starts a server on the data it has.
    pub(crate) async fn start_postgres(&mut self, role: Role, observer: &Shared) -> Result<()> {
        if !self.state()?.postgres.contains_key(&role) {
            return Err(Error::Refused(format!(
                "the stack '{}' has no {role} server",
                self.home.options.name
            )));
        }
        if role == Role::Old {
            self.old_may_start()?;
        }
        self.set_wanted(role, true)?;
        self.run_postgres(role, observer).await
    }

    /// Ends every process; with `volumes`, removes the stack's folder.
    pub(crate) async fn down(&mut self, volumes: bool) -> Result<Down> {
        // Connect first: a connector whose database is gone takes 10 s to give up. Without Kafka it has nobody
        // to take leave of, and tries all the same.
        let patience = if self.home.daemons.find(KAFKA).is_some() { STOP } else { STOP_FOR_GOOD };
        let mut ended =
            usize::from(self.home.daemons.stop(CONNECT, first_signal(CONNECT), patience).await?.was_running);
        ended += self.stop_others(volumes).await?;
        ended += self.stop_warm().await?;
        ended += self.home.daemons.sweep(None).await?;
        provision::clean(&self.home.paths);
        if volumes {
            self.state = None;
            self.home.secrets_lost = false;
            remove_dir(&self.home.dir)?;
        }
        Ok(Down { ended })
    }

    pub(super) fn set_wanted(&mut self, role: Role, wanted: bool) -> Result<()> {
        let dir = self.home.dir.clone();
        let state = self.state_mut()?;
        state.postgres.insert(role, wanted);
        state.write(&dir)
    }

    /// Stops everything but Kafka and Kafka Connect: writers first. Servers whose data folders are about to be
    /// deleted write no checkpoint and wait for no WAL sender.
    async fn stop_others(&self, deleted: bool) -> Result<usize> {
        let services = self.home.daemons.services();
        let is_postgres = |s: &&String| s.starts_with("postgres-");
        let mut ended = 0;
        for service in services.iter().filter(|s| !WARM.contains(&s.as_str()) && !is_postgres(s)) {
            ended +=
                usize::from(self.home.daemons.stop(service, first_signal(service), STOP).await?.was_running);
        }
        for service in services.iter().filter(is_postgres) {
            let signal = if deleted { Signal::QUIT } else { first_signal(service) };
            ended += usize::from(self.home.daemons.stop(service, signal, STOP_FOR_GOOD).await?.was_running);
            self.home.daemons.sweep(Some(service)).await?;
        }
        Ok(ended)
    }

    /// Stops what was started from other programs than those that are wanted now. Connect goes before the
    /// servers: a connector whose database is gone takes 10 s to give up.
    async fn stop_outdated(&self, kept: Option<&State>, wanted: &Tools) -> Result<()> {
        let Some(had) = kept.map(|state| &state.tools) else { return self.stop_warm().await.map(drop) };
        if had.zookeeper != wanted.zookeeper {
            controller_changes(had.zookeeper.is_some(), wanted.zookeeper.is_some());
        }
        if had.kafka != wanted.kafka || had.java != wanted.java || had.zookeeper != wanted.zookeeper {
            self.stop_warm().await?;
        } else if had.registry != wanted.registry {
            self.stop_all(&[CONNECT, REGISTRY]).await?;
        }
        Ok(())
    }

    /// Stops Kafka Connect, then what it needs.
    async fn stop_warm(&self) -> Result<usize> {
        self.stop_all(&WARM).await
    }

    async fn stop_all(&self, services: &[&str]) -> Result<usize> {
        let mut ended = 0;
        for service in services {
            ended +=
                usize::from(self.home.daemons.stop(service, first_signal(service), STOP).await?.was_running);
            self.home.daemons.sweep(Some(service)).await?;
        }
        Ok(ended)
    }

    fn settle_ports(&mut self, state: Option<&State>, standard: bool, registry: bool) -> Result<Ports> {
        self.home.settle_ports(state.map(|s| &s.ports), standard, registry, |daemons, port| {
            let Some(state) = state else { return false };
            let runs = |service: &str| daemons.find(service).is_some();
            let ports = &state.ports;
            ((port == ports.kafka || port == ports.controller) && runs(KAFKA))
                || (port == ports.controller && runs(ZOOKEEPER))
                || (port == ports.connect && runs(CONNECT))
                || (port == ports.registry && runs(REGISTRY))
                || [Role::Old, Role::New].iter().any(|r| port == port_of(state, *r) && runs(&service_of(*r)))
        })
    }
}

/// Says what becomes of Kafka's topics when ZooKeeper comes or goes.
pub(crate) fn controller_changes(had: bool, has: bool) {
    let with = |zookeeper: bool| if zookeeper { "ZooKeeper" } else { "KRaft" };
    progress::line(&format!(
        "Kafka ran with {}; with {} it begins without the topics of earlier runs",
        with(had),
        with(has)
    ));
}
