//! The Docker client: which engine it reaches, and what that has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::{Command, SHORT, clean_env, find_program};
use crate::error::{Error, Result};
use crate::observe::{Observer, Silent};

/// What of the environment says which engine is meant.
const VARIABLES: [&str; 7] = [
    "HOME",
    "XDG_RUNTIME_DIR",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
];

/// A client and how it reaches its engine; a stack remembers that of its containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Docker {
    /// Where the client is.
    folder: PathBuf,
    env: BTreeMap<String, String>,
}

impl Docker {
    /// The client in `PATH`, if an engine and compose v2 answer.
    ///
    /// # Errors
    /// [`Error::Preflight`]
    pub(crate) async fn find() -> Result<Self> {
        let program = find_program("docker").ok_or_else(|| {
            Error::preflight(
                "docker is not installed",
                "install a Docker engine with compose v2, or take --stack native",
            )
        })?;
        let value =
            |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok().filter(|v| !v.is_empty())?));
        let folder = program.parent().map(Path::to_owned).unwrap_or_default();
        let docker = Self { folder, env: VARIABLES.iter().filter_map(value).collect() };
        docker.answers().await?;
        docker.is_here().await?;
        Ok(docker)
    }

    /// Whether what the engine publishes on 127.0.0.1 can be reached, and the folders that it mounts are ours.
    async fn is_here(&self) -> Result<()> {
        let ask = self.command().args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]);
        let host = ask.run("asking where the engine is", SHORT, &Silent).await.unwrap_or_default();
        let host = host.trim();
        if elsewhere(host) {
            return Err(Error::preflight(
                format!(
                    "the Docker engine at {host} is not on this machine, where containers would be published"
                ),
                "take one that is (unset DOCKER_HOST, docker context use default), or --stack native",
            ));
        }
        Ok(())
    }

    /// The client in a folder, with variables of its own.
    pub(crate) fn of(folder: PathBuf, env: &[(&'static str, String)]) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Self { folder, env }
    }

    /// Asks the engine and compose for their versions.
    ///
    /// # Errors
    /// [`Error::Preflight`]: no engine answers, or there is no compose v2.
    pub(crate) async fn answers(&self) -> Result<()> {
        let engine = self.command().args(["version", "--format", "{{.Server.Version}}"]);
        engine.run("asking for a Docker engine", SHORT, &Silent).await.map_err(|e| {
            let found = format!("no Docker engine answers: {}", e.said());
            Error::preflight(found, "start it, set DOCKER_HOST, or take --stack native")
        })?;
        let compose = self.command().args(["compose", "version", "--short"]);
        let version = compose.run("asking for compose v2", SHORT, &Silent).await.unwrap_or_default();
        if version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit() && c >= '2') {
            return Ok(());
        }
        let other =
            find_program("docker-compose").map_or("", |_| "; docker-compose is version 1, which is too old");
        Err(Error::preflight(
            format!("docker has no compose v2{other}"),
            "install its plug-in (docker-compose-plugin, docker-compose-v2), or take --stack native",
        ))
    }

    /// A command of the client that sees nothing else of this environment.
    pub(crate) fn command(&self) -> Command {
        let [(name, path), ..] = clean_env();
        let path = format!("{}:{path}", self.folder.display());
        Command::new("docker").clean().tags([(name, path)]).tags(self.env())
    }

    /// The variables.
    pub(crate) fn env(&self) -> Vec<(&'static str, String)> {
        VARIABLES.iter().filter_map(|name| Some((*name, self.env.get(*name)?.clone()))).collect()
    }

    /// The client.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("docker")
    }

    /// Where the engine keeps images and volumes, if that is a folder of this machine.
    pub(crate) async fn root(&self) -> Option<PathBuf> {
        let ask = self.command().args(["info", "--format", "{{.DockerRootDir}}"]);
        let root =
            PathBuf::from(ask.run("asking for the engine's folder", SHORT, &Silent).await.ok()?.trim());
        root.is_dir().then_some(root)
    }

    /// Removes all with a label, by the commands that list and remove such.
    pub(crate) async fn remove_all(
        &self,
        list: &[&str],
        label: &str,
        remove: &[&str],
        what: &str,
    ) -> Result<()> {
        let list = self.command().args(list).args(["--quiet", "--filter", &format!("label={label}")]);
        let ids = list.run(&format!("looking for {what}"), SHORT, &Silent).await?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let remove = self.command().args(remove).args(&ids);
            remove.run(&format!("removing {what}"), SHORT, &Silent).await?;
        }
        Ok(())
    }

    /// Whether all of these images are there.
    pub(crate) async fn has(&self, images: &[String]) -> bool {
        let ask = self.command().args(["image", "inspect", "--format", "{{.Id}}"]).args(images);
        ask.run("looking for images", SHORT, &Silent).await.is_ok()
    }

    /// A label of an image; of one that has none, its tag.
    pub(crate) async fn label(&self, image: &str, label: &str) -> String {
        let format = format!("{{{{index .Config.Labels \"{label}\"}}}}");
        let said = self.inspect("image", image, &format, &Silent).await.filter(|said| !said.is_empty());
        said.unwrap_or_else(|| image.rsplit(':').next().unwrap_or_default().to_owned())
    }

    /// What the engine says of a container or an image, in the given words; none when it is not there.
    pub(crate) async fn inspect(
        &self,
        what: &str,
        name: &str,
        format: &str,
        observer: &dyn Observer,
    ) -> Option<String> {
        let ask = self.command().args(["inspect", "--type", what, "--format", format, name]);
        let said = ask.run(&format!("inspecting {name}"), SHORT, observer).await.ok()?;
        Some(said.trim().to_owned())
    }
}

/// Whether an engine's address is that of another machine.
fn elsewhere(host: &str) -> bool {
    let Some((scheme, rest)) = host.split_once("://") else { return false };
    let here = ["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|name| rest.starts_with(name));
    matches!(scheme, "tcp" | "http" | "https" | "ssh") && !here
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn compose_of_version_1_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let client = |name: &str, script: &str| {
            let path = folder.path().join(name);
            crate::paths::write_file(&path, script, 0o755).unwrap();
        };
        let docker = Docker::of(folder.path().to_owned(), &[]);
        client("docker", "#!/bin/sh\n[ \"$1\" = version ] && echo 20.10.24\n");
        let refused = docker.answers().await.unwrap_err();
        assert!(
            refused.is_preflight() && refused.to_string().starts_with("docker has no compose v2; "),
            "{refused}"
        );
        client("docker", "#!/bin/sh\n[ \"$1\" = compose ] && echo 1.29.2 || echo 20.10.24\n");
        assert_eq!(docker.answers().await.unwrap_err().to_string(), refused.to_string());
        client("docker", "#!/bin/sh\n[ \"$1\" = compose ] && echo v2.26.1 || echo 20.10.24\n");
        docker.answers().await.unwrap();
    }

    #[test]
    fn only_an_engine_of_this_machine_will_do() {
        for here in ["unix:///run/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2375", ""] {
            assert!(!elsewhere(here), "{here}");
        }
        for there in ["tcp://docker:2375", "ssh://root@builder", "tcp://127.0.0.10:1", "tcp://localhost.x:1"]
        {
            assert!(elsewhere(there), "{there}");
        }
    }
}
