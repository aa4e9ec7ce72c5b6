//! What a step is given.

use std::sync::Arc;

use anyhow::Context;
use artifacts::RunDir;
use artifacts::events::EventKind;
use artifacts::run::Run;
use artifacts::snapshot::Role;
use stack::observe::{Observer, Shared};
use stack::{Stack, connect, kafka, postgres, registry};

use crate::failpoint;
use crate::recorder::Recorder;
use crate::steps::Step;

/// The context of a step. Nothing in it outlives the step but the run directory and the stack.
pub(crate) struct Cx {
    /// The row of the table.
    pub(crate) step: &'static Step,
    pub(crate) run: RunDir,
    /// What was asked for: `run.json`.
    pub(crate) info: Run,
    pub(crate) recorder: Arc<Recorder>,
    /// None for derived steps.
    stack: Option<Stack>,
    /// What the step has to say when it has ended, for the console.
    pub(crate) said: Option<String>,
}

impl Cx {
    pub(crate) fn new(
        step: &'static Step,
        run: RunDir,
        info: Run,
        recorder: Arc<Recorder>,
        stack: Option<Stack>,
    ) -> Self {
        Self { step, run, info, recorder, stack, said: None }
    }

    /// The stack.
    pub(crate) fn stack(&mut self) -> anyhow::Result<&mut Stack> {
        self.stack.as_mut().context("this step works without a stack")
    }

    /// Reports into the evidence.
    pub(crate) fn observer(&self) -> Shared {
        self.recorder.clone()
    }

    /// The superuser's connection to one of the databases, reporting into the evidence.
    pub(crate) async fn pg(&mut self, role: Role) -> anyhow::Result<postgres::Client> {
        let observer = self.observer();
        let login = self.login(role, Who::Superuser)?;
        Ok(postgres::Client::connect(&login, role, observer).await?)
    }

    /// How one of the three roles connects to one of the databases.
    pub(crate) fn login(&mut self, role: Role, who: Who) -> anyhow::Result<postgres::Login> {
        let database = self.info.names.database.clone();
        login(self.stack()?, &database, role, who)
    }

    /// Kafka Connect, reporting into the evidence.
    pub(crate) fn connect(&mut self) -> anyhow::Result<connect::Client> {
        let observer = self.observer();
        Ok(connect::Client::new(&self.stack()?.endpoints().connect, observer)?)
    }

    /// Kafka.
    pub(crate) fn kafka(&mut self) -> anyhow::Result<kafka::Client> {
        let observer = self.observer();
        Ok(kafka::Client::new(&self.stack()?.endpoints().kafka, observer))
    }

    /// The Schema Registry, reporting into the evidence; none when events are JSON.
    pub(crate) fn registry(&mut self) -> anyhow::Result<Option<registry::Client>> {
        let observer = self.observer();
        let registry = self.stack()?.endpoints().registry;
        Ok(registry.map(|registry| registry::Client::new(&registry.url, observer)).transpose()?)
    }

    /// Says one thing at the end of the step, on the console and in the evidence.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.note(&text);
        self.said = Some(text);
    }

    /// A sentence for the evidence.
    pub(crate) fn note(&self, text: &str) {
        self.recorder.event(EventKind::Note { text: text.into() }, None);
    }

    /// A path in the step's folder, relative to the run.
    pub(crate) fn folder(&self, name: &str) -> String {
        format!("{}/{name}", self.step.folder())
    }

    /// A place inside the step where a test may let the program die.
    pub(crate) fn reach(&self, point: &str) {
        failpoint::reach(self.step, point);
    }

    /// Whether a safeguard is kept.
    pub(crate) fn keeps(&self, safeguard: &str) -> bool {
        self.info.keeps(safeguard)
    }

    /// Changes `run.json`: names and versions become known in `up`.
    pub(crate) fn save_info(&self) -> anyhow::Result<()> {
        Ok(self.run.write("run.json", &self.info)?)
    }

    /// Gives the stack back to the runner.
    pub(crate) fn into_stack(self) -> Option<Stack> {
        self.stack
    }
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// `postgres`
    Superuser,
    /// The connector's role.
    Debezium,
    /// The workload's role.
    Writer,
}

/// How one of the three roles reaches one of the databases of a stack.
pub(crate) fn login(stack: &Stack, database: &str, role: Role, who: Who) -> anyhow::Result<postgres::Login> {
    let endpoints = stack.endpoints();
    let server = endpoints
        .postgres(role)
        .with_context(|| format!("the stack has no {role} server: cargo xtask up"))?;
    let secrets = stack.secrets();
    let (user, password) = match who {
        Who::Superuser => ("postgres", &secrets.postgres),
        Who::Debezium => (postgres::DEBEZIUM_ROLE, &secrets.debezium),
        Who::Writer => (postgres::WRITER_ROLE, &secrets.app_writer),
    };
    // The connector is a component of the stack, everybody else a process of this machine.
    let (host, port) = match who {
        Who::Debezium => server.inside.clone(),
        Who::Superuser | Who::Writer => (server.host.clone(), server.port),
    };
    Ok(postgres::Login {
        host,
        port,
        user: user.into(),
        password: password.clone(),
        database: database.into(),
    })
}

/// The first component that has died, with the end of its log: what is waited for cannot come.
pub(crate) fn dead(stack: &Stack, role: Role) -> Option<String> {
    let endpoints = stack.endpoints();
    let mut services = vec!["kafka".to_owned(), "connect".to_owned(), format!("postgres-{role}")];
    services.extend(endpoints.zookeeper.map(|_| "zookeeper".to_owned()));
    services.extend(endpoints.registry.map(|_| "schema-registry".to_owned()));
    let dead = services.into_iter().find(|name| !stack.service(name).is_some_and(|s| s.alive))?;
    Some(format!(
        "{dead} has ended, begin anew with: cargo xtask up; the end of its log:\n{}",
        stack.last_log_lines(&dead)
    ))
}
