//! What `violations.jsonl` lists: all of it counted, the smallest witnesses of each kind kept. Of the others only what
//! makes a witness small is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use artifacts::Lsn;
use artifacts::findings::{Violation, ViolationKind};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::parallel;
use crate::verify::violations::FILE;
use crate::witnesses::{Size, Witnesses};

/// The most kinds of violations that are counted apart.
const MAX_KINDS: usize = 40;
/// Bytes of whole lines that are read at once.
const CHUNK: u64 = 1 << 20;

/// What the file holds; `T` is kept of a witness.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) total: u64,
    /// By kind, and by its name with the stage.
    pub(crate) kinds: BTreeMap<(ViolationKind, String), Witnesses<T>>,
    /// Why reading ended early.
    pub(crate) damage: Option<String>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { total: 0, kinds: BTreeMap::new(), damage: None }
    }
}

/// What is looked at of every violation.
#[derive(Deserialize)]
struct Look<'a> {
    kind: ViolationKind,
    #[serde(borrow)]
    stage: Option<Cow<'a, str>>,
    ver: Option<u32>,
    lsn: Option<Lsn>,
    at: Vec<IgnoredAny>,
}

/// Reads the file, keeping the `max` smallest of each kind.
///
/// # Errors
/// A sentence: there is no such file.
pub(crate) fn read(path: &Path, max: usize) -> Result<Listed<Violation>, String> {
    let file = File::open(path).map_err(|_| "verify has not run: there is no violations.jsonl".to_owned())?;
    let mut all = Listed::default();
    parallel::ordered(
        Chunks(BufReader::new(file)),
        |chunk| look(chunk, max),
        |part| {
            all.append(part, max);
            all.damage.is_none()
        },
    );
    Ok(all.parsed())
}

/// Whole lines at a time.
struct Chunks(BufReader<File>);

impl Iterator for Chunks {
    type Item = std::io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut lines = Vec::new();
        let read = (&mut self.0).take(CHUNK).read_to_end(&mut lines);
        let read = read.and_then(|n| if n > 0 { self.0.read_until(b'\n', &mut lines) } else { Ok(n) });
        match read {
            Ok(_) => (!lines.is_empty()).then_some(Ok(lines)),
            Err(e) => Some(Err(e)),
        }
    }
}

/// The violations of some lines.
fn look(chunk: std::io::Result<Vec<u8>>, max: usize) -> Listed<Vec<u8>> {
    let lines = match chunk {
        Ok(lines) => lines,
        Err(e) => return Listed { damage: Some(e.to_string()), ..Listed::default() },
    };
    let (mut part, mut kinds) = (Listed::default(), BTreeMap::new());
    let mut rest = lines.as_slice();
    loop {
        let line = rest;
        let Ok(n @ 1..) = rest.skip_until(b'\n') else { break };
        let line = &line[..n];
        match serde_json::from_slice::<Look<'_>>(line) {
            Ok(look) => {
                part.total += 1;
                let size = Size::of(look.at.len(), look.ver, look.lsn);
                let of = (look.kind, look.stage);
                let witnesses: &mut Witnesses<_> = kinds.entry(of).or_default();
                witnesses.add(size, max, || line.to_vec());
            }
            Err(e) => {
                part.damage = Some(e.to_string());
                break;
            }
        }
    }
    for ((kind, stage), witnesses) in kinds {
        part.of((kind, name(kind, stage.as_deref()))).append(witnesses, max);
    }
    part
}

/// `missing (recoverable)`
fn name(kind: ViolationKind, stage: Option<&str>) -> String {
    let kind = format!("{kind:?}").to_lowercase();
    match stage {
        Some(stage) => format!("{kind} ({})", crate::text::clip(stage, 60)),
        None => kind,
    }
}

impl<T> Listed<T> {
    fn of(&mut self, kind: (ViolationKind, String)) -> &mut Witnesses<T> {
        let full = self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind);
        let kind = if full { (ViolationKind::Diverged, "other".into()) } else { kind };
        self.kinds.entry(kind).or_default()
    }

    /// Those of the lines that follow.
    fn append(&mut self, part: Self, max: usize) {
        for (kind, witnesses) in part.kinds {
            self.of(kind).append(witnesses, max);
        }
        self.total += part.total;
        let line = self.total + 1;
        self.damage = part.damage.map(|e| format!("{FILE} is corrupt at line {line}: {e}"));
    }
}

impl Listed<Vec<u8>> {
    fn parsed(self) -> Listed<Violation> {
        let Self { total, kinds, mut damage } = self;
        let mut parse = |line: Vec<u8>| match serde_json::from_slice(&line) {
            Ok(violation) => Some(violation),
            Err(e) => {
                damage.get_or_insert_with(|| format!("{FILE} is corrupt: {e}"));
                None
            }
        };
        let kinds = kinds.into_iter().map(|(kind, lines)| (kind, lines.filter_map(&mut parse))).collect();
        Listed { total, kinds, damage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(n: u64) -> String {
        let line = |i: u64| {
            let stage = if i.is_multiple_of(2) { "\"gone\"" } else { "null" };
            format!(
                "{{\"kind\":\"missing\",\"check\":\"nothing-missing\",\"table\":\"public.orders\",\"key\":{i},\
                 \"ver\":{},\"stage\":{stage},\"lsn\":\"0/{i:X}\",\"at\":[]}}\n",
                n - i
            )
        };
        (0..n).map(line).collect()
    }

    fn listed(text: &str) -> Listed<Violation> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path(), 3).unwrap()
    }

    #[test]
    fn many_are_counted_in_parts_and_the_smallest_of_all_are_kept() {
        let listed = listed(&lines(20_000));
        assert_eq!((listed.total, &listed.damage), (20_000, &None));
        let kinds: Vec<_> = listed.kinds.iter().map(|((_, name), w)| (name.as_str(), w.total)).collect();
        assert_eq!(kinds, [("missing", 10_000), ("missing (gone)", 10_000)]);
        let kept = listed.kinds.values().map(|w| w.smallest().map(|v| v.key.unwrap()).collect::<Vec<_>>());
        assert_eq!(kept.collect::<Vec<_>>(), [[19_999, 19_997, 19_995], [19_998, 19_996, 19_994]]);
    }

    #[test]
    fn damage_is_told_with_its_line_and_what_comes_before_it_counts() {
        let text = lines(20_000);
        let at = text.match_indices('\n').nth(15_000).unwrap().0;
        let damaged = listed(&format!("{}\nbroken{}", &text[..at], &text[at..]));
        assert_eq!(damaged.total, 15_001);
        assert!(damaged.damage.unwrap().starts_with("violations.jsonl is corrupt at line 15002: "));
        assert_eq!(listed("").total, 0);
        for (odd, line) in [(lines(2).replacen('\n', "", 1), 1), (lines(2).replacen('\n', "\n\n", 1), 2)] {
            let place = format!("violations.jsonl is corrupt at line {line}: ");
            assert!(listed(&odd).damage.is_some_and(|said| said.starts_with(&place)), "{odd}");
        }
    }
}
