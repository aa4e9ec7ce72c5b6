//! `replication-ready`: slot, publication, replica identity and wal_level are as the connector
//! needs them, before it resumes and at the end.

use artifacts::findings::Evidence;
use artifacts::row;
use artifacts::snapshot::Snapshot;
use serde_json::Value;

use super::stage::publishes;
use super::{Answer, Check, count, evidence};
use crate::verify::context::{Context, Doubt};
use crate::verify::remedy;
use crate::verify::violations::Violations;

const MOMENTS: [&str; 2] = ["at-resume", "after"];
const REAL: &str = "shut the writers out and stop the connector, make what lacks (wal_level needs a restart; publication and \
                    replica identity before the slot), PATCH the offset to the slot's confirmed_flush_lsn, resume; what \
                    was written before the slot was made needs a new snapshot";

/// See the module.
pub(super) struct ReplicationReady;

impl Check for ReplicationReady {
    fn name(&self) -> &'static str {
        "replication-ready"
    }

    fn finish(&mut self, cx: &Context, _out: &mut Violations) -> Answer {
        let mut look = Look { cx, compared: 0, wrong: Vec::new(), seen: Vec::new(), doubts: Vec::new() };
        for name in MOMENTS {
            match cx.snapshot(name) {
                Ok(snapshot) => look.at(snapshot),
                Err(doubt) => look.doubts.push(doubt),
            }
        }
        let Look { compared, wrong, seen, doubts, .. } = look;
        if !wrong.is_empty() {
            let first = wrong[0].text.clone();
            let more = wrong.len() - 1;
            let rest =
                if more > 0 { format!(", and {} more", count(more as u64, "thing")) } else { String::new() };
            let remedy = remedy::rehearse_or(&cx.run, REAL);
            return Answer::broken(compared, format!("{first}{rest}"), &remedy).with(wrong);
        }
        if !doubts.is_empty() {
            return Answer::unknown(compared, &doubts);
        }
        let text = "slot, publication, replica identity and wal_level are as the connector needs them, before resume \
                    and at the end";
        Answer::held(compared, text.to_owned()).with(seen)
    }
}

struct Look<'a> {
    cx: &'a Context,
    compared: u64,
    wrong: Vec<Evidence>,
    seen: Vec<Evidence>,
    doubts: Vec<Doubt>,
}

