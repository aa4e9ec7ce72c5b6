//! The main job on Kafka with ZooKeeper, in a stack that ran it with KRaft before.

use artifacts::findings::Verdict;

use crate::support::{STACK, expect, findings, not_held, run_of};

#[test]
fn held_with_zookeeper() {
    expect(0, &format!("up --changes 0 --name {STACK}"));
    let words = format!("upgrade --option b --kafka zookeeper --changes 1000 --keep-up --name {STACK}");
    let output = expect(0, &words);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("Kafka ran with KRaft; with ZooKeeper it begins without"), "{told}");
    let run = run_of(&output);
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    let info = run.run().unwrap();
    assert_eq!(info.kafka, "zookeeper");
    assert!(info.versions["kafka"].starts_with("3.9.") && info.versions["zookeeper"].starts_with("3.8."));
    for name in ["before", "after"] {
        assert_eq!(run.snapshot(name).unwrap().unwrap().settings["kafka.controller"], "zookeeper");
    }
    assert!(run.path("logs/zookeeper.log").exists());
    assert!(std::fs::read_to_string(run.path("report.html")).unwrap().contains("Kafka with ZooKeeper"));
    let answers = expect(0, &format!("ping --json --name {STACK}"));
    assert!(String::from_utf8_lossy(&answers.stdout).contains("version 3.8."));
    expect(0, &format!("down --name {STACK}"));
}
