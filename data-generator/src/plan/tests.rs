use super::*;
use crate::fault::Fault;
use crate::rows::Outcome;
use crate::statements::Answer;
use artifacts::Lsn;
use artifacts::row::Digest;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn workload(seed: u64, clients: u32, tx_size: u32, mix: [u32; 3], key_skew: f64) -> Workload {
    let mix = Mix { insert: mix[0], update: mix[1], delete: mix[2] };
    let (changes, rate, duration_s, row_size, copy_rows, seed_rows) =
        (None, 0.0, None, 20, seed as u32 % 6, 0);
    Workload {
        seed,
        changes,
        rate,
        duration_s,
        clients,
        tx_size,
        mix,
        key_skew,
        row_size,
        copy_rows,
        seed_rows,
    }
}

/// A database in memory: answers as PostgreSQL would, and refuses what it would refuse.
#[derive(Default, Clone)]
struct Database {
    customers: BTreeMap<i64, u32>,
    orders: BTreeMap<i64, (u32, i64)>,
    documents: BTreeMap<i64, u32>,
    last: i64,
}

impl Database {
    fn apply(&mut self, change: &Planned) -> Result<Option<Answer>, String> {
        if change.leaves_nothing {
            return Ok(None);
        }
        let key = change.key.unwrap_or(self.last + 1);
        self.last = self.last.max(key);
        let touched = match (change.table, change.op) {
            (Table::Customers, Op::Create) => self.customers.insert(key, 1).is_none(),
            (Table::Customers, Op::Update) => self.customers.insert(key, change.ver) == Some(change.ver - 1),
            (Table::Customers, _) => {
                if self.orders.values().any(|(_, customer)| *customer == key) {
                    return Err(format!("customer {key} has orders"));
                }
                self.customers.remove(&key) == Some(change.ver)
            }
            (Table::Orders, Op::Create) => {
                let customer = change.customer.unwrap();
                if !self.customers.contains_key(&customer) {
                    return Err(format!("no customer {customer}"));
                }
                self.orders.insert(key, (1, customer)).is_none()
            }
            (Table::Orders, Op::Update) => {
                let row = self.orders.get_mut(&key).ok_or("no such order")?;
                row.0 += 1;
                row.0 == change.ver
            }
            (Table::Orders, _) => self.orders.remove(&key).map(|(ver, _)| ver) == Some(change.ver),
            (Table::Documents, Op::Create) => self.documents.insert(key, 1).is_none(),
            (Table::Documents, Op::Update) => self.documents.insert(key, change.ver) == Some(change.ver - 1),
            (Table::Documents, _) => self.documents.remove(&key) == Some(change.ver),
        };
        let answer = Answer { key, row: Digest([0; 16]), xid: "1".into(), lsn: Lsn(1) };
        touched.then_some(Some(answer)).ok_or_else(|| format!("not touched: {change:?}"))
    }
}

/// Plays transactions against the database; `fates` says what becomes of each.
fn play(workload: &Workload, fates: &[u8]) -> (Rows, Database, Vec<Plan>) {
    let (mut rows, mut database, mut all) = (Rows::default(), Database::default(), Vec::new());
    let mut planner = Planner::new(workload, 1, 100);
    for (number, fate) in (1..).zip(fates) {
        let plan = planner.plan(&mut rows, number, &[]);
        let mut next = database.clone();
        let answers: Result<Vec<_>, _> = plan.changes.iter().map(|c| next.apply(c)).collect();
        let answers = answers.unwrap();
        let fate = if plan.rolled_back { &0 } else { fate };
        let outcome = match fate {
            0 => Outcome::Refused(Fault::ours("no")),
            1 => Outcome::Unknown(Fault::ours("lost")),
            _ => Outcome::Committed(answers),
        };
        // An unknown one may have been committed.
        if *fate != 0 && (*fate != 1 || number % 2 == 0) {
            database = next;
        }
        rows.settle(&plan.changes, &outcome);
        all.push(plan);
    }
    (rows, database, all)
}

