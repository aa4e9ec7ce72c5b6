//! The client of the Schema Registry: the part of Confluent's interface that Apicurio speaks as well.

use std::collections::BTreeMap;

use artifacts::schemas::{Subject, Subjects};
use reqwest::Method;
use serde_json::Value;

use crate::observe::Shared;
use crate::rest::{Rest, escape};

pub use crate::rest::{Error, Result};

use crate::endpoints::{Converter, RegistryEndpoint};

/// Where Apicurio has Confluent's interface.
pub(crate) const CCOMPAT: &str = "/apis/ccompat/v7";

/// Apicurio's registry at an address, which Kafka Connect may reach by another one.
pub(crate) fn apicurio(base: &str, inside: &str) -> RegistryEndpoint {
    let converter = Converter::Apicurio(format!("{inside}/apis/registry/v2"));
    RegistryEndpoint { url: format!("{base}{CCOMPAT}"), converter }
}

/// A client of one registry, `http://127.0.0.1:8081`.
#[derive(Clone)]
pub struct Client {
    rest: Rest,
}

impl Client {
    /// A client for the registry with Confluent's interface at `base`; proxies of the environment are not used.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(base: &str, observer: Shared) -> Result<Self> {
        Ok(Self { rest: Rest::new(base, observer)? })
    }

    /// `GET /subjects`: the names of all subjects.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn subjects(&self) -> Result<Vec<String>> {
        let answer = self.get("/subjects").await?;
        Ok(answer.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Versions, ids and compatibility of the subjects of these topics: `<topic>-key` and `<topic>-value`.
    ///
    /// # Errors
    /// As every request: see [`Error`].
    pub async fn subjects_of(&self, topics: &[String]) -> Result<Subjects> {
        let mut subjects = Subjects::new();
        for name in self.subjects().await? {
            let topic = name.strip_suffix("-key").or_else(|| name.strip_suffix("-value"));
            if topic.is_some_and(|topic| topics.iter().any(|t| t == topic)) {
                let subject = self.subject(&name).await?;
                subjects.insert(name, subject);
            }
        }
        Ok(subjects)
    }

    async fn subject(&self, name: &str) -> Result<Subject> {
        let path = format!("/subjects/{}/versions", escape(name));
        let mut versions = BTreeMap::new();
        for version in self.get(&path).await?.as_array().into_iter().flatten().filter_map(number) {
            let id = number(&self.get(&format!("{path}/{version}")).await?["id"]);
            versions.extend(id.map(|id| (version, id)));
        }
        Ok(Subject { compatibility: self.compatibility(name).await?, versions })
    }

    /// Which changes of a subject's schema are refused: its own setting, else that of the registry.
    async fn compatibility(&self, subject: &str) -> Result<Option<String>> {
        let own = match self.get(&format!("/config/{}", escape(subject))).await {
            Err(e) if e.is_not_found() => self.get("/config").await?,
            own => own?,
        };
        Ok(own["compatibilityLevel"].as_str().map(str::to_owned))
    }

    /// `GET /schemas/ids/N`: the schema that an event names.
    ///
    /// # Errors
    /// As every request: see [`Error`]; there is no such schema, or it is not Avro.
    pub async fn schema(&self, id: u32) -> Result<String> {
        let path = format!("/schemas/ids/{id}");
        let answer = self.get(&path).await?;
        let kind = answer["schemaType"].as_str().unwrap_or("AVRO");
        let refused = |message: String| Error::Refused {
            method: "GET".into(),
            url: path.clone(),
            status: 200,
            message,
        };
        match answer["schema"].as_str() {
            _ if kind != "AVRO" => Err(refused(format!("the schema is {kind}, not AVRO"))),
            Some(schema) => Ok(schema.to_owned()),
            None => Err(refused("the answer has no schema".into())),
        }
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.rest.send(&Method::GET, path, None).await
    }
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| n.try_into().ok())
}
