//! Rehearsals in containers, on a real Docker engine with the offline images. Left out by `cargo xtask ci`, and
//! counted as skipped, where no engine can be had.

use std::collections::BTreeSet;
use std::process::Command;

use artifacts::RunDir;
use artifacts::findings::{Findings, Verdict};
use artifacts::snapshot::Snapshot;

use crate::support::{Running, STACK, command, expect, findings, not_held, procedure, run_of, violations};

/// The stack of containers that these tests share.
const LAB: &str = "test-compose";

/// Of a verdict, all that does not differ from one rehearsal to the next.
fn told(run: &RunDir) -> (Verdict, String, Vec<String>, BTreeSet<String>) {
    let Findings { verdict, counts, checks, .. } = findings(run);
    let checks = checks.iter().map(|check| format!("{} {}", check.name, check.verdict)).collect();
    let named = violations(run).into_iter().map(|v| {
        let (kind, table, key, ver) = (v.kind, v.table, v.key, v.ver);
        format!("{kind:?} {table:?} {key:?} {ver:?} {:?} {:?} {:?}", v.change_id, v.phase, v.stage)
    });
    (verdict, format!("{counts:?}"), checks, named.collect())
}

fn said(code: i32, words: &str) -> String {
    String::from_utf8_lossy(&expect(code, words).stderr).into_owned()
}

#[test]
fn both_stacks_tell_the_same_of_the_same_seed() {
    expect(0, "images --offline");
    for (code, without) in [(0, ""), (1, "--without rebase-offsets ")] {
        let words = format!("upgrade --option b {without}--changes 1000 --clients 1 --seed 7 --keep-up");
        let native = run_of(&expect(code, &format!("{words} --stack native --name {STACK}")));
        let compose = run_of(&expect(code, &format!("{words} --stack compose --name {LAB}")));
        assert_eq!(told(&native), told(&compose), "{without}");
        let info = compose.run().unwrap();
        assert_eq!(info.stack.kind, "compose");
        assert!(info.builds["postgresql-16"][0].package.contains("postgres:16"), "{:?}", info.builds);
        assert!(std::fs::metadata(compose.path("logs/postgres-new.log")).unwrap().len() > 0);
    }
    // A stack stays where it is.
    let refused = said(2, &format!("upgrade --option b --stack native --name {LAB}"));
    assert!(refused.contains("the stack 'test-compose' is compose"), "{refused}");
}

#[test]
fn in_place_and_then_decommissioned() {
    let words = format!("upgrade --option a --stack compose --changes 400 --keep-up --name {LAB}");
    let run = run_of(&expect(0, &words));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    let logs = run.path("steps/11-upgrade-database/pg_upgrade");
    for file in ["check/pg_upgrade_internal.log", "upgrade/pg_upgrade_internal.log"] {
        assert!(std::fs::metadata(logs.join(file)).unwrap().len() > 0, "{file}");
    }
    expect(0, &format!("decommission --yes --name {LAB}"));
    assert!(said(5, &format!("decommission --yes --name {LAB}")).contains("removed already"));
    let broken = run_of(&expect(1, &format!("{words} --without pg-upgrade")));
    let log = std::fs::read_to_string(broken.path("logs/postgres-new.log")).unwrap();
    assert!(log.contains("database files are incompatible with server"), "{log}");
}

/// In place to a version that makes its clusters with checksums.
#[test]
fn other_versions_in_containers() {
    expect(0, "images --offline --from 17 --to 18");
    let words = "upgrade --option a --from 17 --to 18 --stack compose";
    let run = run_of(&expect(0, &format!("{words} --changes 400 --keep-up --name {LAB}")));
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    let info = run.run().unwrap();
    assert!(info.versions["postgresql-17"].starts_with("17.") && info.builds["postgresql-18"].len() == 1);
    // The programs of pg_upgrade are those of a pair. A stack that was refused is removed as a whole.
    let missing = said(3, &format!("up --from 15 --to 18 --stack compose --no-install --name {LAB}"));
    assert!(
        missing.contains("has no images") && missing.contains("images --offline --from 15 --to 18"),
        "{missing}"
    );
    removed_as_a_whole();
}

#[test]
fn with_zookeeper_and_avro_and_a_column_more() {
    let words = "upgrade --option b --kafka zookeeper --format avro --add-column";
    let output = expect(0, &format!("{words} --stack compose --changes 400 --keep-up --name {LAB}"));
    let run = run_of(&output);
    let found = findings(&run);
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    let info = run.run().unwrap();
    assert!(info.versions["kafka"].starts_with("3.9.") && info.versions["zookeeper"].starts_with("3.8."));
    let (before, after) = (run.snapshot("before").unwrap().unwrap(), run.snapshot("after").unwrap().unwrap());
    assert_eq!(after.settings["kafka.controller"], "zookeeper");
    let orders = format!("{}.public.orders-value", info.names.prefix);
    let versions =
        |snapshot: &Snapshot| snapshot.subjects.as_ref().expect("subjects")[&orders].versions.len();
    assert_eq!((versions(&before), versions(&after)), (1, 2));
    for service in ["zookeeper", "schema-registry"] {
        assert!(std::fs::metadata(run.path(format!("logs/{service}.log"))).unwrap().len() > 0, "{service}");
    }
}

