use super::*;

fn fail(tx: &str) -> Entry {
    Entry::Fail { tx: tx.into(), t: crate::time::now(), sqlstate: None, error: "x".into() }
}

fn read(path: &Path) -> Result<Vec<Entry>> {
    Reader::open(path)?.map(|r| r.map(|(_, entry)| entry)).collect()
}

#[test]
fn a_torn_last_line_is_left_out_and_the_ledger_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    Writer::open(&path, 7, Tables::new()).unwrap().write(&fail("c1-1")).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(br#"{"e":"fa"#).unwrap();
    assert_eq!(read(&path).unwrap().len(), 2);
    Writer::open(&path, 7, Tables::new()).unwrap().write(&fail("c1-2")).unwrap();
    assert_eq!(read(&path).unwrap()[2], fail_like(&read(&path).unwrap()[2], "c1-2"));
}

fn fail_like(entry: &Entry, tx: &str) -> Entry {
    match entry {
        Entry::Fail { t, .. } => Entry::Fail { tx: tx.into(), t: *t, sqlstate: None, error: "x".into() },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_corrupt_line_in_the_middle_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let mut writer = Writer::open(&path, 7, Tables::new()).unwrap();
    writer.file.write_all(b"{\"e\":\n").unwrap();
    writer.write(&fail("c1-1")).unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("corrupt at line 2"));
}
