//! One container: started and waited for, followed, stopped; and what one has to say that did not start.

use std::time::Duration;

use super::Compose;
use super::state::Container;
use crate::command::{SHORT, last_lines};
use crate::daemon::{ExitInfo, Spec};
use crate::error::{Error, Result};
use crate::observe::{Shared, Silent};
use crate::procfs::Process;
use crate::wait::WaitError;

/// Of `docker compose up --wait`, in seconds.
const READY: &str = "180";
const UP: Duration = Duration::from_secs(240);
const TAIL: usize = 15;

impl Compose {
    /// Starts services, waits until compose calls them healthy, and follows their logs.
    pub(super) async fn start(&mut self, services: &[&str], observer: &Shared) -> Result<()> {
        let names: Vec<&str> = services.iter().map(|service| self.in_compose(service)).collect();
        let up = ["up", "--detach", "--pull", "never", "--no-build", "--wait", "--wait-timeout", READY];
        let up = self.compose()?.args(up).args(&names);
        let what = format!("starting {}", names.join(", "));
        if let Err(e) = up.run(&what, UP, &**observer).await {
            return Err(self.told_by_container(services, e).await);
        }
        for service in services {
            self.follow(service).await?;
        }
        Ok(())
    }

    /// Follows the log of a running container from its beginning, unless that is being done.
    async fn follow(&mut self, service: &str) -> Result<()> {
        let Some(container) = self.look(service).await? else { return Ok(()) };
        let known = self.state()?.containers.get(service).is_some_and(|known| *known == container);
        if known && self.home.daemons.find(service).is_some() {
            return Ok(());
        }
        self.forget(service).await?;
        let docker = &self.state()?.docker;
        self.home.daemons.spawn(&Spec {
            service: service.into(),
            program: docker.program(),
            args: vec!["logs".into(), "--follow".into(), self.name_of(service)],
            env: docker.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            cwd: self.home.dir.clone(),
            user: None,
            port: self.port_of(service),
        })?;
        self.remember(|state| drop(state.containers.insert(service.into(), container)))
    }

    /// Ends what follows a log; the log is there again when the container is followed again.
    pub(super) async fn forget(&mut self, service: &str) -> Result<()> {
        self.home.daemons.sweep(Some(service)).await?;
        self.home.daemons.stop(service, rustix::process::Signal::TERM, Duration::ZERO).await?;
        self.home.clear_log(service);
        Ok(())
    }

    /// A container that runs.
    async fn look(&self, service: &str) -> Result<Option<Container>> {
        let format = "{{.State.Running}} {{.Id}} {{.State.StartedAt}} {{.State.Pid}}";
        let said = self.state()?.docker.inspect("container", &self.name_of(service), format, &Silent).await;
        let said = said.unwrap_or_default();
        let &[running, id, started, pid] = said.split(' ').collect::<Vec<_>>().as_slice() else {
            return Ok(None);
        };
        // Of another machine's process, in the case of an engine in a virtual machine, we know nothing.
        let ours = |process: &Process| process.cgroup().contains(id);
        let process = pid.parse().ok().and_then(Process::of).filter(ours);
        let container = Container { id: id.into(), started: started.into(), process };
        Ok((running == "true").then_some(container))
    }

    /// Whether the container of a service runs. After an upgrade in place the old server has none.
    pub(super) async fn runs(&self, service: &str) -> Result<bool> {
        let gone = service == "postgres-old" && self.state()?.in_place.is_some();
        Ok(!gone && self.look(service).await?.is_some())
    }

    /// Stops a container: its own signal, then SIGKILL after the deadline. Its data stays.
    pub(super) async fn stop_container(&self, service: &str, deadline: Duration) -> Result<ExitInfo> {
        let was_running = self.runs(service).await?;
        let name = self.name_of(service);
        if was_running {
            let seconds = deadline.as_secs().max(1).to_string();
            let stop = self.state()?.docker.command().args(["stop", "-t", &seconds, &name]);
            stop.run(&format!("stopping {service}"), deadline + UP, &Silent).await?;
        }
        let code = self.state()?.docker.inspect("container", &name, "{{.State.ExitCode}}", &Silent).await;
        let code = code.and_then(|code| code.parse().ok()).filter(|_| was_running);
        // It ends with its container, having written the last lines.
        self.home.daemons.stop(service, rustix::process::Signal::TERM, deadline).await?;
        Ok(ExitInfo { code, killed: code == Some(137), was_running })
    }

    /// What a container that is not healthy has logged last, in place of what compose says of it.
    async fn told_by_container(&self, services: &[&str], error: Error) -> Error {
        let Ok(docker) = self.state().map(|state| state.docker.clone()) else { return error };
        let format =
            "{{.State.Status}} {{.State.ExitCode}} {{if .State.Health}}{{.State.Health.Status}}{{end}}";
        for service in services {
            let name = self.name_of(service);
            let Some(said) = docker.inspect("container", &name, format, &Silent).await else { continue };
            let why = match said.split(' ').collect::<Vec<_>>().as_slice() {
                ["running", _, "healthy"] | ["created", ..] => continue,
                ["exited", code, ..] => format!("its container has ended with exit code {code}"),
                ["running", _, health] => format!("its container is {health}"),
                _ => format!("its container is {said}"),
            };
            let logs = docker.command().args(["logs", "--tail", "200", &name]);
            let text = logs.with_stderr().run("reading a log", SHORT, &Silent).await.unwrap_or_default();
            let text = artifacts::redact::Redactor::new(self.home.secrets.all()).text(&text);
            let log = self.home.daemons.log(service);
            let _ = log.parent().map(crate::paths::create_dir);
            let _ = std::fs::write(&log, &text);
            let cause = WaitError::Never { what: format!("{service} becomes healthy"), why };
            return Error::Component { cause, log, tail: last_lines(&text, TAIL) };
        }
        error
    }

    fn port_of(&self, service: &str) -> Option<u16> {
        let ports = &self.state.as_ref()?.ports;
        Some(match self.in_compose(service) {
            "postgres" => ports.postgres_old,
            "postgres-new" => ports.postgres_new,
            "kafka" => ports.kafka,
            "kafka-connect" => ports.connect,
            "schema-registry" => ports.registry,
            _ => return None,
        })
    }
}
