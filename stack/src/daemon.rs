//! Processes that outlive the command that started them.
//!
//! Each has a log file, a session of its own, a pid file and, in its environment, the folder of
//! its stack: those whose pid file was never written are found by that. What decides is always
//! `/proc`, so that everything here may be called again after a crash of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use process_wrap::std::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::command::{User, clean_env, last_lines, status};
use crate::error::{Error, Result};
use crate::observe::{Observer, Silent};
use crate::paths::{create_dir, write_file};
use crate::procfs::{self, Environ, Process};
use crate::wait::{self, Probe, WaitError};

const TAG: &str = "PG_CDC_STACK";
const SERVICE_TAG: &str = "PG_CDC_SERVICE";
const KILL_DEADLINE: Duration = Duration::from_secs(10);
/// How long a process may take to load its program.
const LOADING: Duration = Duration::from_millis(300);
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 16 << 10;

/// What is started.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) service: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Added to [`clean_env`].
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: PathBuf,
    pub(crate) user: Option<User>,
    /// The port it listens on.
    pub(crate) port: Option<u16>,
}

/// A process of a stack as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceStatus {
    /// `kafka`, `connect`, `postgres-old`, `postgres-new`, `data-generator`, ...
    pub service: String,
    /// Process id; of one that has ended, the last it had.
    pub pid: Option<u32>,
    /// Whether it runs.
    pub alive: bool,
    /// The port it listens on.
    pub port: Option<u16>,
    /// Memory of it and its children in bytes, shared pages counted once.
    pub rss_bytes: Option<u64>,
    /// Its log.
    pub log: PathBuf,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitInfo {
    /// Exit code; null when it was ended by a signal, was started by another command, or did
    /// not run.
    pub code: Option<i32>,
    /// It did not end by the deadline and got SIGKILL.
    pub killed: bool,
    /// It was running.
    pub was_running: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct PidFile {
    #[serde(flatten)]
    process: Process,
    port: Option<u16>,
}

/// The processes of one stack.
#[derive(Debug)]
pub(crate) struct Daemons {
    dir: PathBuf,
    /// Those this command started, for their exit code.
    children: Mutex<BTreeMap<String, Box<dyn ChildWrapper>>>,
}

impl Daemons {
    /// The processes of the stack in this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), children: Mutex::default() }
    }

    /// Starts a process and returns at once.
    ///
    /// # Errors
    /// It already runs, or cannot be started.
    pub(crate) fn spawn(&self, spec: &Spec) -> Result<()> {
        if let Some(process) = self.find(&spec.service) {
            return Err(Error::Refused(format!("{} already runs as process {}", spec.service, process.pid)));
        }
        let log = self.log(&spec.service);
        let pid_file = self.pid_file(&spec.service);
        [&log, &pid_file].iter().filter_map(|p| p.parent()).try_for_each(create_dir)?;
        let out =
            fs::OpenOptions::new().create(true).append(true).open(&log).map_err(Error::io("open", &log))?;
        let err = out.try_clone().map_err(Error::io("open", &log))?;
        let wrap = CommandWrap::with_new(&spec.program, |command| {
            command.args(&spec.args).env_clear().envs(clean_env()).env("HOME", &spec.cwd);
            command.envs(spec.env.iter().map(|(n, v)| (n, v))).envs(self.tags(&spec.service));
            command.current_dir(&spec.cwd).stdin(Stdio::null()).stdout(out).stderr(err);
            if let Some(user) = spec.user {
                command.uid(user.uid).gid(user.gid);
            }
        });
        let mut wrap = wrap;
        let child = wrap.wrap(ProcessSession).spawn().map_err(Error::io("start", &spec.program))?;
        let pid = child.id();
        self.children().insert(spec.service.clone(), child);
        // One that has ended already has no start time any more; 0 is nobody's.
        let process = Process::of(pid).unwrap_or(Process { pid, start: 0 });
        let text = serde_json::to_string(&PidFile { process, port: spec.port });
        write_file(&pid_file, &text.map_err(|e| Error::corrupt(&pid_file, e))?, 0o644)
    }

    /// What marks a process as one of this stack's, for commands that are run to their end: they
    /// too can be left behind.
    pub(crate) fn tags(&self, service: &str) -> [(&'static str, String); 2] {
        [(TAG, self.dir.display().to_string()), (SERVICE_TAG, service.to_owned())]
    }

    /// The running process of a service.
    pub(crate) fn find(&self, service: &str) -> Option<Process> {
        if let Some(process) = self.read_pid(service).map(|file| file.process).filter(|p| p.is_alive()) {
            return Some(process);
        }
        let tagged: Vec<Process> =
            self.tagged().into_iter().filter(|(_, s)| s == service).map(|(p, _)| p).collect();
        tagged.iter().copied().find(|p| !tagged.iter().any(|other| p.parent() == Some(other.pid)))
    }

    /// A service as it is now; none when it was never started.
    pub(crate) fn status(&self, service: &str) -> Option<ServiceStatus> {
        let alive = self.find(service);
        let file = self.read_pid(service);
        if alive.is_none() && file.is_none() {
            return None;
        }
        Some(ServiceStatus {
            service: service.into(),
            pid: alive.or(file.as_ref().map(|f| f.process)).map(|p| p.pid),
            alive: alive.is_some(),
            port: file.and_then(|f| f.port),
            rss_bytes: alive.map(memory),
            log: self.log(service),
        })
    }

    /// Every service that was started and not stopped, and every one that runs, by name.
    pub(crate) fn services(&self) -> Vec<String> {
        let files = fs::read_dir(self.dir.join("run")).into_iter().flatten().flatten();
        let named = files.filter_map(|f| f.file_name().to_str()?.strip_suffix(".pid").map(str::to_owned));
        let mut names: Vec<String> =
            named.chain(self.tagged().into_iter().map(|(_, service)| service)).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Ends a service: the signal, a deadline, then SIGKILL for its whole group. May be called
    /// again, also when nothing runs.
    ///
    /// # Errors
    /// It survives even that.
    pub(crate) async fn stop(&self, service: &str, signal: Signal, deadline: Duration) -> Result<ExitInfo> {
        match self.ask_to_end(service, signal, deadline, &Silent).await {
            Ok(info) => Ok(info),
            Err((process, _)) => {
                kill_group(process);
                gone(service, process, KILL_DEADLINE, &Silent).await?;
                Ok(ExitInfo { killed: true, ..self.ended(service, true) })
            }
        }
    }

    /// As [`Daemons::stop`], but one that does not end in time is left alone.
    ///
    /// # Errors
    /// It still runs.
    pub(crate) async fn ask_to_end(
        &self,
        service: &str,
        signal: Signal,
        deadline: Duration,
        observer: &dyn Observer,
    ) -> std::result::Result<ExitInfo, (Process, WaitError)> {
        let process = self.find(service);
        if let Some(process) = process {
            send(process, signal);
            let end = gone(service, process, deadline, observer).await;
            end.map_err(|e| (process, e))?;
        }
        Ok(self.ended(service, process.is_some()))
    }

    /// Forgets a service that has ended.
    fn ended(&self, service: &str, was_running: bool) -> ExitInfo {
        let child = self.children().remove(service);
        let code = child.and_then(|mut child| child.try_wait().ok().flatten()).and_then(|end| end.code());
        let _ = fs::remove_file(self.pid_file(service));
        ExitInfo { code, killed: false, was_running }
    }

    /// Kills what is left of the given services, or of all: children whose parent was killed,
    /// and PostgreSQL backends, which are sessions of their own.
    ///
    /// # Errors
    /// Something survives.
    pub(crate) async fn sweep(&self, service: Option<&str>) -> Result<usize> {
        let mut ended = BTreeSet::new();
        let start = Instant::now();
        wait::until(&Silent, "end of left-over processes", KILL_DEADLINE, || {
            let (tagged, loading) = self.scan();
            let tagged = tagged.into_iter().filter(|(_, s)| service.is_none_or(|wanted| wanted == s));
            let backends = procfs::all().into_iter().filter(|p| self.is_backend(*p, service));
            let now: Vec<Process> = tagged.map(|(p, _)| p).chain(backends).collect();
            now.iter().for_each(|p| send(*p, Signal::KILL));
            ended.extend(now.iter().copied());
            // One that is loading a program does not say whose it is; that lasts milliseconds.
            let unknown = if start.elapsed() < LOADING { &loading[..] } else { &[] };
            let names: Vec<String> =
                now.iter().chain(unknown).map(|p| format!("{} ({})", p.pid, p.command())).collect();
            async move { if names.is_empty() { Probe::Ready(()) } else { Probe::NotYet(names.join(", ")) } }
        })
        .await?;
        Ok(ended.len())
    }

    /// Kills everything at once and does not wait: for when there is no time.
    pub(crate) fn kill(&self) {
        self.tagged().iter().for_each(|(process, _)| send(*process, Signal::KILL));
    }

    /// Waits for a service to answer; its death ends the wait.
    ///
    /// # Errors
    /// [`Error::Component`] with the last lines of its log.
    pub(crate) async fn ready<T, F, Fut>(
        &self,
        service: &str,
        what: &str,
        deadline: Duration,
        observer: &dyn Observer,
        mut ask: F,
    ) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = std::result::Result<T, String>>,
    {
        let result = wait::until(observer, what, deadline, || {
            let alive = self.find(service).is_some();
            let answer = ask();
            async move {
                if !alive {
                    return Probe::Never(self.exit_of(service));
                }
                answer.await.map_or_else(Probe::NotYet, Probe::Ready)
            }
        });
        result.await.map_err(|cause| self.component(service, cause))
    }

    /// An error with the last lines of a service's log.
    fn component(&self, service: &str, cause: WaitError) -> Error {
        Error::Component { cause, log: self.log(service), tail: self.log_tail(service) }
    }

    fn exit_of(&self, service: &str) -> String {
        let status =
            self.children().get_mut(service).and_then(|child| child.try_wait().ok().flatten()).map(status);
        status.map_or_else(
            || "the process has ended".into(),
            |status| format!("the process has ended with {status}"),
        )
    }

    /// The log of a service.
    pub(crate) fn log(&self, service: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{service}.log"))
    }

    /// The last lines of the log of a service.
    pub(crate) fn log_tail(&self, service: &str) -> String {
        use std::io::{Read, Seek, SeekFrom};
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = fs::File::open(self.log(service))?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if !bytes.is_empty() => last_lines(&String::from_utf8_lossy(&bytes), TAIL_LINES),
            Ok(_) => "the log is empty".into(),
            Err(e) => format!("no log: {e}"),
        }
    }

    fn pid_file(&self, service: &str) -> PathBuf {
        self.dir.join("run").join(format!("{service}.pid"))
    }

    fn read_pid(&self, service: &str) -> Option<PidFile> {
        serde_json::from_slice(&fs::read(self.pid_file(service)).ok()?).ok()
    }

    /// Processes that were started for this stack, with the name of their service.
    fn tagged(&self) -> Vec<(Process, String)> {
        self.scan().0
    }

    /// Those of this stack, and those that cannot be told yet.
    fn scan(&self) -> (Vec<(Process, String)>, Vec<Process>) {
        let ours = self.dir.as_os_str().as_bytes();
        let (mut tagged, mut loading) = (Vec::new(), Vec::new());
        for process in procfs::all() {
            let environ = process.environ();
            if environ == Environ::Loading {
                loading.push(process);
            } else if environ.get(TAG) == Some(ours)
                && let Some(service) = environ.get(SERVICE_TAG)
            {
                tagged.push((process, String::from_utf8_lossy(service).into_owned()));
            }
        }
        (tagged, loading)
    }

    /// A backend overwrites its environment with its title, but works in the data folder.
    fn is_backend(&self, process: Process, service: Option<&str>) -> bool {
        let folder = self.dir.join("postgres");
        let folder = match service.and_then(|s| s.strip_prefix("postgres-")) {
            Some(role) => folder.join(role),
            None if service.is_some() => return false,
            None => folder,
        };
        process.cwd().is_some_and(|cwd| cwd.starts_with(&folder)) && process.command().starts_with("postgres")
    }

    fn children(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Box<dyn ChildWrapper>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn gone(
    service: &str,
    process: Process,
    deadline: Duration,
    observer: &dyn Observer,
) -> std::result::Result<(), WaitError> {
    let what = format!("end of {service} (process {})", process.pid);
    wait::until(observer, &what, deadline, || async move {
        if process.is_alive() { Probe::NotYet("still running".into()) } else { Probe::Ready(()) }
    })
    .await
}

/// Sends a signal to the process it was meant for; one that has ended meanwhile is fine.
fn send(process: Process, signal: Signal) {
    if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw)
        && process.is_alive()
    {
        let _ = kill_process(pid, signal);
    }
}

fn kill_group(leader: Process) {
    if let Some(pid) = i32::try_from(leader.pid).ok().and_then(Pid::from_raw)
        && leader.is_alive()
    {
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Memory of a process and its children.
pub(crate) fn memory(process: Process) -> u64 {
    let children = procfs::all().into_iter().filter(|p| p.parent() == Some(process.pid));
    let family = std::iter::once(process).chain(children);
    family.filter_map(|p| p.pss_bytes().or_else(|| p.rss_bytes())).sum()
}

#[cfg(test)]
mod tests;
