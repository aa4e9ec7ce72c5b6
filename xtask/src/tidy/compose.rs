//! The compose stack is published on 127.0.0.1 only, and every image has a tag that means one version.

use std::path::{Path, PathBuf};

use super::{Finding, files, finding, relative};

pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in sources(root) {
        let text = std::fs::read_to_string(&path)?;
        for (line, what, fix) in broken(&text) {
            findings.push(finding(format!("{}:{line}", relative(root, &path)), what, fix));
        }
    }
    Ok(findings)
}

fn sources(root: &Path) -> Vec<PathBuf> {
    files(&root.join("stack/compose"), &["yml", "yaml", "Dockerfile", "env"])
}

/// Lines that break a rule, by number.
fn broken(text: &str) -> Vec<(usize, String, &'static str)> {
    let mut broken = Vec::new();
    let mut stages = Vec::new();
    let mut in_ports = false;
    for (n, line) in text.lines().map(str::trim).enumerate() {
        let entries = match line.strip_prefix("ports:") {
            Some(rest) => rest,
            None if in_ports && line.starts_with('-') => line.trim_start_matches('-'),
            None => "",
        };
        in_ports = line.starts_with("ports:") || (in_ports && line.starts_with(['-', '#']));
        let plain = |entry: &str| entry.trim_matches([' ', '[', ']', '"', '\'']).to_owned();
        for entry in entries.split(',').map(plain).filter(|entry| !entry.is_empty()) {
            if !entry.starts_with("127.0.0.1:") {
                broken.push((
                    n + 1,
                    format!("publishes {entry}"),
                    "publish on 127.0.0.1: \"127.0.0.1:PORT:PORT\"",
                ));
            }
        }
        if line.starts_with("network_mode:") && line.contains("host") {
            broken.push((n + 1, "is on the host's network".into(), "publish a port on 127.0.0.1"));
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let image = match words[..] {
            ["image:", image, ..] => Some(image),
            ["FROM", image, ref rest @ ..] => {
                stages.extend(rest.get(1).copied());
                (!stages.contains(&image)).then_some(image)
            }
            _ => None,
        };
        if let Some(image) = image.filter(|image| !is_pinned(image)) {
            broken.push((n + 1, format!("the image {image} has no fixed tag"), "name a version"));
        }
    }
    broken
}

/// `postgres:16.14-bookworm`; a registry's port is no tag.
fn is_pinned(image: &str) -> bool {
    let tail = image.rfind(['/']).filter(|at| !image[..*at].contains("${")).map_or(image, |at| &image[at..]);
    tail.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && !tag.contains("latest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        broken(text).into_iter().map(|(line, ..)| line).collect()
    }

    #[test]
    fn a_port_on_every_interface_is_found_in_each_form() {
        assert!(lines("ports: [\"127.0.0.1:${P:-5432}:5432\"]").is_empty());
        assert_eq!(lines("ports: [\"127.0.0.1:1:1\", \"5432:5432\"]"), [1]);
        assert_eq!(lines("ports:\n  - 127.0.0.1:1:1\n  - 0.0.0.0:2:2\n  - target: 80\n"), [3, 4]);
        assert_eq!(lines("network_mode: host"), [1]);
    }

    #[test]
    fn an_image_without_a_version_is_found() {
        let pinned = "image: postgres:${POSTGRES:-${OLD:?}}\nimage: a/b:1-${V:?}\n";
        assert!(lines(pinned).is_empty());
        assert_eq!(lines("image: postgres\nimage: a/b:latest\nimage: host:5000/a"), [1, 2, 3]);
        assert_eq!(lines("FROM maven:3.9 AS plugin\nFROM plugin\nFROM debian"), [3]);
    }

    #[test]
    fn the_files_are_looked_at() {
        let names = sources(&crate::project::root());
        assert!(names.iter().any(|path| path.ends_with("compose.yml")), "{names:?}");
        assert!(names.iter().any(|path| path.ends_with("kafka-connect.Dockerfile")), "{names:?}");
    }
}
