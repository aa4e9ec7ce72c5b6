//! How a transaction of the simulation goes: its lines in the ledger, its rows, its events.

use artifacts::Result;
use artifacts::ledger::{Change, Entry, Fate, Op};
use artifacts::position::Lsn;
use artifacts::row::{self, Digest};
use artifacts::summary::{Changes, Summary, Transactions};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Outcome, PREFIX, Planned, Sim, start};
use crate::synth::Record;
use crate::synth::rows::{Event, Row, Version, key_only};

impl Sim<'_> {
    pub(super) fn run(&mut self, mut group: Vec<Planned>) -> Result<()> {
        for planned in &group {
            let entry = Entry::Invoke {
                tx: planned.tx.clone(),
                t: self.tick(1),
                phase: self.phase,
                lsn_floor: Some(Lsn(self.lsn)),
                changes: planned.changes.clone(),
            };
            self.sink.entry(entry)?;
        }
        while !group.is_empty() {
            let planned = group.swap_remove(self.dice.below(group.len() as u64) as usize);
            self.finish(planned)?;
        }
        Ok(())
    }

    fn finish(&mut self, planned: Planned) -> Result<()> {
        let Planned { tx, outcome, changes, client } = planned;
        let t = self.tick(1);
        let info = Entry::Info { tx: tx.clone(), t, error: "connection reset".into() };
        if outcome == Outcome::NotReturned {
            self.summary().transactions.unknown += 1;
            return self.sink.entry(info);
        }
        let committed = matches!(outcome, Outcome::Ok | Outcome::SettledOk | Outcome::Unknown(true));
        self.xid += 1;
        let (mut keys, mut counts, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for change in &changes {
            let (key, digest) = self.apply(change, client, committed)?;
            keys.push(key);
            counts.push(u32::from(digest.is_some()));
            digests.push(digest);
        }
        if committed {
            self.end()?;
            self.last_commit = Some(self.lsn);
            self.pending.extend(self.deaf.then_some(self.xid as u32));
        }
        self.summarise(outcome, &changes, &counts);
        let xid = self.xid.to_string();
        self.sink.entry(Entry::Returned { tx: tx.clone(), xid, keys, counts, rows: digests })?;
        let settled = |fate| Entry::Settled { tx: tx.clone(), fate, by: "pg_xact_status".into() };
        let fates = match outcome {
            Outcome::Ok => vec![Entry::Ok { tx, t }],
            Outcome::Fail => {
                let sqlstate = Some("40001".into());
                vec![Entry::Fail { tx, t, sqlstate, error: "could not serialize".into() }]
            }
            Outcome::SettledOk => vec![info, settled(Fate::Ok)],
            Outcome::SettledFail => vec![info, settled(Fate::Fail)],
            Outcome::Unknown(_) | Outcome::NotReturned => vec![info],
        };
        fates.into_iter().try_for_each(|entry| self.sink.entry(entry))
    }

    fn summary(&mut self) -> &mut Summary {
        let (phase, acknowledged) = (self.phase, Changes::default());
        let none = Summary { phase, acknowledged, transactions: Transactions::default() };
        self.summaries.entry(phase).or_insert(none)
    }

    fn summarise(&mut self, outcome: Outcome, changes: &[Change], counts: &[u32]) {
        let Summary { acknowledged, transactions, .. } = self.summary();
        match outcome {
            Outcome::Ok => transactions.acknowledged += 1,
            Outcome::Fail => transactions.refused += 1,
            _ => transactions.unknown += 1,
        }
        let touched = changes.iter().zip(counts).filter(|(_, n)| **n > 0 && outcome == Outcome::Ok);
        for (change, _) in touched {
            match change.op {
                Op::Create => acknowledged.insert += 1,
                Op::Update => acknowledged.update += 1,
                _ => acknowledged.delete += 1,
            }
        }
    }

    /// Does a change: its key and the row as RETURNING gives it.
    fn apply(
        &mut self,
        change: &Change,
        client: u64,
        committed: bool,
    ) -> Result<(Option<i64>, Option<Digest>)> {
        let table = change.table.as_str();
        self.lsn += 0x118;
        let Some(key) = change.key else {
            let (key, digest) = self.insert(table, client, change.id);
            let rows = self.rows.entry(table.to_owned()).or_default();
            let row = if committed { rows.get(&key).cloned() } else { rows.remove(&key) };
            if committed {
                self.emit(table, key, "c", None, row.as_ref(), change.id)?;
            }
            return Ok((Some(key), Some(digest)));
        };
        let Some(row) = self.rows.get(table).and_then(|rows| rows.get(&key)).cloned() else {
            return Ok((Some(key), None));
        };
        if change.op != Op::Update {
            if committed {
                self.rows.entry(table.to_owned()).or_default().remove(&key);
                self.emit(table, key, "d", Some(&row), None, change.id)?;
            }
            return Ok((Some(key), Some(row.digest)));
        }
        let next = self.version(table, key, row.ver + 1, row.owner, change.id, Some(&row));
        if committed {
            self.rows.entry(table.to_owned()).or_default().insert(key, next.clone());
            self.emit(table, key, "u", Some(&row), Some(&next), change.id)?;
        }
        Ok((Some(key), Some(next.digest)))
    }

    pub(super) fn insert(&mut self, table: &str, owner: u64, change_id: u64) -> (i64, Digest) {
        let next = self.sequences.entry(table.to_owned()).or_default();
        *next += 1;
        let key = *next;
        let row = self.version(table, key, 1, owner, change_id, None);
        let digest = row.digest;
        self.rows.entry(table.to_owned()).or_default().insert(key, row);
        (key, digest)
    }

    /// Changes a row that nobody looks at yet.
    pub(super) fn update(&mut self, table: &str, key: i64, change_id: u64) -> Option<Digest> {
        let row = self.rows.get(table)?.get(&key)?.clone();
        let next = self.version(table, key, row.ver + 1, row.owner, change_id, Some(&row));
        let digest = next.digest;
        self.rows.get_mut(table)?.insert(key, next);
        Some(digest)
    }

    fn version(
        &mut self,
        table: &str,
        key: i64,
        ver: u32,
        owner: u64,
        change_id: u64,
        before: Option<&Row>,
    ) -> Row {
        let at = artifacts::time::format(self.tick(0));
        let n = self.dice.below(100_000);
        let columns = self.tables.get(table).map(Vec::as_slice).unwrap_or_default();
        let row_size = self.plan.row_size;
        Version { table, columns, key, ver, owner, change_id, at, n, row_size, before }.row()
    }

    pub(super) fn emit(
        &mut self,
        table: &str,
        key: i64,
        op: &str,
        before: Option<&Row>,
        after: Option<&Row>,
        change_id: u64,
    ) -> Result<()> {
        if !self.streaming {
            return Ok(());
        }
        let at_ms = self.at_ms();
        let full = self.tables.get(table).is_none_or(|columns| row::is_full(columns));
        let named = before.filter(|_| !full && op == "d").map(|_| key_only(key));
        let before = before.filter(|_| full).map(|row| row.json.as_str()).or(named.as_deref());
        let sent =
            |row: &'_ Row| row.without_body.as_ref().filter(|_| op == "u").unwrap_or(&row.json).clone();
        let after = after.map(sent);
        let after = after.as_deref();
        let (xid, lsn, last_commit) = (self.xid as u32, self.lsn, self.last_commit);
        let order = self.order(table, op);
        let value = Event { table, op, before, after, xid, lsn, last_commit, order, at_ms }.json();
        let record = Record {
            topic: format!("{PREFIX}.{table}"),
            partition: (key % i64::from(self.plan.partitions)) as i32,
            phase: self.phase,
            at_ms: at_ms + 60,
            key: Some(json!({ "id": key }).to_string()),
            value: Some(value),
            table: table.into(),
            row_key: key,
            change_id: Some(change_id),
        };
        let tombstone = (op == "d").then(|| Record { value: None, ..record.clone() });
        for record in std::iter::once(record).chain(tombstone) {
            self.events += 1;
            self.record(record)?;
        }
        Ok(())
    }

    /// Numbers an event in its transaction, and among the events of its table there.
    fn order(&mut self, table: &str, op: &str) -> Option<(u64, u64)> {
        if op == "r" || !self.metadata() {
            return None;
        }
        *self.counts.entry(table.to_owned()).or_default() += 1;
        Some((self.counts.values().sum(), self.counts[table]))
    }

    /// BEGIN and END of the transaction, where it has events.
    fn end(&mut self) -> Result<()> {
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return Ok(());
        }
        let total: u64 = counts.values().sum();
        let collection = |(table, n): (String, u64)| json!({"data_collection": table, "event_count": n});
        let collections: Vec<Value> = counts.into_iter().map(collection).collect();
        let at_ms = self.at_ms();
        let (first, behind) = (self.lsn - 0x118 * (total - 1), self.lsn + 0x30);
        let sides = [("BEGIN", first, None, None), ("END", behind, Some(total), Some(collections))];
        for (status, lsn, total, collections) in sides {
            let id = format!("{}:{lsn}", self.xid);
            let value = json!({"status": status, "id": id, "event_count": total,
                "data_collections": collections, "ts_ms": at_ms});
            let topic = format!("{PREFIX}.transaction");
            self.record(Record::beside(topic, self.phase, at_ms, &json!({"id": id}), &value))?;
        }
        Ok(())
    }

    /// Hands a record to its topic.
    ///
    /// # Errors
    /// The sink cannot take it.
    pub fn record(&mut self, record: Record) -> Result<()> {
        if self.deaf {
            return Ok(());
        }
        let partitions = self.ends.entry(record.topic.clone()).or_default();
        *partitions.entry(record.partition).or_default() += 1;
        self.sink.record(record)
    }

    /// The time now in milliseconds since 1970.
    pub fn at_ms(&self) -> i64 {
        (start() + TimeDelta::milliseconds(self.ms)).timestamp_millis()
    }
}
