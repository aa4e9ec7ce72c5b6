//! Property: whatever is planted into a held run is named, and nothing else.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use artifacts::findings::{Verdict, ViolationKind};
use proptest::prelude::*;
use report::Options;
use support::faults::{FAULTS, expected, plant};
use support::judge::{Judged, acknowledged};
use support::sim::Dice;
use support::{Plan, story::rehearse};

fn plans() -> impl Strategy<Value = Plan> {
    (any::<u64>(), 6..60u64, 2..8i64, 0..8u64, 1..4i32, any::<bool>()).prop_map(
        |(seed, transactions, seed_rows, before_snapshot, partitions, odd_fates)| Plan {
            seed,
            transactions,
            seed_rows,
            before_snapshot,
            partitions,
            odd_fates,
            ..Plan::default()
        },
    )
}

/// Little memory makes the walk sort in many chunks.
fn options() -> impl Strategy<Value = Options> {
    prop_oneof![Just(1 << 13), Just(96 << 20)]
        .prop_map(|memory_bytes| Options { memory_bytes, ..Options::default() })
}

/// `PROPTEST_CASES`, else few enough for every day.
fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { default } else { ProptestConfig { cases: 48, ..default } }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_held_history_is_held(plan in plans(), options in options()) {
        let dir = tempfile::tempdir().unwrap();
        let metadata = plan.seed % 2 == 0;
        let rehearsal = rehearse(&Plan { metadata, ..plan });
        let judged = Judged::run(&rehearsal.write(&dir.path().join("run")), &options);
        let checks = if metadata { 11 } else { 10 };
        prop_assert_eq!(judged.checks(Verdict::Held).len(), checks, "{:#?}", judged.findings);
        prop_assert!(judged.violations.is_empty());
        let total = judged.findings.counts.total;
        prop_assert_eq!(total.acknowledged, acknowledged(&rehearsal.ledger).len() as u64);
        prop_assert_eq!(total.delivered, total.acknowledged);
    }

    #[test]
    fn exactly_what_is_planted_is_named(
        plan in plans(),
        options in options(),
        faults in proptest::collection::vec(0..FAULTS.len(), 1..5),
        dice in any::<u64>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut rehearsal, mut dice, mut used) = (rehearse(&plan), Dice(dice), BTreeSet::new());
        let planted: Vec<_> = faults
            .iter()
            .filter_map(|n| plant(&mut rehearsal, FAULTS[*n], &mut dice, &mut used))
            .collect();
        let judged = Judged::run(&rehearsal.write(&dir.path().join("run")), &options);

        let mut named: BTreeMap<ViolationKind, BTreeSet<(String, i64)>> = BTreeMap::new();
        for violation in &judged.violations {
            named.entry(violation.kind).or_default().insert((violation.table.clone(), violation.key.unwrap()));
        }
        prop_assert_eq!(&named, &expected(&rehearsal, &planted), "{:#?}", judged.violations);
        for (kind, table, key, ver, stage) in &planted {
            let violations = judged.violations.iter();
            let found: Vec<_> =
                violations.filter(|v| v.kind == *kind && v.table == *table && v.key == Some(*key)).collect();
            prop_assert_eq!(found.len(), 1, "{:#?}", found);
            prop_assert_eq!(found[0].ver, *ver);
            if stage.is_some() {
                prop_assert_eq!(found[0].stage.as_deref(), *stage);
            }
        }
        let broken: BTreeSet<&str> = judged.violations.iter().map(|v| v.check.as_str()).collect();
        prop_assert_eq!(judged.checks(Verdict::Broken).into_iter().collect::<BTreeSet<_>>(), broken);
        prop_assert_eq!(judged.checks(Verdict::Unknown), Vec::<&str>::new());
    }
}
