//! The stack that a command outside the procedure works on, and the run that gets to know of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use artifacts::RunDir;
use artifacts::events::EventKind;
use artifacts::redact::Redactor;
use artifacts::run::Names;
use artifacts::snapshot::Role;
use stack::observe::{self, Shared, Silent};
use stack::wait::{self, Probe, WaitError};
use stack::{Stack, StackLock, connect, kafka, postgres, registry};

use super::open_named;
use crate::cx::{self, Who};
use crate::exit::Usage;
use crate::flags::Name;
use crate::recorder::Recorder;
use crate::request;

/// How long one look at a component lasts that runs; then comes the next.
const LOOK: Duration = Duration::from_secs(3600);

/// A stack that has been up.
pub(super) struct Target {
    pub(super) stack: Stack,
    pub(super) names: Names,
    /// ` --name X`, for commands in messages; empty for the stack that needs no name.
    pub(super) option: String,
    /// Of the open run; none for commands that only look.
    recorder: Option<Arc<Recorder>>,
    _lock: Option<StackLock>,
}

impl Target {
    /// For commands that only look: they neither wait for others nor leave a trace.
    ///
    /// # Errors
    /// There is no such stack; the others are named.
    pub(super) fn look(name: &Name) -> anyhow::Result<Self> {
        let stack = existing(&name.name)?;
        let names = names(&stack);
        Ok(Self { stack, names, option: option(&name.name), recorder: None, _lock: None })
    }

    /// For commands that change something: nobody else works on the stack meanwhile, and what is
    /// done goes into the evidence of its run unless that is sealed.
    ///
    /// # Errors
    /// As [`Target::look`]; the stack is in use; the run cannot be written.
    pub(super) fn change(name: &Name, command: &str) -> anyhow::Result<Self> {
        // A stack that is not there has no lock, and gets none.
        existing(&name.name)?;
        let lock = StackLock::acquire(&name.name)?;
        let stack = existing(&name.name)?;
        let (names, recorder) = (names(&stack), recorder(&stack)?);
        let target = Self { stack, names, option: option(&name.name), recorder, _lock: Some(lock) };
        target.note(&format!("by hand: cargo xtask {command}"));
        Ok(target)
    }

    /// A sentence for the evidence.
    pub(super) fn note(&self, text: &str) {
        self.observer().event(EventKind::Note { text: text.into() }, None);
    }

    /// Reports into the evidence of the open run.
    pub(super) fn observer(&self) -> Shared {
        self.recorder.clone().map_or_else(observe::silent, |recorder| recorder as Shared)
    }

    /// Kafka Connect, which has to run, and Kafka, without which it only repeats what it knew.
    pub(super) fn connect(&self) -> anyhow::Result<connect::Client> {
        self.require("kafka")?;
        self.worker()
    }

    /// Kafka Connect, for questions that it answers without Kafka.
    pub(super) fn worker(&self) -> anyhow::Result<connect::Client> {
        self.require("connect")?;
        Ok(connect::Client::new(&self.stack.endpoints().connect, self.observer())?)
    }

    /// Kafka, which has to run.
    pub(super) fn kafka(&self) -> anyhow::Result<kafka::Client> {
        self.require("kafka")?;
        Ok(kafka::Client::new(&self.stack.endpoints().kafka, self.observer()))
    }

    /// The Schema Registry; none when events are JSON.
    pub(super) fn registry(&self) -> anyhow::Result<Option<registry::Client>> {
        let registry = self.stack.endpoints().registry;
        Ok(registry.map(|registry| registry::Client::new(&registry.url, self.observer())).transpose()?)
    }

    /// The superuser's connection to a server, which has to run.
    pub(super) async fn postgres(&self, role: Role) -> anyhow::Result<postgres::Client> {
        self.require(&format!("postgres-{role}"))?;
        let login = cx::login(&self.stack, &self.names.database, role, Who::Superuser)?;
        Ok(postgres::Client::connect(&login, role, self.observer()).await?)
    }

    /// The servers that run.
    pub(super) fn servers(&self) -> Vec<Role> {
        let runs = |role: &Role| self.stack.service(&format!("postgres-{role}")).is_some_and(|s| s.alive);
        [Role::Old, Role::New].into_iter().filter(runs).collect()
    }

    /// Told at once: clients would try for seconds.
    pub(super) fn require(&self, service: &str) -> anyhow::Result<()> {
        let option = &self.option;
        match self.stack.service(service) {
            Some(status) if status.alive => Ok(()),
            Some(_) => anyhow::bail!(
                "{service} has ended: cargo xtask logs {service}{option} tells why, cargo xtask up{option} begins anew"
            ),
            None if !self.stack.processes().iter().any(|p| p.alive) => {
                anyhow::bail!("the stack is down: start it with: cargo xtask up{option}")
            }
            None => anyhow::bail!("{service} does not run; cargo xtask ps{option} shows what does"),
        }
    }

    /// A command that cannot write its evidence has failed.
    pub(super) fn done(&self) -> anyhow::Result<()> {
        self.recorder.as_ref().map_or(Ok(()), |recorder| recorder.check())
    }
}

/// Ends when a component has ended: who follows it need not wait for more.
pub(super) async fn end_of(target: &Target, service: &str) -> anyhow::Error {
    loop {
        let ended = wait::until(&Silent, "the end of the component", LOOK, || {
            let alive = target.require(service);
            std::future::ready(alive.map_or_else(Probe::Ready, |()| Probe::NotYet("it runs".into())))
        });
        match ended.await {
            Ok(ended) => return ended,
            Err(WaitError::Deadline { .. }) => {}
            Err(e) => return e.into(),
        }
    }
}

/// How a command in a message names the stack.
pub(super) fn option(name: &str) -> String {
    if name == "lab" { String::new() } else { format!(" --name {name}") }
}

/// The stack of that name, if it was ever up.
pub(super) fn existing(name: &str) -> anyhow::Result<Stack> {
    let stack = open_named(name)?;
    if stack.generation() > 0 {
        return Ok(stack);
    }
    let folders = stack.state_dir().parent().map(std::fs::read_dir);
    let folders = folders.and_then(Result::ok).into_iter().flatten().flatten();
    let mut others: Vec<String> = folders.filter_map(|e| e.file_name().into_string().ok()).collect();
    others.retain(|other| open_named(other).is_ok_and(|stack| stack.generation() > 0));
    others.sort();
    let others = match others.as_slice() {
        [] => String::new(),
        others => format!("; stacks that are there (--name): {}", others.join(", ")),
    };
    let option = option(name);
    Err(Usage(format!("there is no stack '{name}': make it with: cargo xtask up{option}{others}")).into())
}

/// The names of the run whose databases the stack holds; they can be told without it.
fn names(stack: &Stack) -> Names {
    let info = request::current(stack).and_then(|run| RunDir::open(&run).ok()?.run().ok());
    info.map_or_else(|| request::names(stack.generation()), |info| info.names)
}

/// Writes into the run of the stack, if it is open.
pub(super) fn recorder(stack: &Stack) -> anyhow::Result<Option<Arc<Recorder>>> {
    let Some(path) = request::current(stack).filter(|path| path.exists()) else { return Ok(None) };
    let run = RunDir::open(&path)?;
    if run.is_sealed() {
        return Ok(None);
    }
    let recorder = Recorder::open(run, Redactor::new(stack.secrets().all()), false);
    Ok(Some(Arc::new(recorder.context("what is done here belongs into the evidence")?)))
}
