//! TCP ports on 127.0.0.1, picked under a lock that all stacks of the machine share.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::observe::Silent;
use crate::procfs;
use crate::wait::{self, Probe};

/// Below the ephemeral range, so that no client is given one of them.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 1000;
const LOCK_DEADLINE: Duration = Duration::from_secs(20);

/// The ports of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The database before the upgrade.
    pub(crate) postgres_old: u16,
    /// The database after it.
    pub(crate) postgres_new: u16,
    /// Kafka's clients.
    pub(crate) kafka: u16,
    /// Kafka's controller.
    pub(crate) controller: u16,
    /// Kafka Connect.
    pub(crate) connect: u16,
    /// They are the usual ones and must not change.
    pub(crate) standard: bool,
}

impl Ports {
    /// All five.
    pub(crate) fn all(&self) -> [u16; 5] {
        [self.postgres_old, self.postgres_new, self.kafka, self.controller, self.connect]
    }

    fn standard() -> Self {
        // The controller's port is nobody's business and stays random.
        Self {
            postgres_old: 5432,
            postgres_new: 5433,
            kafka: 9092,
            controller: 0,
            connect: 8083,
            standard: true,
        }
    }

    fn none() -> Self {
        Self { postgres_old: 0, postgres_new: 0, kafka: 0, controller: 0, connect: 0, standard: false }
    }

    /// Keeps what can be kept and picks the rest: a port is kept when it is free or `ours` says
    /// that a component of this stack has it.
    ///
    /// # Errors
    /// A standard port is in use (by whom, if that can be seen), or no port is free.
    pub(crate) async fn settle(
        kept: Option<Self>,
        standard: bool,
        taken: &[u16],
        ours: impl Fn(u16) -> bool,
    ) -> Result<Self> {
        let _lock = machine_lock().await?;
        let start = match (kept, standard) {
            (Some(kept), false) => kept,
            (Some(kept), true) if kept.standard => kept,
            (_, true) => Self::standard(),
            (None, false) => Self::none(),
        };
        let mut used: Vec<u16> = taken.to_vec();
        let mut settle = |port: u16, fixed: bool| -> Result<u16> {
            let usable = port != 0 && (ours(port) || (is_free(port) && (fixed || !used.contains(&port))));
            let port = match (usable, fixed) {
                (true, _) => port,
                (false, true) => return Err(in_use(port)),
                (false, false) => pick(&used)?,
            };
            used.push(port);
            Ok(port)
        };
        let fixed = start.standard;
        Ok(Self {
            postgres_old: settle(start.postgres_old, fixed)?,
            postgres_new: settle(start.postgres_new, fixed)?,
            kafka: settle(start.kafka, fixed)?,
            controller: settle(start.controller, false)?,
            connect: settle(start.connect, fixed)?,
            standard: fixed,
        })
    }
}

fn in_use(port: u16) -> Error {
    let by = match procfs::listener(port) {
        Some(process) => format!("process {} ({})", process.pid, process.command()),
        None => "a process of another user".into(),
    };
    Error::preflight(
        format!("port {port} on 127.0.0.1 is in use by {by}"),
        "end it or leave out --ports standard".to_owned(),
    )
}

/// Whether nobody listens on it.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn pick(used: &[u16]) -> Result<u16> {
    let mut random = rand::rng();
    let candidates = (0..TRIES).map(|_| random.random_range(RANGE));
    candidates.into_iter().find(|port| !used.contains(port) && is_free(*port)).ok_or_else(|| {
        Error::preflight(
            format!("no free port found between {} and {}", RANGE.start, RANGE.end),
            "see which processes hold them with: ss -ltnp",
        )
    })
}

/// An abstract socket: one per network, as ports are, for all users, gone with its holder.
async fn machine_lock() -> Result<UnixListener> {
    let bind =
        || SocketAddr::from_abstract_name("pg-cdc-rehearsal-ports").and_then(|a| UnixListener::bind_addr(&a));
    let lock = wait::until(&Silent, "the lock on ports", LOCK_DEADLINE, || async move {
        match bind() {
            Ok(lock) => Probe::Ready(lock),
            Err(e) => Probe::NotYet(e.to_string()),
        }
    })
    .await?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ports_are_kept_while_they_can_be() {
        let first = Ports::settle(None, false, &[], |_| false).await.unwrap();
        assert!(first.all().iter().all(|port| RANGE.contains(port)));
        let again = Ports::settle(Some(first.clone()), false, &[], |_| false).await.unwrap();
        assert_eq!(first, again);
        let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, first.kafka)).unwrap();
        let moved = Ports::settle(Some(first.clone()), false, &[], |_| false).await.unwrap();
        assert_ne!(first.kafka, moved.kafka);
        assert_eq!(first.connect, moved.connect);
        let ours = Ports::settle(Some(first.clone()), false, &[], |port| port == first.kafka).await.unwrap();
        assert_eq!(first, ours);
    }

    #[test]
    fn a_port_in_use_names_its_holder() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let message = in_use(port).to_string();
        assert!(
            message.contains(&format!("port {port}")) && message.contains(&std::process::id().to_string())
        );
    }
}
