//! TCP ports on 127.0.0.1. A port is reserved from when it is picked until the process that picked
//! it ends: components bind seconds later, and stacks of other users do not see our files.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::procfs;

/// Below the ephemeral range, so that no client is given one of them.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
const TRIES: usize = 1000;

/// The ports of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The database before the upgrade.
    pub(crate) postgres_old: u16,
    /// The database after it.
    pub(crate) postgres_new: u16,
    /// Kafka's clients.
    pub(crate) kafka: u16,
    /// Kafka's controller: its own, or ZooKeeper.
    pub(crate) controller: u16,
    /// Kafka Connect.
    pub(crate) connect: u16,
    /// The Schema Registry, whether it runs or not.
    #[serde(default)]
    pub(crate) registry: u16,
    /// They are the usual ones and must not change.
    pub(crate) standard: bool,
}

impl Ports {
    /// All six.
    pub(crate) fn all(&self) -> [u16; 6] {
        [self.postgres_old, self.postgres_new, self.kafka, self.controller, self.connect, self.registry]
    }

    fn standard() -> Self {
        // The controller's port is nobody's business and stays random.
        Self {
            postgres_old: 5432,
            postgres_new: 5433,
            kafka: 9092,
            controller: 0,
            connect: 8083,
            registry: 8081,
            standard: true,
        }
    }

    /// Keeps what can be kept and picks the rest: a port is kept when it is free or `ours` says
    /// that a component of this stack has it. Standard ports are given up when they are no longer
    /// asked for. Only a `registry` that is wanted insists on its standard port.
    ///
    /// # Errors
    /// A standard port is in use (by whom, if that can be seen), or no port is free.
    pub(crate) fn settle(
        kept: Option<Self>,
        standard: bool,
        registry: bool,
        taken: &[u16],
        reserved: &mut Reserved,
        ours: impl Fn(u16) -> bool,
    ) -> Result<Self> {
        let start = match kept {
            Some(kept) if kept.standard == standard => kept,
            _ if standard => Self::standard(),
            _ => Self::default(),
        };
        let mut used: Vec<u16> = taken.to_vec();
        let mut settle = |port: u16, fixed: bool| -> Result<u16> {
            let free = |reserved: &mut Reserved| reserved.hold(port) && is_free(port);
            let usable =
                port != 0 && (ours(port) || ((fixed || !used.contains(&port)) && free(&mut *reserved)));
            let port = match (usable, fixed) {
                (true, _) => port,
                (false, true) => return Err(in_use(port)),
                (false, false) => pick(&used, reserved)?,
            };
            used.push(port);
            Ok(port)
        };
        let ports = Self {
            postgres_old: settle(start.postgres_old, standard)?,
            postgres_new: settle(start.postgres_new, standard)?,
            kafka: settle(start.kafka, standard)?,
            controller: settle(start.controller, false)?,
            connect: settle(start.connect, standard)?,
            registry: settle(if standard { 8081 } else { start.registry }, standard && registry)?,
            standard,
        };
        reserved.0.retain(|port, _| ports.all().contains(port));
        Ok(ports)
    }
}

/// Ports that no other stack of the machine picks while this is kept: abstract sockets, of which
/// there is one set per network, as of ports, for all users; they are gone with their holder.
#[derive(Debug, Default)]
pub(crate) struct Reserved(BTreeMap<u16, UnixListener>);

impl Reserved {
    /// Reserves a port; false when another stack has.
    fn hold(&mut self, port: u16) -> bool {
        let bind = || UnixListener::bind_addr(&SocketAddr::from_abstract_name(name(port))?);
        self.0.contains_key(&port) || bind().is_ok_and(|socket| self.0.insert(port, socket).is_none())
    }
}

fn name(port: u16) -> String {
    format!("pg-cdc-rehearsal-port-{port}")
}

fn in_use(port: u16) -> Error {
    let by = match procfs::listener(port) {
        Some(process) => format!("process {} ({})", process.pid, process.command()),
        None => "another stack or a process of another user".into(),
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

fn pick(used: &[u16], reserved: &mut Reserved) -> Result<u16> {
    let mut random = rand::rng();
    let mut candidates = (0..TRIES).map(|_| random.random_range(RANGE));
    candidates.find(|port| !used.contains(port) && reserved.hold(*port) && is_free(*port)).ok_or_else(|| {
        Error::preflight(
            format!("no free port found between {} and {}", RANGE.start, RANGE.end),
            "see which processes hold them with: ss -ltnp",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(kept: Option<&Ports>, standard: bool, ours: impl Fn(u16) -> bool) -> Ports {
        Ports::settle(kept.cloned(), standard, false, &[], &mut Reserved::default(), ours).unwrap()
    }

    #[test]
    fn ports_are_kept_while_they_can_be() {
        let first = settle(None, false, |_| false);
        assert!(first.all().iter().all(|port| RANGE.contains(port)));
        assert_eq!(first, settle(Some(&first), false, |_| false));
        let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, first.kafka)).unwrap();
        let moved = settle(Some(&first), false, |_| false);
        assert_ne!(first.kafka, moved.kafka);
        assert_eq!(first.connect, moved.connect);
        assert_eq!(first, settle(Some(&first), false, |port| port == first.kafka));
    }

    #[test]
    fn what_another_stack_has_picked_is_not_picked_before_it_is_bound() {
        let (mut one, mut two) = (Reserved::default(), Reserved::default());
        let first = Ports::settle(None, false, false, &[], &mut one, |_| false).unwrap();
        assert_eq!(one.0.len(), 6);
        let again = Ports::settle(Some(first.clone()), false, false, &[], &mut one, |_| false).unwrap();
        assert_eq!(first, again, "its own reservations do not stop it");
        let second = Ports::settle(Some(first.clone()), false, false, &[], &mut two, |_| false).unwrap();
        assert!(second.all().iter().all(|port| !first.all().contains(port)));
        drop(one);
        assert_eq!(first, settle(Some(&first), false, |_| false));
    }

    #[test]
    fn standard_ports_are_given_up_when_they_are_not_asked_for() {
        let kept = Ports { controller: 20_001, ..Ports::standard() };
        let free = settle(Some(&kept), false, |_| true);
        assert!(!free.standard && free.all().iter().all(|port| RANGE.contains(port)), "{free:?}");
        let again = settle(Some(&kept), true, |_| true);
        assert_eq!(again, kept);
        assert_eq!(settle(Some(&free), true, |_| true).connect, 8083);
    }

    #[test]
    fn a_registry_that_is_not_wanted_does_not_insist_on_its_port() {
        let registry = |wanted: bool, kept: Option<Ports>| {
            let ours = |port| port != 8081;
            Ports::settle(kept, true, wanted, &[8081], &mut Reserved::default(), ours).map(|p| p.registry)
        };
        let Ok(other) = registry(false, None) else { panic!("refused") };
        assert!(RANGE.contains(&other));
        let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, 8081));
        let kept = Ports { registry: other, ..Ports::standard() };
        assert!(registry(true, Some(kept)).unwrap_err().to_string().contains("port 8081"));
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
