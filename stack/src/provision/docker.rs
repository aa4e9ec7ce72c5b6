//! The programs of a Docker engine with compose v2: Debian's packages, unpacked beside the system. Nothing is
//! installed, and nothing starts by itself.

use std::path::{Path, PathBuf};

use super::postgres::deb::{self, Apt};
use super::{Need, Provision, Unfinished, blocking, short_hash, system};
use crate::command::DOWNLOAD;
use crate::error::{Error, Result};
use crate::paths::create_dir;
use crate::progress::Task;

/// Of the machine's own release. iptables is for the name server in the containers.
const ENGINE: [&str; 13] = [
    "docker.io",
    "containerd",
    "runc",
    "tini",
    "libdevmapper1.02.1",
    "iptables",
    "libip4tc2",
    "libip6tc2",
    "libxtables12",
    "libnftnl11",
    "libmnl0",
    "libnfnetlink0",
    "libnetfilter-conntrack3",
];
/// Compose v2; in Debian 12 this package is still version 1.
const COMPOSE: &str = "docker-compose";
/// What installing the packages would link.
const LINKS: [(&str, &str); 3] = [
    ("config/cli-plugins/docker-compose", "../../usr/libexec/docker/cli-plugins/docker-compose"),
    ("usr/sbin/iptables", "xtables-nft-multi"),
    ("usr/sbin/ip6tables", "xtables-nft-multi"),
];
/// A release and the one that has compose v2 for it.
const NEWER: (&str, &str) = ("bookworm", "trixie");

/// The folder of the programs: `usr/sbin`, `usr/bin`, and `config` for `DOCKER_CONFIG`.
///
/// # Errors
/// [`Error::Preflight`] where there is no apt-get; a failed download.
pub(crate) async fn fetch(provision: &Provision<'_>) -> Result<PathBuf> {
    let home = provision.paths.cache.join(format!("docker-{}", short_hash(&format!("{ENGINE:?}{NEWER:?}"))));
    create_dir(&provision.paths.cache)?;
    let _lock = provision.lock().await?;
    if home.exists() {
        return Ok(home);
    }
    system::require(&[Need::Apt], provision.install, provision.observer).await?;
    let task = Task::start("downloading a Docker engine for the tests");
    let unfinished = provision.unfinished("docker")?;
    let root = unfinished.path().join("root");
    let apt = Apt { dir: &unfinished, provision };
    let mut files = apt.download(&ENGINE, true).await?;
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if release.contains(&format!("VERSION_CODENAME={}\n", NEWER.0)) {
        files.push(compose_of_newer(provision, &unfinished).await?);
    } else {
        files.extend(apt.download(&[COMPOSE], true).await?);
    }
    apt.unpack(&files, &root).await?;
    create_dir(&root.join("config/cli-plugins"))?;
    for (name, target) in LINKS {
        let link = root.join(name);
        std::os::unix::fs::symlink(target, &link).map_err(Error::io("link", &link))?;
    }
    let folder = home.clone();
    blocking(move || unfinished.keep(&root, &folder)).await?;
    task.done();
    Ok(home)
}

/// What the programs need of the environment to find one another and their libraries.
pub(crate) fn env(home: &Path) -> Vec<(String, String)> {
    let path = std::env::var("PATH").unwrap_or_default();
    let libraries = home.join(format!("usr/lib/{}-linux-gnu/xtables", std::env::consts::ARCH));
    vec![
        ("PATH".into(), format!("{0}/usr/sbin:{0}/usr/bin:{path}", home.display())),
        ("LD_LIBRARY_PATH".into(), deb::library_path(home).unwrap_or_default()),
        ("XTABLES_LIBDIR".into(), libraries.display().to_string()),
    ]
}

/// Compose v2 of the next release, from the machine's own mirror.
async fn compose_of_newer(provision: &Provision<'_>, unfinished: &Unfinished) -> Result<PathBuf> {
    let dir = unfinished.path().join("newer");
    let (parts, lists, cache) = (dir.join("parts"), dir.join("lists"), dir.join("cache"));
    for folder in [&parts, &lists.join("partial"), &cache.join("archives/partial")] {
        create_dir(folder)?;
    }
    for path in sources() {
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let name = path.file_name().unwrap_or_default();
        let copy = parts.join(name);
        std::fs::write(&copy, newer(&text)).map_err(Error::io("write", &copy))?;
    }
    let options = [
        "Dir::Etc::SourceList=/dev/null".to_owned(),
        format!("Dir::Etc::SourceParts={}", parts.display()),
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
    ];
    let apt = |words: &[&str]| {
        let options = options.iter().flat_map(|option| ["-o", option]);
        unfinished.command("apt-get").args(["-q"]).args(options).args(words).cwd(&dir)
    };
    apt(&["update"]).run("reading the package lists", DOWNLOAD, &**provision.observer).await?;
    apt(&["download", COMPOSE]).run("downloading compose v2", DOWNLOAD, &**provision.observer).await?;
    let entries = std::fs::read_dir(&dir).map_err(Error::io("read", &dir))?.flatten().map(|e| e.path());
    let mut files = entries.filter(|path| path.extension().is_some_and(|e| e == "deb"));
    files.next().ok_or_else(|| Error::corrupt(&dir, format!("apt-get has not downloaded {COMPOSE}")))
}

/// The files that name the machine's mirrors.
fn sources() -> Vec<PathBuf> {
    let parts =
        std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|e| e.path());
    let known = |path: &PathBuf| path.extension().is_some_and(|e| e == "sources" || e == "list");
    let list = Path::new("/etc/apt/sources.list");
    parts.filter(known).chain(list.exists().then(|| list.into())).collect()
}

/// What of the sources is of the machine's release itself, not of its updates, for the newer one.
fn newer(sources: &str) -> String {
    let (own, newer) = NEWER;
    let of_release = |line: &str| line.split_whitespace().any(|word| word == own);
    let mut kept = Vec::new();
    for stanza in sources.split("\n\n") {
        let mut lines: Vec<String> = Vec::new();
        let mut wanted = false;
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            match (line.strip_prefix("Suites:"), line.starts_with("deb ")) {
                (Some(suites), _) => {
                    wanted |= of_release(suites);
                    lines.push(format!("Suites: {newer}"));
                }
                (None, true) if of_release(line) => {
                    wanted = true;
                    lines.push(line.replacen(&format!(" {own} "), &format!(" {newer} "), 1));
                }
                (None, true) => {}
                (None, false) => lines.push(line.into()),
            }
        }
        if wanted {
            kept.push(lines.join("\n") + "\n");
        }
    }
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_release_itself_is_taken_from_the_newer_one() {
        let text = "Types: deb\n# old\nURIs: a\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb\nURIs: b\nSuites: bookworm-security\n";
        assert_eq!(super::newer(text), "Types: deb\nURIs: a\nSuites: trixie\nComponents: main\n");
        let list = "deb [x=y] a bookworm main\ndeb a bookworm-updates main\n";
        assert_eq!(super::newer(list), "deb [x=y] a trixie main\n");
        assert_eq!(super::newer("deb a sid main"), "");
    }
}
