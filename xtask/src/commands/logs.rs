//! `cargo xtask logs`: the log of a component, without secrets.
//!
//! Original README: `docker-compose logs -f kafka-connect` and `data-generator`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use artifacts::redact::Redactor;
use stack::observe::Silent;
use stack::wait::{self, Probe, WaitError};

use super::target::{existing, option};
use crate::console;
use crate::exit::Outcome;
use crate::flags::Logs;

/// How long one wait for a next line lasts; then comes the next wait.
const NEXT_LINE: Duration = Duration::from_secs(3600);

/// Prints what is there; with `-f` goes on until nobody reads any more.
pub(crate) async fn run(args: &Logs) -> anyhow::Result<Outcome> {
    let stack = existing(&args.stack.name)?;
    let redactor = Redactor::new(stack.secrets().all());
    let path = stack.log_file(&args.service);
    if !path.exists() {
        let text = format!("{} has no log: it was not started yet", args.service);
        anyhow::ensure!(args.follow, "{text}; cargo xtask ps{} shows what was", option(&args.stack.name));
        console::say(&text);
    }
    let mut log = Log::new(&path);
    let mut lines = log.rest()?;
    if let Some(tail) = args.tail {
        lines.drain(..lines.len().saturating_sub(usize::try_from(tail)?));
    }
    loop {
        for line in lines {
            if console::stream(&redactor.text(&line)).is_break() {
                return Ok(Outcome::Done);
            }
        }
        if !args.follow {
            return Ok(Outcome::Done);
        }
        lines = next(&mut log).await?;
    }
}

/// The lines that come next.
async fn next(log: &mut Log) -> anyhow::Result<VecDeque<String>> {
    loop {
        let more = wait::until(&Silent, "a next line", NEXT_LINE, || {
            let probe = match log.rest() {
                Ok(lines) if lines.is_empty() => Probe::NotYet("no line".to_owned()),
                other => Probe::Ready(other),
            };
            std::future::ready(probe)
        });
        match more.await {
            Ok(lines) => return lines,
            Err(WaitError::Deadline { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// A log that grows, and begins anew with each fresh component.
struct Log {
    path: PathBuf,
    inode: u64,
    at: u64,
}

impl Log {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inode: 0, at: 0 }
    }

    /// The whole lines that were not read yet.
    fn rest(&mut self) -> anyhow::Result<VecDeque<String>> {
        let mut lines = VecDeque::new();
        if !self.path.exists() {
            return Ok(lines);
        }
        let read = |path: &Path| -> std::io::Result<(File, u64, u64)> {
            let file = File::open(path)?;
            let about = file.metadata()?;
            Ok((file, about.ino(), about.len()))
        };
        let failed = || format!("cannot read {}", self.path.display());
        let (mut file, inode, size) = read(&self.path).with_context(failed)?;
        if inode != self.inode || size < self.at {
            (self.inode, self.at) = (inode, 0);
        }
        file.seek(SeekFrom::Start(self.at)).with_context(failed)?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).with_context(failed)? > 0 && line.ends_with(b"\n") {
            self.at += line.len() as u64;
            lines.push_back(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            line.clear();
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn whole_lines_are_read_once_also_of_a_log_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kafka.log");
        let mut log = Log::new(&path);
        assert!(log.rest().unwrap().is_empty(), "it need not exist yet");
        let mut file = File::create(&path).unwrap();
        write!(file, "one\ntwo\nthr").unwrap();
        assert_eq!(log.rest().unwrap(), ["one", "two"]);
        writeln!(file, "ee").unwrap();
        assert_eq!(log.rest().unwrap(), ["three"]);
        assert!(log.rest().unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a fresh log, longer than the one before\n").unwrap();
        assert_eq!(log.rest().unwrap(), ["a fresh log, longer than the one before"]);
    }
}
