//! Running a command to its end: a clean or the user's own environment, another user where
//! needed, and a record of what was run.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use artifacts::events::EventKind;

use crate::error::{Error, Result};
use crate::observe::{Observer, Raw};
use crate::paths::is_root;
use crate::wait::WaitError;

/// The deadline of what only looks or unpacks.
pub(crate) const SHORT: Duration = Duration::from_secs(5 * 60);
/// The deadline of a download.
pub(crate) const DOWNLOAD: Duration = Duration::from_secs(30 * 60);
/// The deadline of work on a database's contents.
pub(crate) const DUMP: Duration = Duration::from_secs(2 * 60 * 60);

const TAIL_LINES: usize = 12;

/// The user that PostgreSQL runs as when the tool is root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    /// User id.
    pub(crate) uid: u32,
    /// Its group.
    pub(crate) gid: u32,
}

impl User {
    /// As root, `postgres`, else `nobody`; none for an ordinary user, who stays who they are.
    pub(crate) fn for_postgres() -> Option<Self> {
        is_root().then(|| Self::among(&std::fs::read_to_string("/etc/passwd").unwrap_or_default()))
    }

    fn among(passwd: &str) -> Self {
        let find = |name: &str| {
            let fields: Vec<&str> =
                passwd.lines().map(|l| l.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
            let number = |at: usize| fields.get(at)?.parse().ok().filter(|id| *id != 0);
            Some(Self { uid: number(2)?, gid: number(3)? })
        };
        find("postgres").or_else(|| find("nobody")).unwrap_or(Self { uid: 65534, gid: 65534 })
    }
}

/// A command that is run to its end.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    /// Not shown to anyone.
    tags: Vec<(&'static str, String)>,
    clean: bool,
    undisturbed: bool,
    with_stderr: bool,
    cwd: Option<PathBuf>,
    user: Option<User>,
}

/// A command that has ended.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Command {
    /// A command in this process's environment.
    pub(crate) fn new(program: impl AsRef<Path>) -> Self {
        let program = program.as_ref().to_owned();
        Self {
            program,
            args: Vec::new(),
            env: Vec::new(),
            tags: Vec::new(),
            clean: false,
            undisturbed: false,
            with_stderr: false,
            cwd: None,
            user: None,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()));
        self
    }

    /// Adds a variable.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds variables that are shown to nobody: passwords, and what marks it as a process of a stack; see
    /// [`crate::daemon`].
    pub(crate) fn tags(mut self, tags: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// Replaces the environment by [`clean_env`].
    pub(crate) fn clean(mut self) -> Self {
        self.clean = true;
        self
    }

    /// Sets the working directory.
    pub(crate) fn cwd(mut self, dir: &Path) -> Self {
        self.cwd = Some(dir.to_owned());
        self
    }

    /// Runs it as another user.
    pub(crate) fn user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// The command in a form that can be pasted into a shell.
    pub(crate) fn paste(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}={}", quote(value)));
        let words =
            std::iter::once(quote(&self.program.to_string_lossy())).chain(self.args.iter().map(|a| quote(a)));
        env.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Nothing that happens to this process cuts it off: it has a process group of its own, which
    /// Ctrl-C does not reach, and writes to a file, not to a pipe. It sees this process's
    /// environment, and past the deadline it is left to end by itself.
    pub(crate) fn undisturbed(mut self) -> Self {
        self.undisturbed = true;
        self
    }

    /// What it writes to stderr is part of its answer.
    pub(crate) fn with_stderr(mut self) -> Self {
        self.with_stderr = true;
        self
    }

    /// Runs it and returns what it wrote to stdout (an undisturbed one to stderr as well); it is
    /// killed at the deadline, and when this future is dropped.
    ///
    /// # Errors
    /// It cannot be started, does not end in time, or its exit code is not 0: `what` and its last
    /// lines say why.
    pub(crate) async fn run(
        &self,
        what: &str,
        deadline: Duration,
        observer: &dyn Observer,
    ) -> Result<String> {
        let start = Instant::now();
        let ended =
            if self.undisturbed { self.left_alone(deadline).await } else { self.watched(deadline).await };
        let ended = ended.map_err(|e| self.failed(what, e.to_string(), "it did not start".into()))?;
        let Ended { status: end, stdout, stderr } = match ended {
            Ok(ended) => ended,
            Err(seen) => {
                self.record(start, None, b"", observer);
                return Err(self.late(what, deadline, &seen));
            }
        };
        let text = [stdout.as_slice(), stderr.as_slice()].concat();
        self.record(start, end.code(), &text, observer);
        if !end.success() {
            return Err(self.failed(
                what,
                status(end),
                last_lines(&String::from_utf8_lossy(&text), TAIL_LINES),
            ));
        }
        let answer = if self.with_stderr { &text } else { &stdout };
        Ok(String::from_utf8_lossy(answer).into_owned())
    }

    /// The end of a command that is killed at the deadline.
    async fn watched(&self, deadline: Duration) -> std::io::Result<std::result::Result<Ended, String>> {
        let Ok(output) = tokio::time::timeout(deadline, self.tokio().output()).await else {
            return Ok(Err("it was still running and was killed".into()));
        };
        let output = output?;
        Ok(Ok(Ended { status: output.status, stdout: output.stdout, stderr: output.stderr }))
    }

    /// The end of one that is not.
    async fn left_alone(&self, deadline: Duration) -> std::io::Result<std::result::Result<Ended, String>> {
        let mut file = tempfile::tempfile()?;
        let command = duct::cmd(self.program.as_os_str(), &self.args)
            .stdin_null()
            .stderr_to_stdout()
            .stdout_file(file.try_clone()?)
            .unchecked();
        let command = self.env.iter().fold(command, |command, (name, value)| command.env(name, value));
        let command = command.before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
        let handle = command.start()?;
        let pids = handle.pids();
        let end = tokio::task::spawn_blocking(move || Ok(handle.wait_timeout(deadline)?.map(|o| o.status)));
        let Some(status) = end.await.unwrap_or_else(|e| Err(std::io::Error::other(e)))? else {
            return Ok(Err(format!("process {pids:?} still runs: wait for its end and repeat")));
        };
        let mut stdout = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut stdout)?;
        Ok(Ok(Ended { status, stdout, stderr: Vec::new() }))
    }

    fn record(&self, start: Instant, exit: Option<i32>, text: &[u8], observer: &dyn Observer) {
        let ms = start.elapsed().as_millis() as u64;
        let kind = EventKind::Command { paste: self.paste(), exit, ms, out: None };
        observer.event(kind, Some(Raw { extension: "txt", bytes: text }));
    }

    fn failed(&self, what: &str, status: String, tail: String) -> Error {
        Error::Command { what: what.into(), status, tail, paste: self.paste() }
    }

    fn late(&self, what: &str, deadline: Duration, seen: &str) -> Error {
        let last = format!("{seen}\n  command: {}", self.paste());
        WaitError::Deadline { what: what.into(), last, deadline }.into()
    }

    /// The same to be started by whoever waits for it himself.
    pub(crate) fn into_std(self) -> std::process::Command {
        self.tokio().into_std()
    }

    fn tokio(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        if self.clean {
            command.env_clear().envs(clean_env());
        }
        command.args(&self.args).envs(self.env.iter().map(|(n, v)| (n, v)));
        command.envs(self.tags.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null()).kill_on_drop(true);
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// What every component sees of the environment: no `PG*`, no `JAVA_TOOL_OPTIONS`.
pub(crate) fn clean_env() -> [(&'static str, String); 2] {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
    [("PATH", path), ("LC_ALL", "C.UTF-8".into())]
}

/// `exit code 1` or `signal 9`.
pub(crate) fn status(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".into(),
    }
}

/// The last lines of a text that are not empty.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A word of a shell command.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Looks a program up in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_program(file))
}

