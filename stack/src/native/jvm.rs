//! Kafka (one node) and Kafka Connect (distributed mode, one worker).

use std::fs;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{CONNECT, KAFKA, Native, zookeeper};
use crate::command::{Command, SHORT};
use crate::daemon::Spec;
use crate::error::{Error, Result};
use crate::observe::Shared;
use crate::paths::{create_dir, create_private_dir, remove_dir, write_file};
use crate::ports::Ports;
use crate::state::{State, Tools};

const READY: Duration = Duration::from_secs(120);
const ASK: Duration = Duration::from_secs(2);
const KAFKA_HEAP: &str = "-Xmx384m";
const CONNECT_HEAP: &str = "-Xmx512m";
const FORMAT_HEAP: &str = "-Xmx128m";

/// A JVM to start.
pub(super) struct Jvm<'a> {
    pub(super) service: &'a str,
    pub(super) heap: &'a str,
    /// Besides those of every JVM.
    pub(super) flags: Vec<String>,
    pub(super) class_path: String,
    /// Class and arguments.
    pub(super) main: &'a [String],
    pub(super) port: u16,
}

impl Native {
    /// Starts what is not running of Kafka, Kafka Connect and what goes with them, and waits for all. They start side
    /// by side: Connect waits for Kafka by itself.
    pub(super) async fn start_warm(&self, observer: &Shared) -> Result<()> {
        let state = self.state()?;
        // Connect first: it reads its plugins while Kafka's folder is being formatted.
        if self.home.daemons.find(CONNECT).is_none() {
            let (config, log4j) = self.write_connect_config(state)?;
            let main = ["org.apache.kafka.connect.cli.ConnectDistributed".to_owned(), config];
            let flags = [self.class_archive(state, CONNECT), Some(log4j)].into_iter().flatten().collect();
            let class_path = class_path(&state.tools.kafka.home)?;
            let port = state.ports.connect;
            let jvm = Jvm { service: CONNECT, heap: CONNECT_HEAP, flags, class_path, main: &main, port };
            self.spawn_jvm(state, jvm)?;
        }
        if state.tools.zookeeper.is_some() {
            self.start_zookeeper(state, observer).await?;
        }
        if self.home.daemons.find(KAFKA).is_none() {
            self.start_kafka(state, observer).await?;
        }
        let bootstrap = format!("127.0.0.1:{}", state.ports.kafka);
        let url = format!("http://127.0.0.1:{}", state.ports.connect);
        tokio::try_join!(
            self.home.daemons.ready(KAFKA, "kafka answers a metadata request", READY, &**observer, || {
                metadata(bootstrap.clone())
            }),
            self.home.daemons.ready(
                CONNECT,
                // `GET /connectors` answers with an empty list before the worker has read its topics.
                "connect answers GET /health",
                READY,
                &**observer,
                || { answers(url.clone(), &["/health"]) }
            ),
            self.start_registry(state, observer),
        )?;
        Ok(())
    }

    async fn start_kafka(&self, state: &State, observer: &Shared) -> Result<()> {
        let (config, log4j) = self.write_kafka_config(state)?;
        // There is no archive of the jars with ZooKeeper.
        let (home, archive) = match &state.tools.zookeeper {
            Some(tools) => (&tools.home, None),
            None => {
                self.format(state, &config, observer).await?;
                (&state.tools.kafka.home, self.class_archive(state, KAFKA))
            }
        };
        let main = ["kafka.Kafka".to_owned(), config];
        let (flags, class_path) = ([archive, Some(log4j)].into_iter().flatten().collect(), class_path(home)?);
        let port = state.ports.kafka;
        self.spawn_jvm(state, Jvm { service: KAFKA, heap: KAFKA_HEAP, flags, class_path, main: &main, port })
    }

    pub(super) fn spawn_jvm(&self, state: &State, jvm: Jvm<'_>) -> Result<()> {
        let cwd = self.home.dir.join(jvm.service);
        let tmp = cwd.join("tmp");
        remove_dir(&tmp)?;
        create_dir(&tmp)?;
        let mut args = jvm_flags(jvm.heap, &tmp);
        args.extend(jvm.flags);
        args.extend(["-cp".into(), jvm.class_path]);
        args.extend_from_slice(jvm.main);
        self.home.daemons.spawn(&Spec {
            service: jvm.service.into(),
            program: state.tools.java.program.clone(),
            args,
            env: Vec::new(),
            cwd,
            user: None,
            port: Some(jvm.port),
        })
    }

