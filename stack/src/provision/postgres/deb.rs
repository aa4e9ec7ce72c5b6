//! A PostgreSQL build of Debian, downloaded by apt-get and unpacked beside the system: nothing is
//! installed, no root is needed, and no cluster is started.

use std::fs;
use std::path::{Path, PathBuf};

use super::Pin;
use crate::command::{DOWNLOAD, SHORT};
use crate::error::{Error, Result};
use crate::paths::create_dir;
use crate::provision::{Provision, Unfinished, blocking, verify};

/// How often libraries of libraries are looked for.
const ROUNDS: usize = 4;

/// The folder of the programs.
pub(super) fn bindir(folder: &Path, major: u32) -> PathBuf {
    folder.join(format!("usr/lib/postgresql/{major}/bin"))
}

/// The folders of the private libraries.
pub(in crate::provision) fn library_path(folder: &Path) -> Option<String> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let dirs = [folder.join("usr/lib").join(&triplet), folder.join("lib").join(&triplet)];
    let there: Vec<String> =
        dirs.iter().filter(|dir| dir.exists()).map(|dir| dir.display().to_string()).collect();
    (!there.is_empty()).then(|| there.join(":"))
}

/// Downloads and unpacks the pinned files and the libraries that the machine lacks.
pub(super) async fn fetch(provision: &Provision<'_>, pins: &[Pin], folder: &Path) -> Result<()> {
    let unfinished = provision.unfinished(&format!("postgresql-{}", pins[0].major))?;
    let apt = Apt { dir: &unfinished, provision };
    let packages: Vec<&str> = pins.iter().map(|pin| pin.package).collect();
    let files = apt.get(&packages).await.map_err(|e| gone(&pins[0], &e))?;
    apt.check(&files, pins.iter().map(|pin| (pin.package, pin.sha256)))?;
    let root = apt.dir.path().join("root");
    apt.unpack(&files, &root).await?;
    let programs =
        ["postgres", "psql", "pg_dump", "initdb"].map(|name| bindir(&root, pins[0].major).join(name));
    apt.add_libraries(&root, &programs).await?;
    for unused in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/lib/postgresql/15/lib/bitcode"]
    {
        crate::paths::remove_dir(&root.join(unused))?;
    }
    let folder = folder.to_owned();
    blocking(move || unfinished.keep(&root, &folder)).await
}

/// One line that says so, with what apt-get said and the ways out.
fn gone(pin: &Pin, cause: &Error) -> Error {
    let text = cause.to_string();
    let said = text.lines().find(|line| line.starts_with("E: ")).or(text.lines().next()).unwrap_or_default();
    Error::preflight(
        format!("{} cannot be had from this machine's package sources: {said}", pin.package),
        format!(
            "set PG{0}_BINDIR to the bin folder of a PostgreSQL {0}, or rehearse other versions, as --from 16 --to 17",
            pin.major
        ),
    )
}

/// Downloads packages and unpacks them, beside the system.
pub(in crate::provision) struct Apt<'a> {
    pub(in crate::provision) dir: &'a Unfinished,
    pub(in crate::provision) provision: &'a Provision<'a>,
}

impl Apt<'_> {
    /// Downloads packages by the package lists that are there, else by fresh ones.
    pub(in crate::provision) async fn get(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        match self.download(packages, false).await {
            Ok(files) => Ok(files),
            Err(_) => self.download(packages, true).await,
        }
    }

    /// Looks for each pinned package (`name=version` and the sum of its file) among what was downloaded.
    ///
    /// # Errors
    /// It is not there, or is something else.
    pub(in crate::provision) fn check<'a>(
        &self,
        files: &[PathBuf],
        pins: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<()> {
        for (package, sha256) in pins {
            let name = format!("{}_", package.split('=').next().unwrap_or_default());
            let file = files
                .iter()
                .find(|file| file.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&name)));
            let missing = || Error::corrupt(self.dir.path(), format!("apt-get has not downloaded {package}"));
            verify(file.ok_or_else(missing)?, sha256)?;
        }
        Ok(())
    }

    /// Downloads packages into a folder of their own. `fresh` reads the package lists anew, into
    /// the temporary folder: that needs no root and changes nothing of the system.
    pub(in crate::provision) async fn download(
        &self,
        packages: &[&str],
        fresh: bool,
    ) -> Result<Vec<PathBuf>> {
        let into = self.dir.path().join(format!("debs-{}", packages.join("-").replace(['=', '+', '.'], "")));
        create_dir(&into)?;
        let mut options = vec!["-q".to_owned()];
        if fresh {
            let (lists, cache) = (self.dir.path().join("lists"), self.dir.path().join("apt"));
            create_dir(&lists.join("partial"))?;
            create_dir(&cache.join("archives/partial"))?;
            options.extend(["-o".into(), format!("Dir::State::Lists={}", lists.display())]);
            options.extend(["-o".into(), format!("Dir::Cache={}", cache.display())]);
            let update = self.dir.command("apt-get").args(&options).args(["update"]);
            update.run("reading the package lists", DOWNLOAD, &**self.provision.observer).await?;
        }
        let download =
            self.dir.command("apt-get").args(&options).args(["download"]).args(packages).cwd(&into);
        download.run("downloading packages", DOWNLOAD, &**self.provision.observer).await?;
        let files =
            fs::read_dir(&into).map_err(Error::io("read", &into))?.flatten().map(|entry| entry.path());
        Ok(files.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect())
    }

    pub(in crate::provision) async fn unpack(&self, files: &[PathBuf], root: &Path) -> Result<()> {
        for file in files {
            let unpack = self.dir.command("dpkg-deb").args(["-x"]).args([file.as_path(), root]);
            unpack.run("unpacking a package", SHORT, &**self.provision.observer).await?;
        }
        Ok(())
    }

    /// A small machine lacks libraries that programs are linked with. They come from its own
    /// release, whose signatures apt-get checks.
    pub(in crate::provision) async fn add_libraries(&self, root: &Path, programs: &[PathBuf]) -> Result<()> {
        for _ in 0..ROUNDS {
            let missing = self.missing_libraries(root, programs).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let mut packages: Vec<&str> =
                missing.iter().map(|library| package_of(library)).collect::<Result<_>>()?;
            packages.sort_unstable();
            packages.dedup();
            self.unpack(&self.get(&packages).await?, root).await?;
        }
        let missing = self.missing_libraries(root, programs).await?;
        match missing.first() {
            None => Ok(()),
            Some(library) => Err(no_library(library)),
        }
    }

    async fn missing_libraries(&self, root: &Path, programs: &[PathBuf]) -> Result<Vec<String>> {
        let mut ldd = self.dir.command("ldd").args(programs);
        if let Some(path) = library_path(root) {
            ldd = ldd.env("LD_LIBRARY_PATH", path);
        }
        let answer = ldd.run("looking for libraries", SHORT, &**self.provision.observer).await?;
        Ok(not_found(&answer))
    }
}

