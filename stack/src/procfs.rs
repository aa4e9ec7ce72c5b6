//! What `/proc` says about processes.
//!
//! A process is known by its id and its start time: ids are used again, and `kill(pid, 0)`
//! takes zombies for living.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Process id.
    pub(crate) pid: u32,
    /// Start time in clock ticks after boot.
    pub(crate) start: u64,
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: u32,
    start: u64,
}

impl Process {
    /// The process that has this id now; none when there is none or it is a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        (!is_dead(stat.state)).then_some(Self { pid, start: stat.start })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The process that started it, or adopted it.
    pub(crate) fn parent(self) -> Option<u32> {
        stat(self.pid).map(|stat| stat.parent)
    }

    /// Resident memory in bytes.
    pub(crate) fn rss_bytes(self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
    }

    /// Memory in bytes that is its own or its share of what it shares; with that of its children
    /// a fair sum. None when it may not be read.
    pub(crate) fn pss_bytes(self) -> Option<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
    }

    /// A variable of the environment it was started with.
    pub(crate) fn variable(self, name: &str) -> Option<Vec<u8>> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let value = environ.split(|b| *b == 0).find_map(|entry| {
            let rest = entry.strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        })?;
        Some(value.to_vec())
    }

    /// Its working directory.
    pub(crate) fn cwd(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Its command line, on one line and cut to 120 characters; its name where there is none.
    pub(crate) fn command(self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let text: String = line.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect();
        if !text.is_empty() {
            return text;
        }
        fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().to_owned()
    }
}

/// Every process of the machine that is not a zombie.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|e| Process::of(e.file_name().to_str()?.parse().ok()?)).collect()
}

/// The process that listens on a TCP port, as far as this user may see it.
pub(crate) fn listener(port: u16) -> Option<Process> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    all().into_iter().find(|process| {
        let Ok(fds) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { return false };
        fds.flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| wanted.iter().any(|socket| target.as_os_str().as_bytes() == socket.as_bytes()))
    })
}

/// Inodes of the sockets that listen on a port, from the text of `/proc/net/tcp`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let fields = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|f| f.len() > 9 && f[3] == LISTEN && f[1].ends_with(&format!(":{port:04X}")))
        .map(|f| f[9].to_owned())
        .collect()
}

fn is_dead(state: char) -> bool {
    matches!(state, 'Z' | 'X' | 'x')
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold spaces and parentheses, so fields are counted after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = "42 (a ) b) Z 7 42 42 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2";
        assert_eq!(parse_stat(text), Some(Stat { state: 'Z', parent: 7, start: 98765 }));
        assert_eq!(parse_stat("42 (torn"), None);
    }

    #[test]
    fn this_process_lives_and_a_zombie_does_not() {
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.is_alive() && me.rss_bytes().unwrap() > 0);
        assert!(!Process { start: me.start + 1, ..me }.is_alive());
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_alive() && process.parent() == Some(me.pid));
        child.kill().unwrap();
        let start = std::time::Instant::now();
        while process.is_alive() && start.elapsed().as_secs() < 5 {}
        assert!(!process.is_alive(), "a zombie is dead although it was not waited for");
        child.wait().unwrap();
    }

    #[test]
    fn who_listens_is_found() {
        let listener_socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_socket.local_addr().unwrap().port();
        assert_eq!(listener(port).unwrap().pid, std::process::id());
        drop(listener_socket);
        assert_eq!(listener(port), None);
    }
}
