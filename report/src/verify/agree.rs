//! Whether the parts of the evidence agree with each other: a contradiction proves nothing.

use artifacts::snapshot::{Role, Snapshot};

use super::context::Context;

/// Sentences about records that the last look at the topics saw and that were not read.
pub fn unread(cx: &Context) -> Vec<String> {
    let (Ok(after), Ok(Some(collected))) = (cx.snapshot("after"), &cx.collected) else { return Vec::new() };
    let mut list = Vec::new();
    for (topic, partitions) in &after.topics {
        for (partition, bounds) in partitions {
            let read = collected.topics.get(topic).and_then(|to| to.get(partition)).map(|to| to.end);
            if read.unwrap_or(0) < bounds.end {
                let end = read.map_or("does not have it".to_owned(), |end| format!("ends it at {end}"));
                list.push(format!(
                    "{topic} partition {partition} had {} records in snapshots/after.json, collected.json {end}",
                    bounds.end
                ));
            }
        }
    }
    list
}

/// A list of rows that is not the table that the last snapshot saw is not believed.
pub fn rows(cx: &mut Context) {
    let Ok(Some(after)) = cx.snapshots.get("after").cloned().unwrap_or(Ok(None)) else { return };
    for (table, rows) in cx.tables.keys().zip(&mut cx.rows) {
        let Some(state) = after.tables.get(table).filter(|_| rows.known()) else { continue };
        if rows.sum.rows != state.rows || rows.sum.to_string() != state.fingerprint {
            let text = format!(
                "the list of rows of {table} has {} rows, or others, than snapshots/after.json with {}",
                rows.sum.rows, state.rows
            );
            rows.contradiction = Some(text);
        }
    }
}

/// Why a snapshot is not the one that its file name says; none when it is.
pub fn misplaced(cx: &Context, name: &str, snapshot: &Snapshot) -> Option<String> {
    let (role, major) = match name {
        "before" | "cut" => (Role::Old, cx.run.from),
        _ => (Role::New, cx.run.to),
    };
    let found = (snapshot.server.role, snapshot.server.version_num / 10_000);
    if snapshot.name != name {
        Some(format!("snapshots/{name}.json holds the snapshot '{}'", snapshot.name))
    } else if found != (role, major) {
        Some(format!(
            "snapshots/{name}.json was taken of the {} server, PostgreSQL {}, not of the {role} one, PostgreSQL {major}",
            found.0, found.1
        ))
    } else {
        None
    }
}
