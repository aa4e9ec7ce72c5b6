//! Takes a [`Snapshot`]; each part that cannot be observed is null, with its reason.

use std::collections::BTreeMap;

use artifacts::position::By;
use artifacts::row::tables;
use artifacts::run::Names;
use artifacts::snapshot::{ConnectorState, Role, Snapshot, StoredOffset};
use artifacts::{Lsn, Position, SCHEMA, time};
use stack::wait::Probe;
use stack::{connect, connector, kafka};

use crate::cx::{Cx, Who};

/// The parts of a snapshot besides the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Ask the slot which transactions it still holds.
    Look,
    /// Do not.
    Skip,
}

/// Observes one of the databases, the connector and the topics.
///
/// # Errors
/// The database does not answer: without it there is no snapshot.
pub(crate) async fn take(cx: &mut Cx, name: &str, role: Role, pending: Pending) -> anyhow::Result<Snapshot> {
    let names = cx.info.names.clone();
    let pg = cx.pg(role).await?;
    let connect = cx.connect()?;
    let kafka = cx.kafka()?;
    let registry = cx.registry()?;
    let taken_at = time::now();
    let mut unobserved = BTreeMap::new();
    let slot = pg.slot_row(&names.slot).await?;
    let mut seen = Seen { unobserved: &mut unobserved };
    let slot_pending = match (pending, &slot) {
        (Pending::Look, Some(_)) => {
            seen.or_none("/slot_pending", pg.pending_xids(&names.slot, &names.publication).await)
        }
        _ => None,
    };
    let offset = seen.or_none("/offset", connect.offsets(&names.connector).await);
    let config = seen.or_none("/connector", connect.config(&names.connector).await);
    let status = seen.or_none("/connector", connect.status(&names.connector).await).map(|s| s.raw);
    let topics = seen.or_default("/topics", topics(&kafka, &names.prefix).await);
    let subjects = match registry {
        Some(registry) => {
            let topics: Vec<String> = topics.keys().cloned().collect();
            seen.or_none("/subjects", registry.subjects_of(&topics).await)
        }
        None => None,
    };
    let sequences = seen.or_default("/sequences", pg.sequences().await);
    let roles = seen.or_default("/roles", pg.roles().await);
    let mut settings = seen.or_default("/settings", pg.settings().await);
    let controller = seen.or_none("/settings/kafka.controller", kafka.controller().await);
    settings.extend(controller.map(|who| ("kafka.controller".to_owned(), who.to_owned())));
    let broker = cx.info.versions.get("kafka").cloned();
    settings.extend(broker.map(|version| ("kafka.version".to_owned(), version)));
    let audit = seen.or_none("/audit", pg.audit().await).flatten();
    let server = pg.server().await?;
    let attributed = attribute(cx, name, offset.as_ref(), &slot, &server.position)?;
    Ok(Snapshot {
        schema: SCHEMA.into(),
        name: name.into(),
        taken_at,
        slot,
        publication: pg.publication(&names.publication).await?,
        replica_identity: pg.replica_identity(&tables()).await?,
        tables: pg.tables(&tables()).await?,
        sequences,
        roles,
        settings,
        offset: offset.and_then(|o| Some(StoredOffset { position: attributed?, raw: o.raw().clone() })),
        connector: config.zip(status).map(|(config, status)| ConnectorState { config, status }),
        topics,
        subjects,
        audit,
        slot_pending,
        server,
        unobserved,
    })
}

struct Seen<'a> {
    unobserved: &'a mut BTreeMap<String, String>,
}

impl Seen<'_> {
    fn or_none<T, E: std::fmt::Display>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.unobserved.insert(pointer.into(), e.to_string())).ok()
    }

    fn or_default<T: Default, E: std::fmt::Display>(&mut self, pointer: &str, result: Result<T, E>) -> T {
        self.or_none(pointer, result).unwrap_or_default()
    }
}

type Topics = BTreeMap<String, BTreeMap<i32, artifacts::snapshot::Bounds>>;

async fn topics(kafka: &kafka::Client, prefix: &str) -> kafka::Result<Topics> {
    kafka.bounds(&kafka.topics(prefix).await?).await
}

/// Connect's offset names no server, so we say whose position it is: the old server's for as long
/// as it is where it was at the cut, the new server's as soon as it is elsewhere.
fn attribute(
    cx: &Cx,
    name: &str,
    offset: Option<&connect::Offsets>,
    slot: &Option<serde_json::Map<String, serde_json::Value>>,
    asked: &Position,
) -> anyhow::Result<Option<Position>> {
    let Some(lsn) = offset.and_then(connect::Offsets::lsn) else { return Ok(None) };
    let mut position = Position { lsn, by: By::Attributed, ..asked.clone() };
    if matches!(name, "before" | "cut") {
        return Ok(Some(position));
    }
    let Some(cut) = cx.run.snapshot("cut")? else { return Ok(Some(position)) };
    let stale = cut.offset.as_ref().is_some_and(|o| o.position.lsn == lsn);
    let of_slot = slot.as_ref().and_then(|s| s.get("confirmed_flush_lsn")).and_then(|v| v.as_str());
    let rebased = of_slot.and_then(|text| text.parse::<Lsn>().ok()) == Some(lsn);
    if stale && !rebased {
        position.system_identifier = cut.server.position.system_identifier;
        position.timeline = cut.server.position.timeline;
    }
    Ok(Some(position))
}

/// The connector's configuration for one of the databases.
pub(crate) fn connector_config(cx: &mut Cx, role: Role) -> anyhow::Result<connector::Config> {
    let login = cx.login(role, Who::Debezium)?;
    let registry = cx.stack()?.endpoints().registry;
    let mut config = connector::config(
        &cx.info.names,
        &login,
        cx.info.heartbeat_ms,
        registry.map(|r| r.converter).as_ref(),
    )?;
    let strategy = cx.info.mismatch_strategy.clone();
    config.extend(strategy.map(|strategy| ("offset.mismatch.strategy".to_owned(), strategy)));
    if role == Role::New && cx.info.offsets == "reset" {
        config.insert("snapshot.mode".into(), "no_data".into());
    }
    Ok(config)
}

/// RUNNING is ready; FAILED never gets better by waiting, its trace says why.
pub(crate) async fn task_state(connect: &connect::Client, connector: &str) -> Probe<String> {
    match connect.status(connector).await {
        Err(e) => Probe::NotYet(e.to_string()),
        Ok(status) => match status.failure() {
            Some(failure) => Probe::Never(format!("FAILED: {failure}")),
            None if status.running() => Probe::Ready(status.to_string()),
            None => Probe::NotYet(status.to_string()),
        },
    }
}

/// Records in topics of the run so far; topics that do not exist yet have none.
pub(crate) async fn records(kafka: &kafka::Client, names: &Names) -> kafka::Result<u64> {
    let mut topics = kafka.topics(&names.prefix).await?;
    topics.retain(|topic| names.topics.contains(topic));
    let ends = kafka.ends(&topics).await?;
    Ok(ends.values().flat_map(|partitions| partitions.values()).map(|end| *end as u64).sum())
}

/// A random text for a marker.
pub(crate) fn nonce() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Every RandomState has fresh keys from the operating system.
    let part = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", part(), part())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_never_the_same() {
        assert_ne!(nonce(), nonce());
    }
}
