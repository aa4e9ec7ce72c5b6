//! The Kafka Connect client: the REST interface of one worker.
//!
//! A 409 (the workers are rebalancing) is tried again until a deadline. Whatever is not the JSON
//! that was asked for becomes one sentence with the address and the first characters of the
//! answer.

mod offsets;
mod status;
mod validate;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use artifacts::events::EventKind;
use artifacts::redact::Redactor;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::observe::{Raw, Shared, silent};
use crate::wait::{self, Probe, WaitError};

pub use offsets::{Offsets, rebased};
pub use status::{State, Status, Task};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONFLICT_DEADLINE: Duration = Duration::from_secs(60);
const SHOWN: usize = 200;

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that did not give what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("{method} {url}: {cause}; cargo xtask ps shows whether Kafka Connect runs")]
    NoAnswer {
        /// `GET`, ...
        method: String,
        /// Full address.
        url: String,
        /// Why.
        cause: String,
    },
    /// Connect said no.
    #[error("{method} {url}: status {status}: {message}")]
    Refused {
        /// `GET`, ...
        method: String,
        /// Full address.
        url: String,
        /// Status code.
        status: u16,
        /// Connect's message, or the first characters of the answer.
        message: String,
    },
    /// The answer is not the JSON that was asked for.
    #[error("{method} {url}: status {status}, but {cause}: {start}")]
    NotJson {
        /// `GET`, ...
        method: String,
        /// Full address.
        url: String,
        /// Status code.
        status: u16,
        /// What is wrong with it.
        cause: String,
        /// The first characters of the answer.
        start: String,
    },
    /// A condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

impl Error {
    /// There is no such connector.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// A client of one worker, `http://127.0.0.1:8083`.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    observer: Shared,
}

impl Client {
    /// A client for the worker at `base`; proxies of the environment are not used.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: &str, observer: Shared) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build();
        let http = http.map_err(|e| Error::NoAnswer {
            method: "connect to".into(),
            url: base.clone(),
            cause: sentence(&e),
        })?;
        Ok(Self { base, http, observer })
    }

    /// The same client without evidence: for probes that are repeated and for sampling.
    pub fn quiet(&self) -> Self {
        Self { observer: silent(), ..self.clone() }
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
        let first = self.try_once(&method, path, body.as_ref()).await;
        if !matches!(first, Err(Error::Refused { status: 409, .. })) {
            return first;
        }
        wait::until(&*self.observer, &what, CONFLICT_DEADLINE, || async {
            match self.try_once(&method, path, body.as_ref()).await {
                Err(e @ Error::Refused { status: 409, .. }) => Probe::NotYet(e.to_string()),
                other => Probe::Ready(other),
            }
        })
        .await?
    }

    async fn try_once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        let start = Instant::now();
        let mut request = self.http.request(method.clone(), &url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status(), response.bytes().await?))
        };
        let answer = answer.await;
        let ms = start.elapsed().as_millis() as u64;
        let status = answer.as_ref().ok().map(|(status, _)| status.as_u16());
        let event = EventKind::Http { method: method.to_string(), url: url.clone(), status, ms, out: None };
        match answer {
            Err(e) => {
                self.observer.event(event, None);
                Err(Error::NoAnswer { method: method.to_string(), url, cause: sentence(&e) })
            }
            Ok((status, bytes)) => {
                self.record(event, &bytes);
                understand(method, url, status, &bytes)
            }
        }
    }

    /// Secrets are taken out here already: no observer gets to see the connector's password.
    fn record(&self, event: EventKind, bytes: &[u8]) {
        let json = serde_json::from_slice(bytes).map(|value| Redactor::default().json(value));
        let pretty = json.and_then(|value| serde_json::to_vec_pretty(&value));
        let (extension, bytes) = match &pretty {
            Ok(pretty) => ("json", pretty.as_slice()),
            Err(_) => ("txt", bytes),
        };
        self.observer.event(event, Some(Raw { extension, bytes }));
    }
}

fn understand(method: &Method, url: String, status: StatusCode, bytes: &[u8]) -> Result<Value> {
    let method = method.to_string();
    let json: serde_json::Result<Value> = match bytes {
        [] => Ok(Value::Null),
        bytes => serde_json::from_slice(bytes),
    };
    let start = || {
        let text: String = String::from_utf8_lossy(bytes).chars().take(SHOWN).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let status_code = status.as_u16();
    match json {
        Ok(value) if status.is_success() => Ok(value),
        Ok(value) if !value.is_null() => {
            let message = value["message"].as_str().map_or_else(start, |text| text.replace('\n', " "));
            Err(Error::Refused { method, url, status: status_code, message })
        }
        Err(e) if status.is_success() => {
            let cause = format!("not JSON ({e})");
            Err(Error::NotJson { method, url, status: status_code, cause, start: start() })
        }
        _ => Err(Error::Refused { method, url, status: status_code, message: start() }),
    }
}

/// `/connectors/X` and what follows; the name is escaped byte by byte.
fn path(name: &str, end: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    format!("/connectors/{}{end}", name.bytes().map(escape).collect::<String>())
}

fn strings(value: Value) -> BTreeMap<String, String> {
    let Value::Object(map) = value else { return BTreeMap::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    map.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// The innermost cause says more than reqwest's own sentence, which only repeats the address.
fn sentence(e: &reqwest::Error) -> String {
    let mut text = if e.is_timeout() { "no answer in time".to_owned() } else { e.to_string() };
    let mut source = e.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
