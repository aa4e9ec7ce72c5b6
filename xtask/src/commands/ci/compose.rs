//! The Docker engine that the scenarios of the compose stack need.

use std::path::PathBuf;

use stack::Engine;

use super::{Count, Ground};
use crate::console;

/// The scenario that needs an engine with compose v2.
const NEEDS_ENGINE: &str = "compose::the_stack_keeps_events_and_offsets_and_is_upgraded_in_place";

/// An engine, ours until it is dropped; where none can be had, the scenario is left out and counted as skipped.
pub(super) async fn engine(
    ground: &Ground,
    only: &str,
    e2e: &mut Vec<&str>,
    total: &mut Count,
) -> Option<Engine> {
    if !NEEDS_ENGINE.contains(only) {
        return None;
    }
    match Engine::get(&folder(ground)).await {
        Ok(engine) => Some(engine),
        Err(e) => {
            let why = e.to_string();
            console::say(&format!("skipped: {NEEDS_ENGINE} ({})", why.lines().next().unwrap_or_default()));
            e2e.extend(["--skip", NEEDS_ENGINE]);
            total.skipped += 1;
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
