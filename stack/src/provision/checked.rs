//! Whether a folder of the cache is what was unpacked. Reading all of it takes a second, so a folder that was
//! found right is not read again before something in it has been touched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artifacts::seal;
use walkdir::WalkDir;

use super::short_hash;

/// File systems keep times in steps: two changes within one cannot be told apart.
const STEP: Duration = Duration::from_millis(100);

/// What differs from the sums in a folder: one sentence per file.
pub(crate) fn differences(folder: &Path) -> Vec<String> {
    let (touched, fingerprint) = look(folder);
    let note = note(folder);
    if fs::read_to_string(&note).is_ok_and(|found_right| found_right == fingerprint) {
        return Vec::new();
    }
    let found = seal::differences(folder).unwrap_or_else(|e| vec![e.to_string()]);
    if found.is_empty() && touched.elapsed().is_ok_and(|ago| ago > STEP) {
        // The next check takes as long as this one when it cannot be noted.
        let _ = fs::write(note, fingerprint);
    }
    found
}

/// Beside the folder, which is sealed.
fn note(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".checked-{name}"))
}

/// The latest change of status (which nobody can set back) of what is below, and all of them in short.
fn look(folder: &Path) -> (SystemTime, String) {
    let (mut latest, mut all) = (UNIX_EPOCH, String::new());
    for entry in WalkDir::new(folder).sort_by_file_name() {
        // What cannot be read is told by the sums.
        let Some((path, meta)) = entry.ok().and_then(|e| Some((e.path().to_owned(), e.metadata().ok()?)))
        else {
            all.push('?');
            continue;
        };
        let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or(0);
        let changed = UNIX_EPOCH + Duration::new(meta.ctime().try_into().unwrap_or(0), nanos);
        latest = latest.max(changed);
        all += &format!("{} {} {}.{nanos}\n", path.display(), meta.len(), meta.ctime());
    }
    (latest, short_hash(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("postgresql-1");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("postgres"), "1").unwrap();
        fs::write(folder.join("SHA256SUMS"), seal::sums(&folder).unwrap()).unwrap();
        // Too soon after the change to be noted.
        assert!(differences(&folder).is_empty() && !note(&folder).exists());
        while !note(&folder).exists() {
            assert!(differences(&folder).is_empty());
        }
        // What has been noted is believed: nothing is read.
        let noted = fs::read_to_string(note(&folder)).unwrap();
        fs::write(folder.join("postgres"), "2").unwrap();
        assert_eq!(differences(&folder), ["postgres was changed"]);
        fs::write(note(&folder), look(&folder).1).unwrap();
        assert!(differences(&folder).is_empty());
        fs::write(note(&folder), noted).unwrap();
        assert_eq!(differences(&folder), ["postgres was changed"]);
    }
}
