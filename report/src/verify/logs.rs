//! What the components themselves logged about the questions of the checks: quoted, with file and line.
//! A log decides nothing; it shows what a check concludes from the rest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use artifacts::Lsn;
use artifacts::findings::{CheckResult, Evidence};

use crate::text::clip;

/// What is read of a line; the rest of it is passed over.
const LONGEST_LINE: u64 = 16 << 10;
/// Offsets that are read of it.
const MOST_OFFSETS: usize = 1000;
/// What is quoted of it, in characters.
const QUOTED: usize = 300;

/// A line to look for. Wording: PostgreSQL 15 to 18, Debezium 3.6, Kafka Connect 4.3.
struct Known {
    /// Beginning of the file's name.
    log: &'static str,
    /// All of them are in the line, in this order; the quotation begins with the first.
    words: &'static [&'static str],
    check: &'static str,
    means: &'static str,
}

const KNOWN: [Known; 12] = [
    Known {
        log: "connect",
        words: &["Retrieved latest position from stored offset"],
        check: "positions-consistent",
        means: "the connector says which stored offset it found",
    },
    Known {
        log: "connect",
        words: &["Seeking to ", " on the replication slot with command"],
        check: "positions-consistent",
        means: "the connector moves the slot to its offset",
    },
    Known {
        log: "postgres",
        // `Streaming transactions committing after` names the slot's position, not the one asked for.
        words: &["received replication command: START_REPLICATION SLOT"],
        check: "positions-consistent",
        means: "what the connector asked for: what commits below this position is not sent",
    },
    Known {
        log: "postgres",
        words: &["has been already streamed, forwarding to"],
        check: "positions-consistent",
        means: "the server was asked for less than the slot has confirmed, and skips it",
    },
    Known {
        log: "connect",
        words: &["but this is no longer available on the server"],
        check: "positions-consistent",
        means: "the connector refuses its offset",
    },
    Known {
        log: "connect",
        words: &["Received offset commit request on", "but ignoring it. LSN flushing is not allowed yet"],
        check: "still-flowing",
        means: "the connector has not found the position at which it would resume",
    },
    Known {
        log: "connect",
        words: &["threw an uncaught and unrecoverable exception"],
        check: "still-flowing",
        means: "the task failed",
    },
    Known {
        log: "connect",
        words: &["WAL resume position", "discovered"],
        check: "still-flowing",
        means: "the connector found where to resume",
    },
    Known {
        log: "postgres",
        words: &["database files are incompatible with server"],
        check: "still-flowing",
        means: "the server does not start on these files",
    },
    Known {
        log: "postgres",
        words: &["ERROR:", "replication slot", "is active for PID"],
        check: "still-flowing",
        means: "somebody else was on the slot, which serves one connector at a time",
    },
    Known {
        log: "postgres",
        words: &["invalidating obsolete replication slot"],
        check: "replication-ready",
        means: "the server gave the slot up",
    },
    Known {
        log: "postgres",
        words: &["can no longer get changes from replication slot"],
        check: "replication-ready",
        means: "the server gave the slot up",
    },
];

/// The last line of a kind in a file, and how many there are.
struct Found {
    known: &'static Known,
    file: String,
    line: u64,
    times: u64,
    text: String,
}

/// What a run's logs say.
#[derive(Default)]
pub struct Logs {
    /// The known lines, by file and kind.
    found: Vec<Found>,
    /// The positions up to which the connector had done everything when it came back (`lsn_proc`), with the last
    /// file and line that says so.
    pub resumed: BTreeMap<Lsn, (String, u64)>,
}

