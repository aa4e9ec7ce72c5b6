//! What a run was made on, for its report.

use std::fs;

/// Cores, memory, system, kernel and architecture, as far as they are known.
pub(crate) fn describe() -> Vec<String> {
    let cores = std::thread::available_parallelism().ok().map(|n| match n.get() {
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    });
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = Some(read("/proc/sys/kernel/osrelease").trim().to_owned()).filter(|text| !text.is_empty());
    [
        cores,
        memory(&read("/proc/meminfo")),
        system(&read("/etc/os-release")),
        kernel.map(|release| format!("Linux {release}")),
        Some(std::env::consts::ARCH.to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `MemTotal` as `23.5 GiB`.
fn memory(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn system(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(memory("MemTotal:       24641536 kB\nMemFree: 1 kB\n").as_deref(), Some("23.5 GiB"));
        let os = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
        assert_eq!(system(os).as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!((memory("nonsense"), system("")), (None, None));
    }
}
