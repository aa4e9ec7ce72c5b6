//! A component that is asked by HTTP and answers JSON: Kafka Connect, the Schema Registry.

use std::error::Error as _;
use std::time::{Duration, Instant};

use artifacts::events::EventKind;
use artifacts::redact::Redactor;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::observe::{Raw, Shared, silent};
use crate::wait::WaitError;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const SHOWN: usize = 200;

/// A result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// A request that did not give what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer.
    #[error("{method} {url}: {cause}; cargo xtask ps shows what runs")]
    NoAnswer {
        /// `GET`, ...
        method: String,
        /// Full address.
        url: String,
        /// Why.
        cause: String,
    },
    /// The component said no.
    #[error("{method} {url}: status {status}: {message}")]
    Refused {
        /// `GET`, ...
        method: String,
        /// Full address.
        url: String,
        /// Status code.
        status: u16,
        /// Its message, or the first characters of the answer.
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
    /// There is no such thing: a connector, a subject.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// Where it answers, and who is told.
#[derive(Clone)]
pub(crate) struct Rest {
    base: String,
    http: reqwest::Client,
    observer: Shared,
}

impl Rest {
    /// Proxies of the environment are not used.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(crate) fn new(base: &str, observer: Shared) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST_TIMEOUT).build();
        let http = http.map_err(|e| Error::NoAnswer {
            method: "connect to".into(),
            url: base.clone(),
            cause: sentence(&e),
        })?;
        Ok(Self { base, http, observer })
    }

    /// The same without evidence.
    pub(crate) fn quiet(&self) -> Self {
        Self { observer: silent(), ..self.clone() }
    }

    /// Sends a request once; null for an empty answer.
    ///
    /// # Errors
    /// No answer, a refusal, an answer that is not JSON.
    pub(crate) async fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value> {
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

/// A name as part of a path, escaped byte by byte.
pub(crate) fn escape(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    name.bytes().map(escape).collect()
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