#[test]
fn typed_one_by_one_and_looked_at() {
    let mut verified = None;
    for words in procedure() {
        match words {
            "up" => drop(expect(0, &format!("up --stack compose --changes 500 --name {LAB}"))),
            "verify" => verified = Some(expect(0, &format!("verify --name {LAB}"))),
            _ => drop(expect(0, &format!("{words} --name {LAB}"))),
        }
    }
    let run = run_of(&verified.expect("the README verifies"));
    assert_eq!(findings(&run).verdict, Verdict::Held, "{:?}", not_held(&findings(&run)));
    for words in ["ping", "ps", "status", "topics", "replication", "slots list", "logs connect --tail 3"] {
        expect(0, &format!("{words} --name {LAB}"));
    }
    let topic = &run.run().unwrap().names.topics[0];
    expect(0, &format!("events {topic} --max 1 --name {LAB}"));
    let changes = ["pause-connector", "restart-connector", "reset-offsets --yes", "delete-connector --yes"];
    for words in
        changes.into_iter().chain(["slots drop debezium_slot --server new --yes", "down --backups --yes"])
    {
        expect(0, &format!("{words} --name {LAB}"));
    }
    removed_as_a_whole();
}

/// Takes the shared stack down with its data, and looks at what the engine still has of it.
fn removed_as_a_whole() {
    let folder = std::env::var("PG_CDC_STATE").unwrap();
    let env = format!("{folder}/pg-cdc-rehearsal/stacks/{LAB}/compose.env");
    let env = std::fs::read_to_string(env).unwrap();
    let project = env.lines().find_map(|line| line.strip_prefix("COMPOSE_PROJECT_NAME=")).unwrap();
    let left = || {
        let whats = [&["ps", "--all"][..], &["volume", "ls"], &["network", "ls"]];
        whats.map(|what| docker(&[what, &["--filter", &format!("name={project}")]].concat()).lines().count())
    };
    assert!(left()[1] > 1, "it has volumes");
    expect(0, &format!("down --volumes --yes --name {LAB}"));
    assert_eq!(left(), [1; 3], "only the headings");
}

/// The engine is out of reach in the middle of a rehearsal, which then goes on where it was.
#[test]
fn the_engine_gone_for_a_while() {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let socket = folder.path().join("docker.sock");
    let appears = || std::os::unix::fs::symlink(host.strip_prefix("unix://").unwrap(), &socket).unwrap();
    appears();
    let stack = "gone-compose";
    let words = format!("upgrade --option b --stack compose --changes 400 --keep-up --name {stack}");
    let mut command = command(&words);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let mut running = Running::of(command, &words);
    running.until("ok 07 drain");
    std::fs::remove_file(&socket).unwrap();
    running.until(": no Docker engine answers: ");
    assert_eq!(running.child.wait().unwrap().code(), Some(5));
    // The stack remembers how its engine is reached.
    let resume = format!("upgrade --resume --name {stack}");
    let refused = said(3, &resume);
    assert!(refused.contains("no Docker engine answers: ") && refused.contains("start it"), "{refused}");
    let down = said(3, &format!("down --name {stack}"));
    assert!(down.contains("the stack's containers cannot be ended"), "{down}");
    appears();
    let found = findings(&run_of(&expect(0, &resume)));
    assert_eq!(found.verdict, Verdict::Held, "{:?}", not_held(&found));
    expect(0, &format!("down --volumes --yes --name {stack}"));
}

#[test]
fn what_is_missing_or_ends_is_said_in_one_sentence() {
    expect(0, "images --offline");
    let stack = "bad-compose";
    let up = format!("up --stack compose --no-install --name {stack}");
    // An image that is not there.
    let image = docker(&[
        "images",
        "--filter",
        "reference=pg-cdc-offline/kafka-connect",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]);
    let image = image.lines().next().unwrap();
    docker(&["tag", image, "pg-cdc-offline/kept:1"]);
    docker(&["rmi", image]);
    let missing = said(3, &up);
    docker(&["tag", "pg-cdc-offline/kept:1", image]);
    docker(&["rmi", "pg-cdc-offline/kept:1"]);
    assert!(
        missing.contains("has no images") && missing.contains("cargo xtask images --offline"),
        "{missing}"
    );

    // What another Kafka has left in its volume: the container ends, and says why.
    expect(0, &format!("{up} --changes 0"));
    expect(0, &format!("down --name {stack}"));
    let volume = docker(&["volume", "ls", "--quiet", "--filter", &format!("name=pg-cdc-{stack}")]);
    let volume = volume.lines().find(|name| name.ends_with("_kafka-data")).unwrap().to_owned();
    let meta = "cd /data && sed -i 's/cluster.id=.*/cluster.id=AAAAAAAAAAAAAAAAAAAAAA/' $(find . -name meta.properties)";
    let kafka = docker(&[
        "images",
        "--filter",
        "reference=pg-cdc-offline/kafka",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]);
    let volume = format!("{volume}:/data");
    let run = ["run", "--rm", "--network=none", "--user=0:0", "--volume", &volume, "--entrypoint=sh"];
    docker(&[&run[..], &[kafka.lines().next().unwrap(), "-c", meta]].concat());
    let ended = said(5, &up);
    assert!(ended.contains("kafka becomes healthy: its container has ended with exit code"), "{ended}");
    assert!(ended.contains("cluster"), "its last lines: {ended}");
    expect(0, &format!("down --volumes --yes --name {stack}"));
}

fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "docker {words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