    /// The flag that writes or reads the class archive of a service.
    fn class_archive(&self, state: &State, service: &str) -> Option<String> {
        match &self.record {
            Some(folder) => Some(format!("-XX:ArchiveClassesAtExit={}", archive(folder, service))),
            None => shared_archive(state, service),
        }
    }

    fn write_kafka_config(&self, state: &State) -> Result<(String, String)> {
        let data = self.home.dir.join(KAFKA).join("data");
        let controller = match state.tools.zookeeper {
            Some(_) => zookeeper::broker(&state.ports),
            None => kraft(&state.ports),
        };
        self.write_config(KAFKA, &(controller + &kafka_properties(&data)))
    }

    fn write_connect_config(&self, state: &State) -> Result<(String, String)> {
        self.write_config(CONNECT, &connect_properties(&state.ports, &state.tools))
    }

    /// The path of the configuration, and the flag for that of the log.
    pub(super) fn write_config(&self, service: &str, properties: &str) -> Result<(String, String)> {
        let dir = self.home.dir.join(service);
        // Kafka's topics hold the connector's password.
        create_private_dir(&dir)?;
        let (config, log4j) = (dir.join(format!("{service}.properties")), dir.join("log4j2.properties"));
        write_file(&config, properties, 0o644)?;
        write_file(&log4j, LOG4J, 0o644)?;
        Ok((config.display().to_string(), format!("-Dlog4j2.configurationFile={}", log4j.display())))
    }

    /// Gives Kafka's data folder its identity, once.
    async fn format(&self, state: &State, config: &str, observer: &Shared) -> Result<()> {
        let dir = self.home.dir.join(KAFKA);
        let data = dir.join("data");
        if data.join("meta.properties").exists() && data.join("bootstrap.checkpoint").exists() {
            return Ok(());
        }
        remove_dir(&data)?;
        let tmp = dir.join("tmp");
        create_dir(&tmp)?;
        Command::new(&state.tools.java.program)
            .args(jvm_flags(FORMAT_HEAP, &tmp))
            .args(shared_archive(state, KAFKA))
            .args(["-cp", &class_path(&state.tools.kafka.home)?])
            .args(["kafka.tools.StorageTool", "format", "-t", &cluster_id(), "-c"])
            .args([config])
            .clean()
            .tags(self.home.daemons.tags("kafka-format"))
            .run("formatting Kafka's log folder", SHORT, &**observer)
            .await?;
        Ok(())
    }
}

/// Flags of every JVM. The first compiler alone starts faster and costs less on few cores.
fn jvm_flags(heap: &str, tmp: &Path) -> Vec<String> {
    let mut flags: Vec<String> = [
        heap,
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
    ]
    .map(str::to_owned)
    .into();
    flags.push(format!("-Djava.io.tmpdir={}", tmp.display()));
    flags
}

fn shared_archive(state: &State, service: &str) -> Option<String> {
    let file = archive(state.tools.archives.as_ref()?, service);
    Path::new(&file).exists().then(|| format!("-XX:SharedArchiveFile={file}"))
}

/// The class archive of a service.
pub(super) fn archive(folder: &Path, service: &str) -> String {
    folder.join(format!("{service}.jsa")).display().to_string()
}

/// Every jar, in the order of names: class archives want the same path each time.
pub(super) fn class_path(home: &Path) -> Result<String> {
    let libs = home.join("libs");
    let entries = fs::read_dir(&libs).map_err(Error::io("read", &libs))?;
    let mut jars: Vec<String> = entries.flatten().map(|entry| entry.path().display().to_string()).collect();
    jars.sort();
    Ok(jars.join(":"))
}

/// 16 random bytes in the alphabet of Kafka's ids.
fn cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = rand::rng();
    // 21 characters of 6 bits and one of 2; a leading dash would look like an option.
    let first = ALPHABET[random.random_range(0..62)];
    let middle = (0..20).map(|_| ALPHABET[random.random_range(0..64)]).collect::<Vec<_>>();
    let last = ALPHABET[random.random_range(0..4) * 16];
    std::iter::once(first).chain(middle).chain([last]).map(char::from).collect()
}

fn kraft(ports: &Ports) -> String {
    let (kafka, controller) = (ports.kafka, ports.controller);
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         # After a crash the node waits until its former self is given up.\n\
         broker.heartbeat.interval.ms=1000\n\
         broker.session.timeout.ms=5000\n"
    )
}

/// What does not depend on who controls the cluster.
fn kafka_properties(data: &Path) -> String {
    format!(
        "log.dirs={data}\n\
         num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         # Evidence must not expire.\n\
         log.retention.ms=-1\n\
         log.cleaner.dedupe.buffer.size=16777216\n",
        data = data.display(),
    )
}