impl Logs {
    /// Reads the logs of a folder once, in memory that does not grow with them. One that cannot be read
    /// says nothing.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut logs = Self::default();
        let Ok(entries) = std::fs::read_dir(folder) else { return logs };
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names.iter().for_each(|name| logs.file(&folder.join(name), name));
        logs
    }

    fn file(&mut self, path: &Path, name: &str) {
        let known: Vec<&'static Known> = KNOWN.iter().filter(|known| name.starts_with(known.log)).collect();
        if known.is_empty() {
            return;
        }
        let file = format!("logs/{name}");
        let mut found: Vec<Found> = Vec::new();
        lines(path, |line, text| {
            for known in known.iter().copied() {
                let Some(text) = quotation(text, known.words) else { continue };
                let times = found.iter().find(|f| std::ptr::eq(f.known, known)).map_or(1, |f| f.times + 1);
                found.retain(|f| !std::ptr::eq(f.known, known));
                found.push(Found { known, file: file.clone(), line, times, text });
            }
            if let Some(lsn) =
                resumed(text).filter(|_| name.starts_with("connect") && self.resumed.len() < MOST_OFFSETS)
            {
                self.resumed.insert(lsn, (file.clone(), line));
            }
        });
        self.found.extend(found);
    }

    /// A check with what the logs say about its question.
    pub(crate) fn beside(&self, mut check: CheckResult) -> CheckResult {
        let quote = |found: &Found| {
            let times = if found.times > 1 { format!(" ({} times)", found.times) } else { String::new() };
            Evidence {
                text: format!("{}{times}: “{}”", found.known.means, found.text),
                file: Some(found.file.clone()),
                at: Some(format!("line {}", found.line)),
            }
        };
        check.evidence.extend(self.found.iter().filter(|f| f.known.check == check.name).map(quote));
        check
    }
}

/// The position up to which the connector had done everything, of the line with which it comes back.
fn resumed(line: &str) -> Option<Lsn> {
    let (_, offset) = line.split_once("Found previous partition offset")?;
    let (_, rest) = offset.split_once("lsn_proc=")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok().map(Lsn)
}

/// The lines of a file with their numbers, of long ones the beginning. One that cannot be read has none.
fn lines(path: &Path, mut each: impl FnMut(u64, &str)) {
    let Ok(file) = File::open(path) else { return };
    let mut input = BufReader::new(file);
    let (mut bytes, mut line, mut begins) = (Vec::new(), 0, true);
    loop {
        bytes.clear();
        match input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let (whole, first) = (bytes.ends_with(b"\n"), begins);
        begins = whole;
        if !first {
            continue;
        }
        line += 1;
        each(line, &String::from_utf8_lossy(&bytes));
    }
}

/// The line from the first of the words on, when all are there.
fn quotation(line: &str, words: &[&str]) -> Option<String> {
    let quoted = &line[line.find(words.first()?)?..];
    let mut rest = quoted;
    for word in words {
        rest = &rest[rest.find(word)? + word.len()..];
    }
    Some(clip(quoted.trim_end(), QUOTED))
}

#[cfg(test)]
mod tests {
    use artifacts::findings::Verdict;

    use super::*;

    fn evidence(logs: &[(&str, &[u8])], check: &str) -> Vec<Evidence> {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in logs {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let check = CheckResult {
            name: check.into(),
            verdict: Verdict::Held,
            compared: 1,
            summary: String::new(),
            evidence: Vec::new(),
            remedy: None,
        };
        Logs::read(dir.path()).beside(check).evidence
    }

    #[test]
    fn the_last_line_of_a_kind_is_quoted_with_its_place() {
        let log = "x\n[12] LOG:  received replication command: START_REPLICATION SLOT \"s\" LOGICAL 0/1A\n\
                   [13] LOG:  received replication command: IDENTIFY_SYSTEM\n\
                   [14] LOG:  received replication command: START_REPLICATION SLOT \"s\" LOGICAL 0/3A\n";
        let found = evidence(&[("postgres-new.log", log.as_bytes())], "positions-consistent");
        assert_eq!(found.len(), 1);
        assert!(found[0].text.ends_with("START_REPLICATION SLOT \"s\" LOGICAL 0/3A”"), "{}", found[0].text);
        assert!(found[0].text.contains("(2 times): “received"));
        let place = (found[0].file.as_deref(), found[0].at.as_deref());
        assert_eq!(place, (Some("logs/postgres-new.log"), Some("line 4")));
        assert!(evidence(&[("kafka.log", log.as_bytes())], "positions-consistent").is_empty());
        assert!(evidence(&[("postgres-new.log", log.as_bytes())], "still-flowing").is_empty());
    }

    #[test]
    fn long_lines_and_broken_bytes_are_passed_over() {
        let mut log = vec![b'a'; 100_000];
        log.extend(b" threw an uncaught and unrecoverable exception\n\xff\xfe\n");
        log.extend(b"\xff WorkerSourceTask{id=x} Task threw an uncaught and unrecoverable exception. \xc3\n");
        let found = evidence(&[("connect.log", &log)], "still-flowing");
        assert_eq!(found.len(), 1, "the beginning of the long line says nothing");
        assert_eq!(found[0].at.as_deref(), Some("line 3"));
    }
}
