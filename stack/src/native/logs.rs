//! Logs of the components: where each began with this rehearsal, and copies without secrets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use artifacts::redact::Redactor;

use super::Native;
use crate::error::{Error, Result};
use crate::paths::create_dir;

impl Native {
    /// Copies the part of each log that belongs to this rehearsal.
    pub(crate) fn collect_logs(&self, dest: &Path) -> Result<()> {
        create_dir(dest)?;
        let redactor = Redactor::new(self.secrets.all());
        let none = BTreeMap::new();
        let marks = self.state.as_ref().map_or(&none, |state| &state.log_marks);
        for (name, size) in self.log_sizes() {
            let mark = marks.get(&name).copied().unwrap_or(0);
            // A log that is shorter than it was has been begun anew.
            let from = if mark <= size { mark } else { 0 };
            copy(&self.dir.join("logs").join(&name), from, &dest.join(&name), &redactor)?;
        }
        Ok(())
    }

    /// Size in bytes of each log.
    pub(super) fn log_sizes(&self) -> BTreeMap<String, u64> {
        let logs = fs::read_dir(self.dir.join("logs")).into_iter().flatten().flatten();
        logs.filter_map(|e| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len()))).collect()
    }

    /// The log of a cluster goes with the cluster.
    pub(super) fn clear_log(&self, service: &str) {
        let _ = fs::remove_file(self.daemons.log(service));
    }
}

fn copy(source: &Path, from: u64, dest: &Path, redactor: &Redactor) -> Result<()> {
    let mut file = File::open(source).map_err(Error::io("open", source))?;
    file.seek(SeekFrom::Start(from)).map_err(Error::io("read", source))?;
    let mut out = BufWriter::new(File::create(dest).map_err(Error::io("create", dest))?);
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(Error::io("read", source))?;
        let text = redactor.text(&String::from_utf8_lossy(&line));
        writeln!(out, "{text}").map_err(Error::io("write", dest))?;
    }
    out.flush().map_err(Error::io("write", dest))
}
