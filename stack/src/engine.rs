//! A Docker engine for tests: the one that answers, else one of our own, which root can start. Its images are
//! kept in the cache; it has no bridge and no firewall rules of its own, and publishes ports by its proxy.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::compose::Docker;
use crate::daemon::{Daemons, Spec};
use crate::error::{Error, Result};
use crate::lock::FileLock;
use crate::observe::{Silent, silent};
use crate::paths::{Paths, create_dir, is_root};
use crate::provision::{Provision, docker};

const SERVICE: &str = "dockerd";
const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// How to reach an engine.
pub struct Engine {
    env: Vec<(&'static str, String)>,
    /// Of the folder of images; one engine at a time.
    _lock: Option<FileLock>,
}

impl Engine {
    /// The engine that answers, when compose v2 does too; else one of our own, at work in `dir` until
    /// [`Engine::stop`].
    ///
    /// # Errors
    /// [`Error::Preflight`] when there is none and this is not root on Debian; it does not start.
    pub async fn get(dir: &Path) -> Result<Self> {
        if Docker::find().await.is_ok() {
            return Ok(Self { env: Vec::new(), _lock: None });
        }
        if !is_root() {
            return Err(Error::preflight(
                "no Docker engine with compose v2 answers, and only root can start one",
                "start it, or set DOCKER_HOST",
            ));
        }
        let (paths, observer) = (Paths::from_env()?, silent());
        let home = docker::fetch(&Provision { paths: &paths, install: true, observer: &observer }).await?;
        let images = paths.cache.join("docker-images");
        let lock =
            FileLock::acquire_within(&paths.cache.join("docker.lock"), "the other engine", READY, |_| ())
                .await?;
        create_dir(&images)?;
        create_dir(dir)?;
        let found = docker::env(&home);
        let path = found[0].1.clone();
        let socket = format!("unix://{}", dir.join("docker.sock").display());
        let daemons = Daemons::new(dir);
        let argument = |name: &str, path: &Path| format!("--{name}={}", path.display());
        daemons.spawn(&Spec {
            service: SERVICE.into(),
            program: home.join("usr/sbin/dockerd"),
            args: vec![
                format!("--host={socket}"),
                argument("data-root", &images),
                argument("exec-root", &dir.join("exec")),
                argument("pidfile", &dir.join("docker.pid")),
                "--bridge=none".into(),
                "--iptables=false".into(),
                "--ip-forward=false".into(),
                "--ip-masq=false".into(),
            ],
            env: found,
            cwd: dir.into(),
            user: None,
            port: None,
        })?;
        let env = vec![
            ("DOCKER_HOST", socket),
            ("DOCKER_CONFIG", home.join("config").display().to_string()),
            ("PATH", path),
        ];
        let docker = Docker::of(home.join("usr/bin"), &env);
        let ask = || async { docker.answers().await.map_err(|e| e.cause()) };
        daemons.ready(SERVICE, "dockerd answers", READY, &Silent, ask).await?;
        Ok(Self { env, _lock: Some(lock) })
    }

    /// What commands need to reach it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.env.clone()
    }

    /// Ends an engine of our own with all its containers; without one it does nothing.
    ///
    /// # Errors
    /// It survives SIGKILL.
    pub async fn stop(dir: &Path) -> Result<()> {
        let daemons = Daemons::new(dir);
        daemons.stop(SERVICE, Signal::TERM, STOP).await?;
        daemons.sweep(None).await?;
        Ok(())
    }
}
