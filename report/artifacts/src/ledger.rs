//! `ledger.jsonl`: what the data generator did, in its own words, before and after each commit.
//!
//! Per transaction: `invoke` before anything is sent, `returned` when every statement has answered
//! and COMMIT is about to be sent, then one fate: `ok`, `fail` or `info` (unknown). A transaction
//! without a fate is unknown. `settled` decides an unknown one later. Only what `returned` tells
//! can be expected in the topics: keys of inserts and the rows as RETURNING gave them.
//!
//! Changes are told as they are delivered. An update that gives a row a new key is a delete and a create.
//! What was rolled back to a savepoint has touched no row; a transaction that was rolled back has failed.
//!
//! A ledger whose last line is torn (`kill -9`) stays readable: the reader leaves the line out. A
//! writer that goes on after a torn line first writes `resumed`, which is the only entry that may
//! follow one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, check_schema};
use crate::position::Lsn;
use crate::row::{Digest, Tables};
use crate::time::{Time, micros};

/// A line of a transaction with thousands of changes is shorter.
const LONGEST_LINE: u64 = 64 << 20;

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "lowercase")]
pub enum Entry {
    /// The first line.
    Header {
        /// Schema version.
        schema: String,
        /// Seed of every random decision.
        seed: u64,
        /// Captured tables and their columns.
        tables: Tables,
    },
    /// A row that was there before the connector started; its change id is 0.
    Seed {
        /// Table.
        table: String,
        /// Primary key.
        key: i64,
        /// Its version: it was inserted and updated so many times before anyone looked.
        #[serde(default = "first", skip_serializing_if = "is_first")]
        ver: u32,
        /// The row.
        row: Digest,
    },
    /// A transaction is about to be sent.
    Invoke {
        /// Unique in the ledger: `c3-17` is the 17th transaction of client 3.
        tx: String,
        /// When.
        #[serde(with = "micros")]
        t: Time,
        /// Phase of the rehearsal.
        phase: Phase,
        /// A WAL position known to be below every change of the transaction.
        lsn_floor: Option<Lsn>,
        /// What it will do, in order.
        changes: Vec<Change>,
    },
    /// Every statement has answered; COMMIT is about to be sent. The lists are parallel to the
    /// `changes` of `invoke`.
    Returned {
        /// The transaction.
        tx: String,
        /// `pg_current_xact_id()`.
        xid: String,
        /// Primary keys.
        keys: Vec<Option<i64>>,
        /// Rows touched: 0 or 1; 0 also for what was rolled back to a savepoint.
        counts: Vec<u32>,
        /// The rows afterwards; for a delete, before it. Null when no row was touched.
        rows: Vec<Option<Digest>>,
    },
    /// The server acknowledged the commit.
    Ok {
        /// The transaction.
        tx: String,
        /// When.
        #[serde(with = "micros")]
        t: Time,
    },
    /// The server refused, or the client rolled back: nothing of it exists.
    Fail {
        /// The transaction.
        tx: String,
        /// When.
        #[serde(with = "micros")]
        t: Time,
        /// SQLSTATE; null when it was never sent.
        sqlstate: Option<String>,
        /// Message.
        error: String,
    },
    /// Nobody knows: the connection broke while it was under way.
    Info {
        /// The transaction.
        tx: String,
        /// When.
        #[serde(with = "micros")]
        t: Time,
        /// Message.
        error: String,
    },
    /// An unknown fate was found out.
    Settled {
        /// The transaction.
        tx: String,
        /// What it was.
        #[serde(rename = "as")]
        fate: Fate,
        /// How that is known: `pg_xact_status`, ...
        by: String,
    },
    /// The line before this one is torn: its writer was killed.
    Resumed {
        /// Bytes of the torn line.
        torn_bytes: u64,
    },
}

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_first(ver: &u32) -> bool {
    *ver == 1
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Unique in the ledger, from 1; stored in the row's `change_id`.
    pub id: u64,
    /// Table.
    pub table: String,
    /// Operation.
    pub op: Op,
    /// Primary key; null for an insert.
    pub key: Option<i64>,
    /// Version of the row after it; for a delete, the version that was deleted.
    pub ver: u32,
}

/// Operation, as Debezium writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Op {
    /// Read by a snapshot.
    #[serde(rename = "r")]
    Read,
    /// Insert.
    #[serde(rename = "c")]
    Create,
    /// Update.
    #[serde(rename = "u")]
    Update,
    /// Delete.
    #[serde(rename = "d")]
    Delete,
    /// The record with a null value that follows a delete; never in a ledger.
    #[serde(rename = "tombstone")]
    Tombstone,
}

impl std::fmt::Display for Op {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "r",
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Tombstone => "tombstone",
        })
    }
}

/// Phase of the rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// On the old server.
    Before,
    /// On the new one.
    After,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// A fate found out later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Committed.
    Ok,
    /// Rolled back, or never sent.
    Fail,
}

