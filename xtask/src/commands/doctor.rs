//! `cargo xtask doctor`: what this machine has and what is missing, and what a connector that is
//! there ignores of its configuration.

use stack::converters;
use stack::doctor::{Check, Level};

use super::open_stack;
use super::target::Target;
use crate::console;
use crate::exit::Outcome;
use crate::flags::{Doctor, Name};

/// Exit code 3 when something is missing that this tool would not add by itself.
pub(crate) async fn run(args: &Doctor) -> anyhow::Result<Outcome> {
    let mut checks = open_stack(&args.stack)?.doctor().await;
    checks.extend(ignored_keys(&Name { name: args.stack.name.clone() }).await?);
    if args.json {
        console::data(&serde_json::to_string_pretty(&checks)?);
    } else {
        for check in &checks {
            let mark = match check.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Missing => "MISSING",
            };
            let remedy = check.remedy.as_deref().map_or(String::new(), |r| format!("  ->  {r}"));
            console::data(&format!("{mark:<8}{:<28}{}{remedy}", check.name, check.found));
        }
    }
    let missing = checks.iter().any(|c| c.level == Level::Missing);
    Ok(if missing { Outcome::Found(3) } else { Outcome::Done })
}

/// Of the connector, where there is one and Kafka Connect runs.
async fn ignored_keys(name: &Name) -> anyhow::Result<Vec<Check>> {
    let Ok((target, client)) = Target::look(name).and_then(|target| {
        let client = target.worker()?;
        Ok((target, client))
    }) else {
        return Ok(Vec::new());
    };
    let connector = &target.names.connector;
    let check = |found: String, remedy: String| Check {
        name: "converter of the connector".into(),
        level: Level::Warn,
        found,
        remedy: Some(remedy),
    };
    let url = format!("{}/connectors/{connector}/config", target.stack.endpoints().connect);
    match client.config(connector).await {
        Err(e) if e.is_not_found() => Ok(Vec::new()),
        Err(e) => Ok(vec![check(e.to_string(), format!("cargo xtask status{} tells more", target.option))]),
        Ok(config) => {
            let ignored = converters::ignored(&config)?.into_iter();
            Ok(ignored
                .map(|key| check(key.to_string(), format!("rename it or take it out: PUT {url}")))
                .collect())
        }
    }
}