/// Whether a file is there and can be executed by someone.
pub(crate) fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Silent;

    #[test]
    fn a_command_can_be_pasted() {
        let command = Command::new("psql").args(["-c", "SELECT 'a b'"]).env("PGPASSFILE", "/x y");
        assert_eq!(command.paste(), r"PGPASSFILE='/x y' psql -c 'SELECT '\''a b'\'''");
    }

    #[test]
    fn postgres_is_preferred_to_nobody_and_root_is_never_taken() {
        let nobody = "root:x:0:0::/:\nnobody:x:65534:65533::/:";
        assert_eq!(User::among(nobody), User { uid: 65534, gid: 65533 });
        assert_eq!(User::among(&format!("{nobody}\npostgres:x:101:104::/:")), User { uid: 101, gid: 104 });
        assert_eq!(User::among("postgres:x:0:0::/:").uid, 65534);
    }

    #[tokio::test]
    async fn a_failure_shows_status_last_lines_and_command() {
        let command = Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]);
        let message = command.run("listing", SHORT, &Silent).await.unwrap_err().to_string();
        assert!(
            message.starts_with("listing failed with exit code 3: one\ntwo\n  command: sh -c"),
            "{message}"
        );
        let gone = Command::new("/nowhere/x").run("starting", SHORT, &Silent).await.unwrap_err().to_string();
        assert!(gone.contains("No such file"), "{gone}");
    }

    #[tokio::test]
    async fn a_clean_environment_has_no_variables_of_postgresql() {
        let out = Command::new("env").clean().env("X", "1").run("env", SHORT, &Silent).await.unwrap();
        let mut names: Vec<&str> = out.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "PATH", "X"]);
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_killed_at_the_deadline() {
        let start = Instant::now();
        let command = Command::new("sleep").args(["60"]);
        let error = command.run("resting", Duration::from_millis(50), &Silent).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains("was killed") && message.contains("command: sleep 60"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn what_must_not_be_cut_off_has_a_group_of_its_own() {
        let group = r#"echo "$1"; cut -d" " -f5 /proc/$$/stat; echo pid $$ >&2"#;
        let command = Command::new("sh").args(["-c", group, "sh", "one"]).env("X", "1");
        let text = command.undisturbed().run("grouping", SHORT, &Silent).await.unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!((words[0], words[1]), ("one", words[3]), "{text}");
        let bad = Command::new("sh").args(["-c", "echo E: no; exit 100"]);
        let message = bad.undisturbed().run("adding", SHORT, &Silent).await.unwrap_err().to_string();
        assert!(message.starts_with("adding failed with exit code 100: E: no"), "{message}");
    }
}