proptest! {
    /// What is planned is always possible: the version is right, no customer with orders is
    /// deleted, no order refers to a customer that is gone, whatever the fates were.
    #[test]
    fn plans_fit_the_database(
        seed: u64, tx_size in 1u32..6, skew in prop::sample::select(vec![0.0, 1.1]),
        mix in prop::sample::select(vec![[60, 30, 10], [30, 30, 40], [0, 1, 1], [1, 0, 0]]),
        fates in prop::collection::vec(0u8..8, 1..80),
    ) {
        let (rows, database, all) = play(&workload(seed, 1, tx_size, mix, skew), &fates);
        for key in rows.customers.keys() { prop_assert!(database.customers.contains_key(&key)); }
        for key in rows.orders.keys() { prop_assert!(database.orders.contains_key(&key)); }
        for key in rows.documents.keys() { prop_assert!(database.documents.contains_key(&key)); }
        if fates.iter().all(|fate| *fate != 1) {
            prop_assert_eq!(rows.customers.len(), database.customers.len());
            prop_assert_eq!(rows.orders.len(), database.orders.len());
            prop_assert_eq!(rows.documents.len(), database.documents.len());
        }
        let changes = || all.iter().flat_map(|plan| &plan.changes);
        let ids: BTreeSet<u64> = changes().map(|change| change.id).collect();
        prop_assert_eq!(ids.len(), changes().count());
        for plan in &all {
            prop_assert_eq!(plan.steps.iter().map(|step| step.changes).sum::<usize>(), plan.changes.len());
        }
    }

    #[test]
    fn the_same_seed_takes_the_same_decisions(seed: u64, fates in prop::collection::vec(0u8..8, 1..40)) {
        let workload = workload(seed, 4, 4, [60, 30, 10], 0.9);
        prop_assert_eq!(play(&workload, &fates).2, play(&workload, &fates).2);
    }
}

#[test]
fn clients_share_no_change_id_and_decide_differently() {
    let workload = workload(7, 3, 4, [60, 30, 10], 0.0);
    let mut ids = BTreeSet::new();
    let (mut values, mut steps) = (BTreeSet::new(), 0);
    for client in 1..=3 {
        let mut planner = Planner::new(&workload, client, 50);
        let mut rows = Rows::default();
        for number in 1..=20 {
            let plan = planner.plan(&mut rows, number, &[]);
            assert!(plan.changes.iter().all(|change| change.id > 50 && ids.insert(change.id)));
            let texts = plan.steps.iter().filter(|step| !step.values.is_empty());
            values.extend(texts.map(|step| format!("{:?}", step.values[1..].to_vec())));
            steps += plan.steps.iter().filter(|step| !step.values.is_empty()).count();
            rows.settle(&[], &Outcome::Committed(Vec::new()));
        }
    }
    assert_eq!(values.len(), steps);
}

#[test]
fn every_kind_comes_before_the_mix() {
    let workload = workload(1, 1, 4, [60, 30, 10], 0.0);
    let mut wanted = Planner::every_kind(workload.mix);
    assert_eq!(wanted.len(), 9);
    let (mut planner, mut rows, mut database) =
        (Planner::new(&workload, 1, 0), Rows::default(), Database::default());
    let mut made = 0;
    for number in 1..30 {
        if wanted.is_empty() {
            break;
        }
        let changes = planner.plan(&mut rows, number, &wanted).changes;
        let answers = changes.iter().map(|c| database.apply(c).unwrap()).collect();
        rows.settle(&changes, &Outcome::Committed(answers));
        made += changes.len();
        wanted.retain(|kind| changes.iter().all(|c| *kind != (c.table, c.op)));
    }
    assert!(wanted.is_empty() && made <= 24, "{wanted:?} left after {made}");
}

#[test]
fn a_mix_without_deletes_wants_none() {
    let kinds = Planner::every_kind(Mix { insert: 1, update: 1, delete: 0 });
    assert!(kinds.len() == 6 && kinds.iter().all(|(_, op)| *op != Op::Delete));
}

#[test]
fn every_odd_kind_of_statement_occurs() {
    let all = |copy_rows| play(&Workload { copy_rows, ..workload(3, 1, 4, [60, 30, 10], 0.0) }, &[7; 2000]).2;
    let count = |all: &[Plan], statement| {
        all.iter().flat_map(|plan| &plan.steps).filter(|step| step.statement == statement).count()
    };
    let copied = all(50);
    let counts = [Statement::CopyOrders, Statement::CopiedOrders].map(|statement| count(&copied, statement));
    assert!(counts[0] == counts[1] && (5..400).contains(&counts[0]), "{counts:?}");
    assert_eq!(count(&copied, Statement::InsertOrders), 0);
    let all = all(0);
    let sent = |statement| count(&all, statement);
    assert_eq!(sent(Statement::CopyOrders), 0);
    let odd = [
        Statement::InsertOrders,
        Statement::UpdateCustomers,
        Statement::DeleteOrders,
        Statement::RenumberOrder,
        Statement::RollbackTo,
    ];
    let counts = odd.map(sent);
    assert!(counts.iter().all(|n| (5..400).contains(n)), "{counts:?}");
    let rolled_back = all.iter().filter(|plan| plan.rolled_back).count();
    assert!((5..100).contains(&rolled_back), "{rolled_back}");
    let changes = || all.iter().flat_map(|plan| &plan.changes);
    assert!(changes().any(|change| change.key == Some(0) && change.leaves_nothing));
    let wide = changes().filter(|change| change.table == Table::Documents).count();
    assert!(wide * 10 < changes().count(), "{wide}");
}
