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
    /// Threads that have not ended yet, the first one always included.
    threads: u64,
    start: u64,
    /// Address space in bytes; 0 for a thread of the kernel.
    size: u64,
    /// Where the environment begins and ends in memory; 0 while a program is being loaded.
    environ: [u64; 2],
}

/// What can be read of the environment of a process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Environ {
    /// `NAME=VALUE`, each ended by a zero byte; empty when it may not be read.
    Read(Vec<u8>),
    /// It is in the middle of `execve`, or has no variables at all: ask again.
    Loading,
}

impl Environ {
    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        let Self::Read(bytes) = self else { return None };
        bytes.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

impl Process {
    /// The process that has this id now; none when there is none or it has ended.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = stat(pid)?;
        (!stat.is_dead()).then_some(Self { pid, start: stat.start })
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

    /// The environment it was started with.
    pub(crate) fn environ(self) -> Environ {
        let range = || stat(self.pid).map(|stat| (stat.size, stat.environ));
        let before = range();
        let Ok(bytes) = fs::read(format!("/proc/{}/environ", self.pid)) else {
            return Environ::Read(Vec::new());
        };
        match (before, range()) {
            // `execve` takes the memory away in mid-read, and fills the new one in later.
            (Some((size, old)), Some((_, new))) if size > 0 && (new[0] == new[1] || old != new) => {
                Environ::Loading
            }
            _ => Environ::Read(bytes),
        }
    }

    /// Its working directory.
    pub(crate) fn cwd(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// The control groups that it is in: of a container's, its id is part of their names.
    pub(crate) fn cgroup(self) -> String {
        fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default()
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

impl Stat {
    /// The first thread of a killed process can be a zombie while the others still hold its ports.
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }
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
        threads: fields.get(17)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        size: fields.get(20)?.parse().ok()?,
        environ: [fields.get(47)?.parse().ok()?, fields.get(48)?.parse().ok()?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let rest: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let text = format!("42 (a ) b) {}", rest.join(" ").replacen('3', "Z", 1));
        let stat = parse_stat(&text).unwrap();
        let expected = Stat { state: 'Z', parent: 4, threads: 20, start: 22, size: 23, environ: [50, 51] };
        assert_eq!(stat, expected);
        assert!(!stat.is_dead() && Stat { threads: 1, ..stat }.is_dead(), "threads hold ports");
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
    fn a_process_that_loads_a_program_is_not_taken_for_one_without_environment() {
        let again = "[ $1 = 0 ] && exec sleep 60 || exec sh -c \"$0\" \"$0\" $(($1 - 1))";
        let mut child = std::process::Command::new("sh");
        let mut child = child.args(["-c", again, again, "1000"]).env("MARK", "ours").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        let mut loading = 0;
        while process.command() != "sleep 60" {
            let environ = process.environ();
            if environ.get("MARK") != Some(b"ours") {
                assert_eq!(environ, Environ::Loading);
                loading += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(loading > 0, "never met in the middle of it");
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
