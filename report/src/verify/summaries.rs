//! What the data generator says it did, `steps/NN-start-generator/summary.json` and its like.

use artifacts::RunDir;
use artifacts::summary::Summary;

use super::context::{Read, evidence};

/// Every summary: its file, the step, and what it says. A generator that was killed leaves none.
pub fn read(run: &RunDir) -> Read<Vec<(String, String, Summary)>> {
    let Ok(entries) = std::fs::read_dir(run.path("steps")) else { return Ok(Vec::new()) };
    let mut folders: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    folders.sort_unstable();
    let mut list = Vec::new();
    for folder in folders {
        let file = format!("steps/{folder}/summary.json");
        if let Some(summary) = run.read_if_there(&file).map_err(|e| evidence(run, &e))? {
            let step = folder.split_once('-').map_or(folder.as_str(), |(_, name)| name).to_owned();
            list.push((file, step, summary));
        }
    }
    Ok(list)
}
