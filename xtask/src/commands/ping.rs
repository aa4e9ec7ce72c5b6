//! `cargo xtask ping`: every component answers a real request, and Kafka Connect reaches its database.
//!
//! Original README: `docker exec kafka-connect ping postgres`, which says nothing about PostgreSQL.

use std::future::Future;
use std::time::{Duration, Instant};

use artifacts::snapshot::Role;
use serde::Serialize;

use super::target::Target;
use crate::console;
use crate::exit::Outcome;
use crate::flags::Look;

/// What takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Debezium connects to the database, for which it has its own deadline.
const PATIENCE_VALIDATE: Duration = Duration::from_secs(20);

/// What a component answered.
#[derive(Debug, Serialize)]
struct Answer {
    component: String,
    asked: &'static str,
    /// Null: it is not wanted now.
    ok: Option<bool>,
    ms: u64,
    answer: String,
}

/// Exit code 1 when something that should answer does not.
pub(crate) async fn run(args: &Look) -> anyhow::Result<Outcome> {
    let target = Target::look(&args.stack)?;
    let mut answers = Vec::new();
    for role in [Role::Old, Role::New] {
        answers.push(postgres(&target, role).await);
    }
    answers.push(
        ask("kafka", "metadata", PATIENCE, async {
            Ok(format!("{} topics", target.kafka()?.all_topics().await?.len()))
        })
        .await,
    );
    if target.stack.endpoints().zookeeper.is_some() {
        answers.push(
            ask("zookeeper", "srvr", PATIENCE, async {
                target.require("zookeeper")?;
                let version = target.stack.zookeeper().await?;
                Ok(format!("version {}", version.unwrap_or_else(|| "unknown".into())))
            })
            .await,
        );
    }
    if let Some(registry) = target.registry()? {
        answers.push(
            ask("schema-registry", "GET /subjects", PATIENCE, async {
                target.require("schema-registry")?;
                Ok(format!("{} subjects", registry.subjects().await?.len()))
            })
            .await,
        );
    }
    answers.push(
        ask("connect", "GET /", PATIENCE, async {
            let worker = target.worker()?.worker().await?;
            Ok(format!("version {}", worker["version"].as_str().unwrap_or("unknown")))
        })
        .await,
    );
    answers.push(database(&target).await);
    if args.json {
        console::json(&answers)?;
    } else {
        print(&answers);
    }
    let fine = answers.iter().all(|a| a.ok != Some(false));
    Ok(if fine { Outcome::Done } else { Outcome::Found(1) })
}

/// A server that was not started, or stopped on purpose, need not answer.
async fn postgres(target: &Target, role: Role) -> Answer {
    let component = format!("postgres-{role}");
    let wanted = target.stack.service(&component).is_some();
    let mut answer = ask(&component, "version and WAL position", PATIENCE, async {
        let server = target.postgres(role).await?.server().await?;
        Ok(format!("version {}, WAL at {}", server.version, server.position.lsn))
    })
    .await;
    if !wanted && role == Role::New {
        answer.ok = None;
    }
    answer
}

/// Debezium's own check of the connector's configuration: it logs in and looks at the settings.
async fn database(target: &Target) -> Answer {
    let name = &target.names.connector;
    let mut none = false;
    let mut answer = ask("connect to database", "PUT /config/validate", PATIENCE_VALIDATE, async {
        match target.connect()?.validate(name).await {
            Ok(errors) if errors.is_empty() => Ok(format!("the configuration of {name} is valid")),
            Ok(errors) => anyhow::bail!("{}", errors.join("; ")),
            Err(e) if e.is_not_found() => {
                none = true;
                Ok(format!("there is no connector {name} yet"))
            }
            Err(e) => Err(e.into()),
        }
    })
    .await;
    if none {
        answer.ok = None;
    }
    answer
}

async fn ask(
    component: &str,
    asked: &'static str,
    patience: Duration,
    question: impl Future<Output = anyhow::Result<String>>,
) -> Answer {
    let start = Instant::now();
    let answer = tokio::time::timeout(patience, question).await;
    let ms = start.elapsed().as_millis() as u64;
    let late = || Err(anyhow::anyhow!("no answer within {} s", patience.as_secs()));
    let (ok, answer) = match answer.unwrap_or_else(|_| late()) {
        Ok(answer) => (true, answer),
        // The log is for `cargo xtask logs`.
        Err(e) => (false, format!("{e:#}").lines().next().unwrap_or_default().to_owned()),
    };
    Answer { component: component.into(), asked, ok: Some(ok), ms, answer }
}

fn print(answers: &[Answer]) {
    let mark = |ok: Option<bool>| match ok {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "-",
    };
    let row = |a: &Answer| {
        vec![
            mark(a.ok).to_owned(),
            a.component.clone(),
            a.asked.to_owned(),
            format!("{} ms", a.ms),
            a.answer.clone(),
        ]
    };
    let rows: Vec<_> = answers.iter().map(row).collect();
    console::table(&["", "component", "asked for", ">took", "answer"], &rows);
}
