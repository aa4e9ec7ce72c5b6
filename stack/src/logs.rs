//! Logs of the components: where each began with this rehearsal, and copies without secrets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use artifacts::redact::Redactor;

use crate::error::{Error, Result};
use crate::paths::create_dir;
use crate::state::Secrets;

/// Copies the part of each log of a stack that belongs to this rehearsal; [`marks`] were taken when it began.
pub(crate) fn collect(
    dir: &Path,
    marks: &BTreeMap<String, u64>,
    secrets: &Secrets,
    dest: &Path,
) -> Result<()> {
    create_dir(dest)?;
    let redactor = Redactor::new(secrets.all());
    for (name, size) in sizes(dir) {
        let mark = marks.get(&name).copied().unwrap_or(0);
        // A log that is shorter than it was has been begun anew.
        let from = if mark <= size { mark } else { 0 };
        copy(&dir.join("logs").join(&name), from, &dest.join(&name), &redactor)?;
    }
    Ok(())
}

/// Where each log stands when a rehearsal begins. The servers' begin with them, and have no mark.
pub(crate) fn marks(dir: &Path) -> BTreeMap<String, u64> {
    sizes(dir).into_iter().filter(|(name, _)| !name.starts_with("postgres-")).collect()
}

fn sizes(dir: &Path) -> BTreeMap<String, u64> {
    let logs = fs::read_dir(dir.join("logs")).into_iter().flatten().flatten();
    logs.filter_map(|e| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len()))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_a_server_is_copied_from_its_beginning() {
        let stack = tempfile::tempdir().unwrap();
        let (dir, dest) = (stack.path(), stack.path().join("copy"));
        fs::create_dir(dir.join("logs")).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.join("logs").join(name), text).unwrap();
        write("kafka.log", "earlier\n");
        write("postgres-old.log", "gone\n");
        let marks = marks(dir);
        write("kafka.log", "earlier\nnow\n");
        write("postgres-old.log", "a new server\nand more\n");
        let secrets = Secrets { postgres: "more".into(), ..Secrets::random() };
        collect(dir, &marks, &secrets, &dest).unwrap();
        let copy = |name: &str| fs::read_to_string(dest.join(name)).unwrap();
        assert_eq!(copy("kafka.log"), "now\n");
        let server = copy("postgres-old.log");
        assert!(server.starts_with("a new server\n") && !server.contains("more"), "{server}");
    }
}