/// Appends entries; every entry is one `write` of one line, so that a killed process loses at
/// most the line it was writing.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Opens the ledger for appending, making it with its header when it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open(path: &Path, seed: u64, tables: Tables) -> Result<Self> {
        let file = File::options().create(true).append(true).read(true).open(path);
        let mut writer = Self { path: path.to_owned(), file: file.map_err(Error::io("open", path))? };
        let torn = writer.torn_bytes().map_err(Error::io("read", path))?;
        match torn {
            None => writer.write(&Entry::Header { schema: crate::SCHEMA.into(), seed, tables })?,
            Some(0) => {}
            Some(torn_bytes) => {
                writer.file.write_all(b"\n").map_err(Error::io("write", path))?;
                writer.write(&Entry::Resumed { torn_bytes })?;
            }
        }
        Ok(writer)
    }

    /// Bytes after the last newline; none for an empty file.
    fn torn_bytes(&mut self) -> std::io::Result<Option<u64>> {
        let len = self.file.metadata()?.len();
        if len == 0 {
            return Ok(None);
        }
        let mut tail = Vec::new();
        let mut reach = 4096;
        loop {
            let from = len.saturating_sub(reach);
            self.file.seek(SeekFrom::Start(from))?;
            tail.clear();
            self.file.read_to_end(&mut tail)?;
            if let Some(at) = tail.iter().rposition(|b| *b == b'\n') {
                return Ok(Some((tail.len() - at - 1) as u64));
            }
            if from == 0 {
                return Ok(Some(len));
            }
            reach *= 4;
        }
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// The file cannot be written (a full disk).
    pub fn write(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(|e| Error::corrupt(&self.path, "entry", e))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))
    }
}

/// The fields of the entries that a ledger is full of.
#[derive(Deserialize)]
struct Fields<'a> {
    e: &'a str,
    tx: Option<String>,
    t: Option<Time>,
    phase: Option<Phase>,
    lsn_floor: Option<Lsn>,
    changes: Option<Vec<Change>>,
    xid: Option<String>,
    keys: Option<Vec<Option<i64>>>,
    counts: Option<Vec<u32>>,
    rows: Option<Vec<Option<Digest>>>,
}

/// An entry that needs no second look: serde reads a tagged enum by way of a copy of all of its
/// fields, which takes three times as long. None does not mean that there is none.
fn quick(text: &[u8]) -> Option<Entry> {
    let Fields { e, tx, t, phase, lsn_floor, changes, xid, keys, counts, rows } =
        serde_json::from_slice(text).ok()?;
    Some(match e {
        "invoke" => Entry::Invoke { tx: tx?, t: t?, phase: phase?, lsn_floor, changes: changes? },
        "returned" => Entry::Returned { tx: tx?, xid: xid?, keys: keys?, counts: counts?, rows: rows? },
        "ok" => Entry::Ok { tx: tx?, t: t? },
        _ => return None,
    })
}

/// Reads a ledger, plain or `.zst`, entry by entry with its line number.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead>,
    line: u64,
    text: Vec<u8>,
    torn: Option<(u64, String)>,
}

impl Reader {
    /// Opens a ledger and checks its header.
    ///
    /// # Errors
    /// No such file, no header, or a later major version of the schema.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let input: Box<dyn BufRead> = if path.extension().is_some_and(|e| e == "zst") {
            let decoder = zstd::Decoder::new(file).map_err(Error::io("read", path))?;
            Box::new(BufReader::with_capacity(1 << 18, decoder))
        } else {
            Box::new(BufReader::with_capacity(1 << 18, file))
        };
        Ok(Self { path: path.to_owned(), input, line: 0, text: Vec::new(), torn: None })
    }

    fn read(&mut self) -> Result<Option<(u64, Entry)>> {
        loop {
            self.text.clear();
            let place = || format!("line {}", self.line + 1);
            let read = self.input.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', &mut self.text);
            let n = read.map_err(|e| Error::corrupt(&self.path, place(), e))?;
            if n as u64 > LONGEST_LINE {
                let cause = format!("it is longer than {LONGEST_LINE} bytes");
                return Err(Error::corrupt(&self.path, place(), cause));
            }
            if n == 0 {
                return Ok(None);
            }
            self.line += 1;
            let entry = quick(&self.text).map_or_else(|| serde_json::from_slice(&self.text), Ok);
            match (entry, self.torn.take()) {
                (Ok(Entry::Resumed { .. }), _) => {}
                (_, Some((line, cause))) => {
                    return Err(Error::corrupt(&self.path, format!("line {line}"), cause));
                }
                (Ok(entry), None) => {
                    if let Entry::Header { schema, .. } = &entry {
                        check_schema(&self.path, schema)?;
                    } else if self.line == 1 {
                        return Err(Error::corrupt(&self.path, "line 1", "a ledger begins with its header"));
                    }
                    return Ok(Some((self.line, entry)));
                }
                (Err(e), None) => self.torn = Some((self.line, e.to_string())),
            }
        }
    }

    /// Whether the last line read so far was torn; meaningful at the end.
    pub fn torn(&self) -> bool {
        self.torn.is_some()
    }
}

impl Iterator for Reader {
    type Item = Result<(u64, Entry)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests;