impl Look<'_> {
    fn at(&mut self, snapshot: &Snapshot) {
        self.slot(snapshot);
        self.publication(snapshot);
        for (table, columns) in &self.cx.tables {
            let found = snapshot.replica_identity.get(table).map(String::as_str);
            let pointer = format!("/replica_identity/{table}");
            let wanted = row::replica_identity(columns);
            let name = if wanted == "f" { "f (full)" } else { "d (default)" };
            let what = format!("replica identity of {table}");
            self.expect(snapshot, &pointer, &what, found, |v| v == wanted, name);
        }
        let found = snapshot.settings.get("wal_level").map(String::as_str);
        self.expect(snapshot, "/settings/wal_level", "wal_level", found, |v| v == "logical", "logical");
    }

    fn slot(&mut self, snapshot: &Snapshot) {
        let Some(slot) = &snapshot.slot else {
            return self.expect(snapshot, "/slot", "slot", None, |_| true, &self.cx.run.names.slot);
        };
        let names = &self.cx.run.names;
        let text = |column: &str| slot.get(column).and_then(Value::as_str);
        self.expect(
            snapshot,
            "/slot/plugin",
            "the slot's plugin",
            text("plugin"),
            |v| v == "pgoutput",
            "pgoutput",
        );
        let yes = |column: &str| {
            slot.get(column).and_then(Value::as_bool).map(|yes| if yes { "yes" } else { "no" })
        };
        let more = [
            ("slot_name", text("slot_name"), names.slot.as_str()),
            ("slot_type", text("slot_type"), "logical"),
            ("temporary", yes("temporary"), "no"),
            ("conflicting", yes("conflicting"), "no"),
        ];
        for (column, found, wanted) in more {
            let pointer = format!("/slot/{column}");
            self.must_be(snapshot, &pointer, &format!("the slot's {column}"), found, wanted);
        }
        let database = |v: &str| v == names.database;
        self.expect(
            snapshot,
            "/slot/database",
            "the slot's database",
            text("database"),
            database,
            &names.database,
        );
        let kept = |v: &str| matches!(v, "reserved" | "extended");
        let wanted = "reserved or extended";
        self.expect(snapshot, "/slot/wal_status", "the slot's wal_status", text("wal_status"), kept, wanted);
        let position = format!(
            "{}: slot {} at restart_lsn {}, confirmed_flush_lsn {}",
            snapshot.name,
            names.slot,
            text("restart_lsn").unwrap_or("none"),
            text("confirmed_flush_lsn").unwrap_or("none")
        );
        self.seen.push(evidence(position, &file(snapshot), "/slot"));
    }

    fn publication(&mut self, snapshot: &Snapshot) {
        let Some(publication) = &snapshot.publication else {
            let wanted = &self.cx.run.names.publication;
            return self.expect(snapshot, "/publication", "publication", None, |_| true, wanted);
        };
        let name = publication.get("name").and_then(Value::as_str);
        self.must_be(snapshot, "/publication/name", "publication", name, &self.cx.run.names.publication);
        for part in ["tables", "insert", "update", "delete"] {
            if publication.get(part).is_none_or(Value::is_null) {
                let text = format!("{}: the publication does not say its '{part}'", snapshot.name);
                let evidence = evidence(text, &file(snapshot), "/publication");
                self.doubts.push(Doubt { evidence, remedy: remedy::rehearse(&self.cx.run) });
            }
        }
        for table in self.cx.tables.keys() {
            let found = if publishes(publication, table) { "published" } else { "not published" };
            let pointer = "/publication/tables";
            self.expect(snapshot, pointer, table, Some(found), |v| v == "published", "published");
        }
        for kind in ["insert", "update", "delete"] {
            let left_out = publication.get(kind) == Some(&Value::Bool(false));
            let found = if left_out { "not published" } else { "published" };
            let pointer = format!("/publication/{kind}");
            self.expect(snapshot, &pointer, kind, Some(found), |v| v == "published", "published");
        }
    }

    /// A comparison of what not every version of PostgreSQL shows.
    fn must_be(&mut self, snapshot: &Snapshot, pointer: &str, what: &str, found: Option<&str>, wanted: &str) {
        if found.is_some() {
            self.expect(snapshot, pointer, what, found, |v| v == wanted, wanted);
        }
    }

    /// One comparison. What nobody observed is a doubt, what is not there is wrong.
    fn expect(
        &mut self,
        snapshot: &Snapshot,
        pointer: &str,
        what: &str,
        found: Option<&str>,
        right: impl Fn(&str) -> bool,
        wanted: &str,
    ) {
        self.compared += 1;
        if found.is_some_and(right) {
            return;
        }
        let top = format!("/{}", pointer.split('/').nth(1).unwrap_or_default());
        let why = snapshot.unobserved.get(pointer).or(snapshot.unobserved.get(&top));
        if let (None, Some(why)) = (found, why) {
            let text = format!("{}: {what} was not observed: {why}", snapshot.name);
            let evidence = evidence(text, &file(snapshot), pointer);
            return self.doubts.push(Doubt { evidence, remedy: remedy::rehearse(&self.cx.run) });
        }
        let found = found.unwrap_or("not there");
        let instead =
            if found == format!("not {wanted}") { String::new() } else { format!(", not {wanted}") };
        let text = format!("{}: {what} is {found}{instead}", snapshot.name);
        self.wrong.push(evidence(text, &file(snapshot), pointer));
    }
}

fn file(snapshot: &Snapshot) -> String {
    format!("snapshots/{}.json", snapshot.name)
}
