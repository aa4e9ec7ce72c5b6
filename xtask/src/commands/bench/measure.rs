//! A program measured from its start to its end, again and again.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use wait4::Wait4;

/// In characters; scripts and texts are words too.
const LONGEST_WORD: usize = 200;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    /// From start to end.
    pub(super) wall: Duration,
    /// Of all its processes and threads, in the kernel too.
    pub(super) cpu: Duration,
    /// Highest resident memory of its largest process.
    pub(super) peak_bytes: u64,
}

/// Runs it to its end. What it prints to stdout is given back.
///
/// # Errors
/// It cannot be run, or ends with a code other than `code`: with the end of what it said.
pub(super) fn once(command: &mut Command, code: i32) -> anyhow::Result<(Took, String)> {
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let program = command.get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
    let used = child.wait4().with_context(|| format!("cannot wait for {program}"))?;
    let wall = begun.elapsed();
    if used.status.code() != Some(code) {
        let said = text(&mut err)?;
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        let words = command.get_args().map(short).collect::<Vec<_>>().join(" ");
        bail!("{program} {words}: ended with {}, not with code {code}: {last}", used.status);
    }
    let rusage = used.rusage;
    let took = Took { wall, cpu: rusage.utime + rusage.stime, peak_bytes: rusage.maxrss };
    Ok((took, text(&mut out)?))
}

/// A word of a command, for an error.
fn short(word: &std::ffi::OsStr) -> String {
    word.to_string_lossy().chars().take(LONGEST_WORD).collect()
}

/// The same on a thread that may block.
pub(super) async fn measured(mut command: Command) -> anyhow::Result<(Took, String)> {
    tokio::task::spawn_blocking(move || once(&mut command, 0)).await?
}

fn text(file: &mut std::fs::File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What several runs took.
#[derive(Debug, Default, Clone)]
pub(super) struct Series(Vec<Took>);

impl Series {
    pub(super) fn add(&mut self, took: Took) {
        self.0.push(took);
    }

    /// Median of the wall times.
    pub(super) fn wall(&self) -> Duration {
        self.sorted(|took| took.wall, |times| times[times.len() / 2])
    }

    /// Shortest and longest wall time.
    pub(super) fn spread(&self) -> [Duration; 2] {
        self.sorted(|took| took.wall, |times| [times[0], times[times.len() - 1]])
    }

    /// Median of the processor times.
    pub(super) fn cpu(&self) -> Duration {
        self.sorted(|took| took.cpu, |times| times[times.len() / 2])
    }

    /// The highest of all.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.0.iter().map(|took| took.peak_bytes).max().unwrap_or(0)
    }

    fn sorted<T: Default>(&self, of: impl Fn(&Took) -> Duration, pick: impl Fn(&[Duration]) -> T) -> T {
        let mut times: Vec<Duration> = self.0.iter().map(of).collect();
        times.sort_unstable();
        if times.is_empty() { T::default() } else { pick(&times) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn time_and_memory_are_those_of_the_program() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done";
        let (took, said) = once(&mut shell(busy), 0).unwrap();
        assert_eq!(said, "done\n");
        assert!(took.cpu > Duration::from_millis(10) && took.wall >= took.cpu / 2, "{took:?}");
        assert!((1 << 19..1 << 30).contains(&took.peak_bytes), "{took:?}");
    }

    #[test]
    fn another_code_is_an_error_that_quotes_the_program() {
        let script = format!("echo no room >&2; exit 3; # {}", "x".repeat(3_000));
        let error = once(&mut shell(&script), 0).unwrap_err().to_string();
        assert!(error.contains("no room") && error.contains("not with code 0"), "{error}");
        assert!(error.len() < 400, "{error}");
    }

    #[test]
    fn median_and_spread() {
        let mut series = Series::default();
        for ms in [30, 10, 20] {
            let time = Duration::from_millis(ms);
            series.add(Took { wall: time, cpu: time * 2, peak_bytes: ms });
        }
        let ms = Duration::from_millis;
        assert_eq!((series.wall(), series.cpu(), series.peak_bytes()), (ms(20), ms(40), 30));
        assert_eq!(series.spread(), [ms(10), ms(30)]);
    }
}
