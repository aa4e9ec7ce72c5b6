//! Every reader over arbitrary and mutated bytes: no panic, and an error names the file and a place in it.

// A test that cannot write its file shall fail at once.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;

use artifacts::ledger::Phase;
use artifacts::row::tables;
use artifacts::{Error, RunDir, consumed, ledger};
use proptest::prelude::*;

/// What spoils a text.
#[derive(Debug, Clone)]
enum Spoil {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Replace(Vec<u8>),
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (any::<usize>(), 1..=255u8).prop_map(|(at, bits)| Spoil::Flip(at, bits)),
        any::<usize>().prop_map(Spoil::Cut),
        (any::<usize>(), bytes()).prop_map(|(at, bytes)| Spoil::Insert(at, bytes)),
        (any::<usize>(), 1..500usize).prop_map(|(at, n)| Spoil::Remove(at, n)),
        bytes().prop_map(Spoil::Replace),
    ]
}

fn spoil(bytes: &mut Vec<u8>, spoil: &Spoil) {
    let len = bytes.len().max(1);
    match spoil {
        Spoil::Flip(at, bits) => bytes.iter_mut().skip(at % len).take(1).for_each(|byte| *byte ^= bits),
        Spoil::Cut(at) => bytes.truncate(at % len),
        Spoil::Insert(at, more) => drop(bytes.splice(at % len..at % len, more.clone())),
        Spoil::Remove(at, n) => drop(bytes.drain(at % len..bytes.len().min(at % len + n))),
        Spoil::Replace(other) => bytes.clone_from(other),
    }
}

/// The error is about this file, and says where.
fn placed(error: &Error, path: &Path) -> bool {
    match error {
        Error::Corrupt { path: of, place, .. } => of == path && place.starts_with("line "),
        Error::Schema { path: of, .. } => of == path,
        Error::Io { .. } => false,
    }
}

fn line() -> Vec<u8> {
    let header = ledger::Entry::Header { schema: artifacts::SCHEMA.into(), seed: 1, tables: tables() };
    let change =
        ledger::Change { id: 1, table: "public.orders".into(), op: ledger::Op::Update, key: Some(4), ver: 2 };
    let invoke = ledger::Entry::Invoke {
        tx: "c1-1".into(),
        t: artifacts::time::now(),
        phase: Phase::Before,
        lsn_floor: None,
        changes: vec![change],
    };
    let ok = ledger::Entry::Ok { tx: "c1-1".into(), t: artifacts::time::now() };
    let lines = [header, invoke, ok].map(|entry| serde_json::to_string(&entry).unwrap() + "\n");
    lines.concat().into_bytes()
}

fn records(path: &Path) -> Vec<u8> {
    let mut writer = consumed::Writer::create(path).unwrap();
    for offset in 0..20 {
        let raw = |text: &str| Some(serde_json::value::RawValue::from_string(text.into()).unwrap());
        let (key, value) = (raw(r#"{"id":1}"#), raw(r#"{"op":"c","after":{"id":1}}"#));
        let topic = "cdc.public.orders".into();
        writer
            .write(&consumed::Record { topic, partition: 0, offset, timestamp_ms: None, key, value })
            .unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

const RUN: &str = include_str!("run.json");

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ledger(spoils in proptest::collection::vec(spoils(), 1..4), compressed: bool, after: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(if compressed { "ledger.jsonl.zst" } else { "ledger.jsonl" });
        let mut bytes = line();
        let pack = |bytes: Vec<u8>| if compressed { zstd::encode_all(bytes.as_slice(), 1).unwrap() } else { bytes };
        if after {
            bytes = pack(bytes);
        }
        spoils.iter().for_each(|how| spoil(&mut bytes, how));
        if !after {
            bytes = pack(bytes);
        }
        std::fs::write(&path, bytes).unwrap();
        let read: Result<Vec<_>, Error> = ledger::Reader::open(&path).unwrap().take(10_000).collect();
        prop_assert!(read.as_ref().err().is_none_or(|e| placed(e, &path)), "{read:?}");
    }

    #[test]
    fn records_of_topics(spoils in proptest::collection::vec(spoils(), 1..4), after: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("consumed.jsonl.zst");
        let packed = records(&path);
        let mut bytes = if after { packed } else { zstd::decode_all(packed.as_slice()).unwrap() };
        spoils.iter().for_each(|how| spoil(&mut bytes, how));
        let packed = if after { bytes } else { zstd::encode_all(bytes.as_slice(), 1).unwrap() };
        std::fs::write(&path, packed).unwrap();
        let read: Result<Vec<_>, Error> = consumed::Reader::open(&path).unwrap().take(10_000).collect();
        prop_assert!(read.as_ref().err().is_none_or(|e| placed(e, &path)), "{read:?}");
    }

    #[test]
    fn json_files(spoils in proptest::collection::vec(spoils(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        std::fs::write(&path, RUN).unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        let mut bytes = RUN.as_bytes().to_vec();
        spoils.iter().for_each(|how| spoil(&mut bytes, how));
        for name in ["run.json", "collected.json", "snapshots/cut.json"] {
            std::fs::create_dir_all(run.path(name).parent().unwrap()).unwrap();
            std::fs::write(run.path(name), &bytes).unwrap();
        }
        let errors = [run.run().err(), run.collected().err(), run.snapshot("cut").err()];
        for (error, name) in errors.iter().zip(["run.json", "collected.json", "snapshots/cut.json"]) {
            prop_assert!(error.as_ref().is_none_or(|e| placed(e, &run.path(name))), "{error:?}");
        }
    }
}

/// A few kilobytes that stand for gigabytes of one line.
#[test]
fn what_unpacks_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bomb = |name: &str| {
        let path = dir.path().join(name);
        let mut out = zstd::Encoder::new(std::fs::File::create(&path).unwrap(), 1).unwrap();
        (0..80).for_each(|_| out.write_all(&vec![b'x'; 1 << 20]).unwrap());
        out.finish().unwrap();
        path
    };
    let path = bomb("ledger.jsonl.zst");
    let error = ledger::Reader::open(&path).unwrap().next().unwrap().unwrap_err();
    assert!(placed(&error, &path) && error.to_string().contains("longer than"), "{error}");
    let path = bomb("consumed.jsonl.zst");
    let error = consumed::Reader::open(&path).unwrap().next().unwrap().unwrap_err();
    assert!(placed(&error, &path) && error.to_string().contains("more than"), "{error}");
}
