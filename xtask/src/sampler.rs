//! Looks at the running components about once a second, for the timeline and for the sentence
//! "connector and task were RUNNING all the time".

use std::sync::Arc;
use std::time::Duration;

use artifacts::events::EventKind;
use artifacts::run::Names;
use artifacts::snapshot::Role;
use stack::observe::{self, Observer};
use stack::{Stack, connect, postgres};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::cx::{self, Who};
use crate::recorder::Recorder;

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_millis(800);

/// Samples until it is stopped.
pub(crate) struct Sampler {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

struct Looker {
    connect: Option<connect::Client>,
    login: Option<postgres::Login>,
    client: Option<postgres::Client>,
    names: Names,
    role: Role,
}

impl Sampler {
    /// Starts looking at Connect and at one of the databases.
    pub(crate) fn start(stack: &Stack, names: &Names, role: Role, recorder: Arc<Recorder>) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let mut looker = Looker {
            connect: connect::Client::new(&stack.endpoints().connect, observe::silent()).ok(),
            login: cx::login(stack, &names.database, role, Who::Superuser).ok(),
            client: None,
            names: names.clone(),
            role,
        };
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    _ = ticks.tick() => {}
                }
                let look = tokio::time::timeout(PATIENCE, looker.look());
                tokio::select! {
                    _ = &mut stopped => return,
                    sample = look => if let Ok(Some(sample)) = sample { recorder.event(sample, None) },
                }
            }
        });
        Self { stop, task }
    }

    /// Ends the sampling.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

impl Looker {
    async fn look(&mut self) -> Option<EventKind> {
        let status = match &self.connect {
            Some(connect) => connect.status(&self.names.connector).await.ok(),
            None => None,
        };
        if self.client.is_none()
            && let Some(login) = &self.login
        {
            self.client = postgres::Client::connect(login, self.role, observe::silent()).await.ok();
        }
        let seen = match &self.client {
            Some(client) => client.sample(&self.names.slot).await.ok(),
            None => None,
        };
        if seen.is_none() {
            self.client = None;
        }
        if status.is_none() && seen.is_none() {
            return None;
        }
        Some(EventKind::Sample {
            connector: status.as_ref().map(|s| s.connector.to_string()),
            task: status.and_then(|s| s.tasks.first().map(|t| t.state.to_string())),
            server: self.role.to_string(),
            wal_lsn: seen.as_ref().map(|s| s.wal_lsn),
            confirmed_flush_lsn: seen.as_ref().and_then(|s| s.confirmed_flush_lsn),
            retained_bytes: seen.as_ref().and_then(|s| s.retained_bytes),
        })
    }
}
