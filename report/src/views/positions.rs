//! Positions at every moment: an LSN means something only within the history of one server.

use artifacts::Lsn;
use artifacts::snapshot::Snapshot;
use serde::Serialize;

use crate::input::{Input, Seen};
use crate::text::clip;

/// What the section shows.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    /// One sentence about the moment that decides.
    pub(crate) judgement: String,
    /// The sentence is a warning.
    pub(crate) odd: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) drains: Vec<String>,
}

/// One snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) moment: &'static str,
    /// Why there is nothing else in the row.
    pub(crate) unobserved: Option<String>,
    pub(crate) server: String,
    pub(crate) system: String,
    pub(crate) wal: String,
    pub(crate) restart: String,
    pub(crate) confirmed: String,
    pub(crate) active: String,
    pub(crate) offset: String,
    pub(crate) offset_system: String,
    /// Offset and server are of different histories.
    pub(crate) foreign: bool,
    /// ... at a moment when the connector reads: before it is resumed, that is no fault.
    pub(crate) odd: bool,
}

/// Builds the view.
pub(crate) fn view(input: &Input) -> View {
    let (judgement, odd) = judge(input.snapshots.iter().find(|(n, _)| *n == "at-resume").map(|(_, s)| s));
    let drains = input.drains.iter().map(|(name, d)| {
        let marker = format!("{name}: marker at {}", d.marker.lsn);
        let stored = d.stored_lsn_commit.map_or("not observed".into(), |l| l.to_string());
        let arrived = match &d.arrived {
            Some((topic, p, o)) => format!("marker read back from {}/{p} at offset {o}", clip(topic, 80)),
            None => "marker not read back".into(),
        };
        format!("{marker}, stored offset's lsn_commit {stored}, {arrived}")
    });
    View {
        judgement,
        odd,
        rows: input.snapshots.iter().map(|(n, s)| row(n, s)).collect(),
        drains: drains.collect(),
    }
}

fn slot_lsn(snapshot: &Snapshot, column: &str) -> Option<Lsn> {
    snapshot.slot.as_ref()?.get(column)?.as_str()?.parse().ok()
}

fn judge(snapshot: Option<&Seen<Snapshot>>) -> (String, bool) {
    let s = match snapshot {
        Some(Ok(s)) => s,
        Some(Err(why)) => {
            return (format!("The positions at resume were not observed: {}.", clip(why, 300)), true);
        }
        None => return ("The positions at resume were not observed.".into(), true),
    };
    let Some(offset) = &s.offset else {
        return (
            "At resume there was no stored offset: the connector starts by its snapshot.mode.".into(),
            false,
        );
    };
    let (lsn, server) = (offset.position.lsn, &s.server.position);
    if !offset.position.same_history(server) {
        let text = format!(
            "At resume the stored offset {lsn} was a position of system {}, but the connector was about to read \
             from system {}, whose WAL was at {}. The two numbers do not measure the same thing.",
            clip(&offset.position.system_identifier, 40),
            clip(&server.system_identifier, 40),
            server.lsn
        );
        return (text, true);
    }
    let Some(restart) = slot_lsn(s, "restart_lsn") else {
        return (
            format!("At resume the stored offset was {lsn}; the slot's restart_lsn was not observed."),
            true,
        );
    };
    if lsn < restart || lsn > server.lsn {
        let text = format!(
            "At resume the stored offset {lsn} lay outside what the server could give: from restart_lsn {restart} \
             to WAL {}.",
            server.lsn
        );
        return (text, true);
    }
    let text = format!(
        "At resume the stored offset {lsn} was a position of the server that the connector was about to read, \
         between restart_lsn {restart} and WAL {}.",
        server.lsn
    );
    (text, false)
}

fn row(moment: &'static str, snapshot: &Seen<Snapshot>) -> Row {
    let dash = || "–".to_owned();
    let s = match snapshot {
        Ok(s) => s,
        Err(why) => {
            return Row {
                moment,
                unobserved: Some(clip(why, 300)),
                server: dash(),
                system: dash(),
                wal: dash(),
                restart: dash(),
                confirmed: dash(),
                active: dash(),
                offset: dash(),
                offset_system: dash(),
                foreign: false,
                odd: false,
            };
        }
    };
    let lsn = |column| slot_lsn(s, column).map_or_else(dash, |l| l.to_string());
    let foreign = s.offset.as_ref().is_some_and(|o| !o.position.same_history(&s.server.position));
    let active = s.slot.as_ref().and_then(|row| row.get("active")?.as_bool());
    Row {
        moment,
        unobserved: None,
        server: format!("{} {}", s.server.role, clip(&s.server.version, 40)),
        system: clip(&s.server.position.system_identifier, 40),
        wal: s.server.position.lsn.to_string(),
        restart: lsn("restart_lsn"),
        confirmed: lsn("confirmed_flush_lsn"),
        active: match (&s.slot, active) {
            (None, _) if s.unobserved.contains_key("/slot") => "not observed".into(),
            (None, _) => "no slot".into(),
            (Some(_), Some(true)) => "active".into(),
            (Some(_), Some(false)) => "inactive".into(),
            (Some(_), None) => dash(),
        },
        offset: s.offset.as_ref().map_or_else(dash, |o| o.position.lsn.to_string()),
        offset_system: s.offset.as_ref().map_or_else(dash, |o| clip(&o.position.system_identifier, 40)),
        foreign,
        odd: foreign && matches!(moment, "at-resume" | "after"),
    }
}
