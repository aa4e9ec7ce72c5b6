//! The Docker engine that the scenarios of the compose stack need.

use std::path::PathBuf;

use stack::Engine;

use super::{Count, Ground};
use crate::console;

/// The scenarios that need an engine with compose v2.
const NEED_ENGINE: [&str; 8] = [
    "compose::the_stack_keeps_events_and_offsets_and_is_upgraded_in_place",
    "containers::both_stacks_tell_the_same_of_the_same_seed",
    "containers::other_versions_in_containers",
    "containers::the_engine_gone_for_a_while",
    "containers::in_place_and_then_decommissioned",
    "containers::typed_one_by_one_and_looked_at",
    "containers::with_zookeeper_and_avro_and_a_column_more",
    "containers::what_is_missing_or_ends_is_said_in_one_sentence",
];

/// An engine, ours until it is dropped; where none can be had, its scenarios are left out and counted as skipped.
pub(super) async fn engine(
    ground: &Ground,
    only: &str,
    e2e: &mut Vec<&str>,
    total: &mut Count,
) -> Option<Engine> {
    let wanted: Vec<_> = NEED_ENGINE.into_iter().filter(|name| name.contains(only)).collect();
    if wanted.is_empty() {
        return None;
    }
    match Engine::get(&folder(ground)).await {
        Ok(engine) => Some(engine),
        Err(e) => {
            let why = e.to_string();
            for name in wanted {
                console::say(&format!("skipped: {name} ({})", why.lines().next().unwrap_or_default()));
                e2e.extend(["--skip", name]);
                total.skipped += 1;
            }
            None
        }
    }
}

/// Ends an engine of ours; whether that went well.
pub(super) async fn stop(ground: &Ground) -> bool {
    Engine::stop(&folder(ground)).await.map_err(|e| console::warn(&e.to_string())).is_ok()
}

/// Where it works; its socket must not have a long path.
fn folder(ground: &Ground) -> PathBuf {
    ground.state.join("engine")
}
