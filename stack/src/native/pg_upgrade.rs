//! What pg_upgrade needs and leaves: sockets, wrapped programs, the old cluster's layout, logs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use artifacts::redact::Redactor;
use tempfile::TempDir;

use super::cluster::{give_to, without_checksums};
use crate::command::{Command, User};
use crate::error::{Error, Result};
use crate::paths::{create_dir, write_file};
use crate::state::PostgresTools;

/// The program, and the service as which what it starts is known.
pub(crate) const PG_UPGRADE: &str = "pg_upgrade";
/// With its terminating zero the path of a socket has at most 108 bytes, the port 5 of them.
const LONGEST_SOCKET_DIR: usize = 107 - "/.s.PGSQL.65535".len();

/// Where the servers that pg_upgrade starts have their sockets: beside the cluster, or in a temporary
/// folder when its path is too long.
pub(super) enum SocketDir {
    Beside(PathBuf),
    Temporary(TempDir),
}

impl SocketDir {
    pub(super) fn for_cluster(home: &Path, user: Option<User>) -> Result<Self> {
        if home.as_os_str().len() <= LONGEST_SOCKET_DIR {
            return Ok(Self::Beside(home.into()));
        }
        let tmp = Path::new("/tmp");
        let dir =
            tempfile::Builder::new().prefix("pg-cdc-").tempdir_in(tmp).map_err(Error::io("write to", tmp))?;
        give_to(dir.path(), user)?;
        Ok(Self::Temporary(dir))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Beside(path) => path,
            Self::Temporary(dir) => dir.path(),
        }
    }
}

/// The folder of a version's programs. Those that need private libraries are wrapped: programs of the
/// other version, which pg_upgrade runs as well, must not see these.
pub(super) fn programs(tools: &PostgresTools, home: &Path, user: Option<User>) -> Result<PathBuf> {
    let Some(libraries) = &tools.library_path else { return Ok(tools.bindir.clone()) };
    let dir = home.join("old-bin");
    create_dir(&dir)?;
    for entry in fs::read_dir(&tools.bindir).map_err(Error::io("read", &tools.bindir))?.flatten() {
        let wrapper = dir.join(entry.file_name());
        let text = Command::new(entry.path()).env("LD_LIBRARY_PATH", libraries).paste();
        write_file(&wrapper, &format!("#!/bin/sh\nexec env {text} \"$@\"\n"), 0o755)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("open up", &wrapper))?;
        give_to(&wrapper, user)?;
    }
    Ok(dir)
}

/// What `pg_controldata` says.
#[derive(Debug, PartialEq)]
pub(super) struct Control {
    pub(super) state: String,
    pub(super) clean: bool,
    checksums: bool,
    segment_mb: u64,
}

impl Control {
    pub(super) fn of(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let state = value("Database cluster state");
        Self {
            clean: state == "shut down",
            state,
            checksums: value("Data page checksum version") != "0",
            segment_mb: value("Bytes per WAL segment").parse::<u64>().unwrap_or(16 << 20) >> 20,
        }
    }

    /// The flags of initdb for a cluster that pg_upgrade accepts as the successor.
    pub(super) fn layout(&self, major: u32) -> Vec<String> {
        let mut flags = vec![format!("--wal-segsize={}", self.segment_mb)];
        flags.extend(if self.checksums { vec!["--data-checksums".into()] } else { without_checksums(major) });
        flags
    }
}

/// Copies the logs of the newest try, without secrets.
pub(crate) fn keep_logs(output: &Path, dest: &Path, redactor: &Redactor) -> Result<()> {
    let mut tries: Vec<PathBuf> =
        fs::read_dir(output).into_iter().flatten().flatten().map(|e| e.path()).collect();
    tries.sort();
    let Some(newest) = tries.pop() else { return Ok(()) };
    create_dir(dest)?;
    let files = [newest.join("log"), newest]
        .into_iter()
        .flat_map(|dir| fs::read_dir(dir).into_iter().flatten().flatten());
    for path in files.map(|file| file.path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        let copy = dest.join(path.file_name().unwrap_or_default());
        fs::write(&copy, redactor.text(&String::from_utf8_lossy(&bytes)))
            .map_err(Error::io("write", &copy))?;
    }
    Ok(())
}

/// pg_upgrade lists what it has found in order, up to the line that ends with `fatal`, and explains that.
pub(crate) fn from_the_fault(error: Error) -> Error {
    match error {
        Error::Command { what, status, tail, paste } => {
            let at = tail.lines().position(|line| line.ends_with("fatal")).unwrap_or_default();
            let tail = tail.lines().skip(at).map(str::trim).collect::<Vec<_>>().join("\n");
            Error::Command { what, status, tail, paste }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_cluster_is_laid_out_as_the_old_one() {
        let text = "Database cluster state:               in production\n\
                    Bytes per WAL segment:                67108864\n\
                    Data page checksum version:           0\n";
        let control = Control::of(text);
        assert!(!control.clean && control.state == "in production");
        assert_eq!(control.layout(17), ["--wal-segsize=64"]);
        assert_eq!(control.layout(18), ["--wal-segsize=64", "--no-data-checksums"]);
        let with = Control::of(
            &text
                .replace("version:           0", "version:           1")
                .replace("in production", "shut down"),
        );
        assert!(with.clean);
        assert_eq!(with.layout(18), ["--wal-segsize=64", "--data-checksums"]);
    }

    #[test]
    fn a_fault_of_pg_upgrade_comes_first() {
        let tail =
            "Checking database user    ok\nChecking for valid slots    fatal\nYour installation contains"
                .into();
        let (what, status, paste) = ("pg_upgrade".into(), "exit code 1".into(), "pg_upgrade".into());
        let text = from_the_fault(Error::Command { what, status, tail, paste }).to_string();
        assert!(text.starts_with("pg_upgrade failed with exit code 1: Checking for valid slots"), "{text}");
    }

    #[test]
    fn a_long_path_gets_a_short_socket_folder() {
        let short = Path::new("/var/lib/x");
        assert_eq!(SocketDir::for_cluster(short, None).unwrap().path(), short);
        let long = PathBuf::from(format!("/{}", "x".repeat(LONGEST_SOCKET_DIR)));
        let dir = SocketDir::for_cluster(&long, None).unwrap();
        assert!(dir.path().starts_with("/tmp") && dir.path().exists());
    }

    #[test]
    fn programs_with_private_libraries_are_wrapped() {
        let dir = tempfile::tempdir().unwrap();
        let bindir = dir.path().join("bin");
        fs::create_dir(&bindir).unwrap();
        fs::write(bindir.join("postgres"), "#!/bin/sh\necho \"$LD_LIBRARY_PATH $1\"\n").unwrap();
        fs::set_permissions(bindir.join("postgres"), fs::Permissions::from_mode(0o755)).unwrap();
        let (version, library_path) = ("15.18".into(), Some("/a b".into()));
        let tools = PostgresTools { version, bindir, library_path, builds: Vec::new() };
        let wrapped = programs(&tools, dir.path(), None).unwrap().join("postgres");
        let out = std::process::Command::new(wrapped).arg("-V").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "/a b -V\n");
    }
}
