//! The builder of run directories builds what its users think it does.

mod support;

use artifacts::ledger::Reader;

#[test]
fn a_built_run_can_be_read_and_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let run = support::held_run(&dir.path().join("run"));
    assert_eq!(artifacts::seal::differences(run.root()).unwrap(), Vec::<String>::new());
    assert!(Reader::open(&run.ledger()).unwrap().all(|entry| entry.is_ok()));
    assert!(artifacts::consumed::Reader::open(&run.path("consumed.jsonl.zst")).unwrap().all(|r| r.is_ok()));
    assert!(run.collected().unwrap().unwrap().cut.contains_key("cdc.public.orders"));
    assert_eq!(run.events().unwrap().last().unwrap().seq as usize, run.events().unwrap().len());
}

#[test]
fn the_same_plan_builds_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let sums = |name: &str| {
        let run = support::broken_run(&dir.path().join(name));
        std::fs::read_to_string(run.path(artifacts::run_dir::SUMS)).unwrap()
    };
    assert_eq!(sums("a"), sums("b"));
}