/// `libicui18n.so.72 => not found`
fn not_found(answer: &str) -> Vec<String> {
    let lines = answer.lines().filter(|line| line.ends_with("=> not found"));
    lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// The package of a library in Debian 12, the only release these builds are for.
fn package_of(library: &str) -> Result<&'static str> {
    const PACKAGES: [(&str, &str); 24] = [
        ("libcom_err.so.2", "libcom-err2"),
        ("libcrypto.so.3", "libssl3"),
        ("libedit.so.2", "libedit2"),
        ("libgnutls.so.30", "libgnutls30"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
        ("libicudata.so.72", "libicu72"),
        ("libicui18n.so.72", "libicu72"),
        ("libicuuc.so.72", "libicu72"),
        ("libk5crypto.so.3", "libk5crypto3"),
        ("libkeyutils.so.1", "libkeyutils1"),
        ("libkrb5.so.3", "libkrb5-3"),
        ("libkrb5support.so.0", "libkrb5support0"),
        ("liblber-2.5.so.0", "libldap-2.5-0"),
        ("libldap-2.5.so.0", "libldap-2.5-0"),
        ("liblz4.so.1", "liblz4-1"),
        ("libnettle.so.8", "libnettle8"),
        ("libpam.so.0", "libpam0g"),
        ("libreadline.so.8", "libreadline8"),
        ("libsasl2.so.2", "libsasl2-2"),
        ("libssl.so.3", "libssl3"),
        ("libsystemd.so.0", "libsystemd0"),
        ("libtinfo.so.6", "libtinfo6"),
        ("libxml2.so.2", "libxml2"),
        ("libzstd.so.1", "libzstd1"),
    ];
    let found = PACKAGES.iter().find(|(name, _)| *name == library).map(|(_, package)| *package);
    found.ok_or_else(|| no_library(library))
}

fn no_library(library: &str) -> Error {
    Error::preflight(
        format!("a program needs {library}, which this machine lacks"),
        "install the package that has it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_are_missing_lead_to_packages() {
        let answer = "/x/postgres:\n\tlibicuuc.so.72 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n";
        assert_eq!(not_found(answer), ["libicuuc.so.72"]);
        assert_eq!(package_of("libicuuc.so.72").unwrap(), "libicu72");
        assert!(package_of("libx.so.1").unwrap_err().to_string().contains("needs libx.so.1"));
    }

    #[test]
    fn a_package_is_found_by_its_name_and_believed_by_its_sum() {
        let dir = tempfile::tempdir().unwrap();
        let paths = crate::paths::Paths { cache: dir.path().into(), state: dir.path().into() };
        let observer = crate::observe::silent();
        let provision = Provision { paths: &paths, install: false, observer: &observer };
        let unfinished = provision.unfinished("x").unwrap();
        let apt = Apt { dir: &unfinished, provision: &provision };
        let file = dir.path().join("kcat_1.7.1-2_amd64.deb");
        fs::write(&file, "").unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let check = |package, sum| apt.check(std::slice::from_ref(&file), [(package, sum)].into_iter());
        check("kcat=1.7.1-2", empty).unwrap();
        let changed = check("kcat=1.7.1-2", "00").unwrap_err().to_string();
        assert!(changed.contains("pinned is 00"), "{changed}");
        let absent = check("kca=1.7.1-2", empty).unwrap_err().to_string();
        assert!(absent.contains("has not downloaded kca=1.7.1-2"), "{absent}");
    }

    #[test]
    fn a_version_that_left_the_mirror_is_one_sentence_with_the_way_out() {
        let pin = Pin {
            major: 15,
            version: "15.18",
            machine: "x86_64",
            kind: "deb",
            package: "postgresql-15=15.18-0+deb12u1",
            tags: "-",
            sha256: "",
        };
        let cause = Error::Command {
            what: "downloading packages".into(),
            status: "exit code 100".into(),
            tail: "Reading package lists...\nE: Version '15.18-0+deb12u1' for 'postgresql-15' was not found"
                .into(),
            paste: "apt-get download".into(),
        };
        let text = gone(&pin, &cause).to_string();
        assert!(text.contains("sources: E: Version '15.18-0+deb12u1' for"), "{text}");
        assert!(text.contains("set PG15_BINDIR"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }
}
