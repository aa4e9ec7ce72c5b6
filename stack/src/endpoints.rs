//! Where the components of a stack answer.

use std::collections::BTreeMap;

use artifacts::snapshot::Role;

/// Where the components answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The servers; empty before the first `up`, without the old one after an upgrade in place.
    pub postgres: BTreeMap<Role, PostgresEndpoint>,
    /// `127.0.0.1:PORT`
    pub kafka: String,
    /// Host and port; none without ZooKeeper.
    pub zookeeper: Option<String>,
    /// `http://127.0.0.1:PORT`
    pub connect: String,
    /// None without the Schema Registry.
    pub registry: Option<RegistryEndpoint>,
}

/// Where the Schema Registry answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEndpoint {
    /// Of Confluent's interface: `http://127.0.0.1:PORT`, and a path where it is not at the top.
    pub url: String,
    /// What Kafka Connect writes Avro with.
    pub converter: Converter,
}

/// A converter, and the address that it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Converter {
    /// Of Apicurio's registry.
    Apicurio(String),
    /// Of Confluent's registry.
    Confluent(String),
}

/// Where a server answers, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresEndpoint {
    /// Address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Host and port for the other components.
    pub inside: (String, u16),
    /// `15.18`
    pub version: String,
}

impl Endpoints {
    /// A server; none before the first `up`, and none for the old one after an upgrade in place.
    pub fn postgres(&self, role: Role) -> Option<&PostgresEndpoint> {
        self.postgres.get(&role)
    }

    /// Before the first `up` the ports are not known.
    pub(crate) fn none() -> Self {
        Self {
            postgres: BTreeMap::new(),
            kafka: "127.0.0.1:PORT".into(),
            zookeeper: None,
            connect: "http://127.0.0.1:PORT".into(),
            registry: None,
        }
    }
}
