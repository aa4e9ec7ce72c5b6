//! `SHA256SUMS`: seals the evidence. What is derived from it is not sealed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::run_dir::{DERIVED, SUMS};

/// SHA-256 of a file as 64 hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let n = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if n == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&buffer[..n]);
    }
}

/// Sums of every file of evidence below `root`, in the format of `sha256sum`, sorted by name.
///
/// # Errors
/// A file cannot be read.
pub fn sums(root: &Path) -> Result<String> {
    let mut text = String::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::corrupt(root, "directory", e))?;
        let Ok(name) = entry.path().strip_prefix(root) else { continue };
        let name = name.to_string_lossy();
        if entry.file_type().is_file() && !is_derived(&name) {
            text.push_str(&format!("{}  {name}\n", sha256_file(entry.path())?));
        }
    }
    Ok(text)
}

/// Whether a path, relative to the run directory, can be deleted and computed again.
pub fn is_derived(name: &str) -> bool {
    name == SUMS || DERIVED.contains(&name) || name.ends_with(".idx") || name.ends_with(".tmp")
}

/// Compares the evidence with its seal: one sentence per file that is changed, gone or new.
///
/// # Errors
/// The seal or a file cannot be read.
pub fn differences(root: &Path) -> Result<Vec<String>> {
    let path = root.join(SUMS);
    let sealed = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let parse = |text: &str| -> std::collections::BTreeMap<String, String> {
        text.lines().filter_map(|l| l.split_once("  ")).map(|(sum, name)| (name.into(), sum.into())).collect()
    };
    let (sealed, actual) = (parse(&sealed), parse(&sums(root)?));
    let changed = sealed.iter().filter_map(|(name, sum)| match actual.get(name) {
        None => Some(format!("{name} is gone")),
        Some(found) if found != sum => Some(format!("{name} was changed")),
        Some(_) => None,
    });
    let new = actual.keys().filter(|name| !sealed.contains_key(*name)).map(|name| format!("{name} is new"));
    Ok(changed.chain(new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_sees_changes_and_ignores_what_is_derived() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        ["a", "b"].iter().for_each(|name| write(name, "1"));
        write(SUMS, &sums(dir.path()).unwrap());
        write("report.html", "derived");
        assert!(differences(dir.path()).unwrap().is_empty());
        write("a", "2");
        std::fs::remove_file(dir.path().join("b")).unwrap();
        write("c", "1");
        assert_eq!(differences(dir.path()).unwrap(), ["a was changed", "b is gone", "c is new"]);
    }
}