fn connect_properties(ports: &Ports, tools: &Tools) -> String {
    let mut plugins = tools.kafka.home.join("plugins").display().to_string();
    let mut discovery = "service_load";
    if let Some(registry) = &tools.registry {
        plugins = format!("{plugins},{}", registry.home.join("plugins").display());
        // The converter has no manifest: Connect has to look into its classes.
        discovery = "hybrid_warn";
    }
    format!(
        "bootstrap.servers=127.0.0.1:{kafka}\n\
         group.id=docker-connect\n\
         listeners=http://127.0.0.1:{connect}\n\
         rest.advertised.host.name=127.0.0.1\n\
         plugin.path={plugins}\n\
         plugin.discovery={discovery}\n\
         # Connectors name their own converters.\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         offset.storage.topic=docker-connect-offsets\n\
         offset.storage.replication.factor=1\n\
         offset.storage.partitions=1\n\
         config.storage.topic=docker-connect-configs\n\
         config.storage.replication.factor=1\n\
         status.storage.topic=docker-connect-status\n\
         status.storage.replication.factor=1\n\
         status.storage.partitions=1\n\
         offset.flush.interval.ms=1000\n\
         # One worker: nobody to wait for.\n\
         scheduled.rebalance.max.delay.ms=0\n",
        kafka = ports.kafka,
        connect = ports.connect,
    )
}

/// To stdout, which is the log file: what the JVM itself says stands there as well.
const LOG4J: &str = "\
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %-5p [%t] %c{1}: %m%n%throwable
";

/// Asks Kafka for its brokers.
async fn metadata(bootstrap: String) -> std::result::Result<(), String> {
    let ask = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .create()
            .map_err(|e| e.to_string())?;
        let answer = consumer.fetch_metadata(None, ASK).map_err(|e| e.to_string())?;
        if answer.brokers().is_empty() { Err("no broker has registered".to_owned()) } else { Ok(()) }
    };
    tokio::task::spawn_blocking(ask).await.map_err(|e| e.to_string())?
}

/// Asks a component for JSON at each of these paths.
pub(super) async fn answers(url: String, paths: &[&str]) -> std::result::Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().timeout(ASK).build().map_err(|e| e.to_string())?;
    for path in paths {
        let answer = client.get(format!("{url}{path}")).send().await.map_err(|e| innermost(&e))?;
        let status = answer.status();
        let json = answer.json::<serde_json::Value>().await;
        if !status.is_success() || json.is_err() {
            return Err(format!(
                "GET {path}: status {status}{}",
                if json.is_err() { ", not JSON" } else { "" }
            ));
        }
    }
    Ok(())
}

fn innermost(e: &dyn std::error::Error) -> String {
    e.source().map_or_else(|| e.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::super::registry;
    use super::*;

    #[test]
    fn a_cluster_id_is_16_bytes_and_no_option() {
        for _ in 0..100 {
            let id = cluster_id();
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with(['-', '_']) && id.ends_with(['A', 'Q', 'g', 'w']), "{id}");
        }
    }

    fn tools() -> Tools {
        let text = r#"{"java": {"program": "/j", "version": "17"}, "kafka": {"home": "/k", "kafka_version": "4",
            "debezium_version": "3"}, "registry": {"home": "/r", "version": "2"}, "archives": null, "postgres": {}}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_converter_is_looked_for_only_with_a_registry() {
        let mut tools = tools();
        let properties = |tools: &Tools| connect_properties(&Ports::default(), tools);
        assert!(
            properties(&tools).contains("plugin.path=/k/plugins,/r/plugins\nplugin.discovery=hybrid_warn\n")
        );
        tools.registry = None;
        assert!(properties(&tools).contains("plugin.path=/k/plugins\nplugin.discovery=service_load\n"));
    }

    #[test]
    fn everything_listens_on_loopback_only() {
        let of_postgres = Ports { postgres_old: 1, postgres_new: 2, ..Ports::default() };
        let ports = Ports { kafka: 3, controller: 4, connect: 5, registry: 6, ..of_postgres };
        let text = kraft(&ports)
            + &connect_properties(&ports, &tools())
            + &registry::flags(&ports, Path::new("/r")).join("\n")
            + &zookeeper::broker(&ports)
            + &zookeeper::properties(&ports, Path::new("/z"));
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:3,CONTROLLER://127.0.0.1:4"));
        assert!(text.contains("listeners=http://127.0.0.1:5"));
        assert!(text.contains("http.host=127.0.0.1\n-Dquarkus.http.port=6\n"));
        assert!(text.contains("clientPort=4\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"));
        assert!(!text.contains("0.0.0.0") && !text.contains("localhost"));
    }
}
