//! The Kafka Connect client: the REST interface of one worker.
//!
//! A 409 (the workers are rebalancing) is tried again until a deadline. Whatever is not the JSON
//! that was asked for becomes one sentence with the address and the first characters of the
//! answer.

mod offsets;
mod status;
mod validate;

use std::collections::BTreeMap;
use std::time::Duration;

use artifacts::redact::Redactor;
use reqwest::Method;
use serde_json::{Value, json};

use crate::observe::{Shared, silent};
use crate::rest::{Rest, escape};
use crate::wait::{self, Probe};

pub use crate::rest::{Error, Result};
pub use offsets::{Offsets, rebased};
pub use status::{State, Status, Task};

const CONFLICT_DEADLINE: Duration = Duration::from_secs(60);

/// A client of one worker, `http://127.0.0.1:8083`.
#[derive(Clone)]
pub struct Client {
    rest: Rest,
    observer: Shared,
}

impl Client {
    /// A client for the worker at `base`; proxies of the environment are not used.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: &str, observer: Shared) -> Result<Self> {
        Ok(Self { rest: Rest::new(base, observer.clone())?, observer })
    }

    /// The same client without evidence: for probes that are repeated and for sampling.
    pub fn quiet(&self) -> Self {
        Self { rest: self.rest.quiet(), observer: silent() }
    }

    /// `GET /`: version and cluster id of the worker.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn worker(&self) -> Result<Value> {
        self.send(Method::GET, "/", None).await
    }

    /// Class and version of the connector plugins, as `GET /connector-plugins` lists them.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn plugins(&self) -> Result<Value> {
        self.send(Method::GET, "/connector-plugins", None).await
    }

    /// Names of the connectors.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn connectors(&self) -> Result<Vec<String>> {
        let answer = self.send(Method::GET, "/connectors", None).await?;
        let names = answer.as_array().into_iter().flatten();
        Ok(names.filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// `PUT /connectors/X/config`: makes the connector or changes it.
    ///
    /// # Errors
    /// As every request: see [`Error`]; a configuration that the plugin refuses.
    pub async fn put_config(&self, name: &str, config: &BTreeMap<String, String>) -> Result<()> {
        self.send(Method::PUT, &path(name, "/config"), Some(json!(config))).await.map(drop)
    }

    /// The configuration with its secrets replaced.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn config(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let config = self.send(Method::GET, &path(name, "/config"), None).await?;
        Ok(strings(Redactor::default().json(config)))
    }

    /// Changes some keys of the configuration and keeps the others, secrets included.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn update_config(&self, name: &str, changes: &BTreeMap<String, String>) -> Result<()> {
        let mut config = strings(self.send(Method::GET, &path(name, "/config"), None).await?);
        config.extend(changes.clone());
        self.put_config(name, &config).await
    }

    /// `GET /connectors/X/status`.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn status(&self, name: &str) -> Result<Status> {
        self.send(Method::GET, &path(name, "/status"), None).await.map(Status::new)
    }

    /// Looks at the status until `condition` holds, and records the last one. An answer that is an
    /// error (404 while the worker starts the connector) counts as not yet.
    ///
    /// # Errors
    /// The deadline; `condition` says that it can never hold.
    pub async fn wait_for<T>(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        condition: impl Fn(&Status) -> Probe<T>,
    ) -> Result<T> {
        let quiet = self.quiet();
        let waited = wait::until(&*self.observer, what, deadline, || async {
            match quiet.status(name).await {
                Ok(status) => condition(&status),
                Err(e) => Probe::NotYet(e.to_string()),
            }
        })
        .await;
        // Kept as evidence whatever it is; the wait's own result is what counts.
        let _ = self.status(name).await;
        Ok(waited?)
    }

    /// `PUT /connectors/X/pause`: tasks stay and keep the replication connection.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn pause(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &path(name, "/pause"), None).await.map(drop)
    }

    /// `PUT /connectors/X/resume`. It does not revive a failed task, see [`Client::restart`].
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn resume(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &path(name, "/resume"), None).await.map(drop)
    }

    /// `PUT /connectors/X/stop`: only asks; wait for STOPPED without tasks.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn stop(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &path(name, "/stop"), None).await.map(drop)
    }

    /// `POST /connectors/X/restart`.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn restart(&self, name: &str, include_tasks: bool, only_failed: bool) -> Result<()> {
        let end = format!("/restart?includeTasks={include_tasks}&onlyFailed={only_failed}");
        self.send(Method::POST, &path(name, &end), None).await.map(drop)
    }

    /// `DELETE /connectors/X`; false when there was none.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn delete(&self, name: &str) -> Result<bool> {
        match self.send(Method::DELETE, &path(name, ""), None).await {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// `GET /connectors/X/offsets`.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn offsets(&self, name: &str) -> Result<Offsets> {
        self.send(Method::GET, &path(name, "/offsets"), None).await.map(Offsets::new)
    }

    /// `PATCH /connectors/X/offsets`: the whole offset of one partition is replaced. Only while
    /// STOPPED.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn patch_offsets(&self, name: &str, partition: &Value, offset: &Value) -> Result<()> {
        let body = json!({"offsets": [{"partition": partition, "offset": offset}]});
        self.send(Method::PATCH, &path(name, "/offsets"), Some(body)).await.map(drop)
    }

    /// `DELETE /connectors/X/offsets`. Only while STOPPED.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn delete_offsets(&self, name: &str) -> Result<()> {
        self.send(Method::DELETE, &path(name, "/offsets"), None).await.map(drop)
    }

    /// Sends a request; null for an empty answer.
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let what = format!("{method} {path} without a rebalance (409)");
        let first = self.rest.send(&method, path, body.as_ref()).await;
        if !matches!(first, Err(Error::Refused { status: 409, .. })) {
            return first;
        }
        wait::until(&*self.observer, &what, CONFLICT_DEADLINE, || async {
            match self.rest.send(&method, path, body.as_ref()).await {
                Err(e @ Error::Refused { status: 409, .. }) => Probe::NotYet(e.to_string()),
                other => Probe::Ready(other),
            }
        })
        .await?
    }
}

/// `/connectors/X` and what follows.
fn path(name: &str, end: &str) -> String {
    format!("/connectors/{}{end}", escape(name))
}

fn strings(value: Value) -> BTreeMap<String, String> {
    let Value::Object(map) = value else { return BTreeMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    map.into_iter().map(|(key, value)| (key, text(value))).collect()
}

#[cfg(test)]
mod tests;
