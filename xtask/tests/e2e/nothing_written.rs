//! Nothing written proves nothing.

use artifacts::findings::Verdict;

use crate::support::{STACK, expect, findings, run_of};

#[test]
fn no_changes_is_unknown() {
    let run = run_of(&expect(4, &format!("upgrade --option b --changes 0 --name {STACK}")));
    assert_eq!(findings(&run).verdict, Verdict::Unknown);
}
