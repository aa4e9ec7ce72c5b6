//! Kafka (one node) and Kafka Connect (distributed mode, one worker).

use std::fs;
use std::path::{Path, PathBuf};
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
use crate::state::State;

const READY: Duration = Duration::from_secs(120);
const ASK: Duration = Duration::from_secs(2);
const KAFKA_HEAP: &str = "-Xmx384m";
const CONNECT_HEAP: &str = "-Xmx512m";
const FORMAT_HEAP: &str = "-Xmx128m";

impl Native {
    /// Starts what is not running of Kafka and Kafka Connect and waits for both. They start side
    /// by side: Connect waits for Kafka by itself.
    pub(super) async fn start_warm(&self, observer: &Shared) -> Result<()> {
        let state = self.state()?;
        // Connect first: it reads its plugins while Kafka's folder is being formatted.
        if self.daemons.find(CONNECT).is_none() {
            let (config, log4j) = self.write_connect_config(state)?;
            let main = ["org.apache.kafka.connect.cli.ConnectDistributed".to_owned(), config];
            self.spawn_jvm(state, CONNECT, CONNECT_HEAP, &log4j, &main, state.ports.connect)?;
        }
        if state.tools.zookeeper.is_some() {
            self.start_zookeeper(state, observer).await?;
        }
        if self.daemons.find(KAFKA).is_none() {
            let (config, log4j) = self.write_kafka_config(state)?;
            if state.tools.zookeeper.is_none() {
                self.format(state, &config, observer).await?;
            }
            let main = ["kafka.Kafka".to_owned(), config];
            self.spawn_jvm(state, KAFKA, KAFKA_HEAP, &log4j, &main, state.ports.kafka)?;
        }
        let bootstrap = format!("127.0.0.1:{}", state.ports.kafka);
        let url = format!("http://127.0.0.1:{}", state.ports.connect);
        tokio::try_join!(
            self.daemons.ready(KAFKA, "kafka answers a metadata request", READY, &**observer, || {
                metadata(bootstrap.clone())
            }),
            self.daemons.ready(
                CONNECT,
                "connect answers GET / and GET /connectors",
                READY,
                &**observer,
                || { worker(url.clone()) }
            ),
        )?;
        Ok(())
    }

    pub(super) fn spawn_jvm(
        &self,
        state: &State,
        service: &str,
        heap: &str,
        log4j: &Path,
        main: &[String],
        port: u16,
    ) -> Result<()> {
        let cwd = self.dir.join(service);
        let tmp = cwd.join("tmp");
        remove_dir(&tmp)?;
        create_dir(&tmp)?;
        let mut args = jvm_flags(heap, &tmp);
        let zookeeper = state.tools.zookeeper.as_ref().filter(|_| service != CONNECT);
        args.extend(match &self.record {
            // There is no archive of these jars.
            _ if zookeeper.is_some() => None,
            Some(folder) => Some(format!("-XX:ArchiveClassesAtExit={}", archive(folder, service))),
            None => shared_archive(state, service),
        });
        args.push(format!("-Dlog4j2.configurationFile={}", log4j.display()));
        args.extend([
            "-cp".into(),
            class_path(zookeeper.map_or(&state.tools.kafka.home, |tools| &tools.home))?,
        ]);
        args.extend_from_slice(main);
        self.daemons.spawn(&Spec {
            service: service.into(),
            program: state.tools.java.program.clone(),
            args,
            env: Vec::new(),
            cwd,
            user: None,
            port: Some(port),
        })
    }

    fn write_kafka_config(&self, state: &State) -> Result<(String, PathBuf)> {
        let data = self.dir.join(KAFKA).join("data");
        let controller = match state.tools.zookeeper {
            Some(_) => zookeeper::broker(&state.ports),
            None => kraft(&state.ports),
        };
        self.write_config(KAFKA, &(controller + &kafka_properties(&data)))
    }

    fn write_connect_config(&self, state: &State) -> Result<(String, PathBuf)> {
        self.write_config(CONNECT, &connect_properties(&state.ports, &state.tools.kafka.home.join("plugins")))
    }

    pub(super) fn write_config(&self, service: &str, properties: &str) -> Result<(String, PathBuf)> {
        let dir = self.dir.join(service);
        // Kafka's topics hold the connector's password.
        create_private_dir(&dir)?;
        let (config, log4j) = (dir.join(format!("{service}.properties")), dir.join("log4j2.properties"));
        write_file(&config, properties, 0o644)?;
        write_file(&log4j, LOG4J, 0o644)?;
        Ok((config.display().to_string(), log4j))
    }

    /// Gives Kafka's data folder its identity, once.
    async fn format(&self, state: &State, config: &str, observer: &Shared) -> Result<()> {
        let dir = self.dir.join(KAFKA);
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
            .tags(self.daemons.tags("kafka-format"))
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
fn class_path(home: &Path) -> Result<String> {
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

fn connect_properties(ports: &Ports, plugins: &Path) -> String {
    format!(
        "bootstrap.servers=127.0.0.1:{kafka}\n\
         group.id=docker-connect\n\
         listeners=http://127.0.0.1:{connect}\n\
         rest.advertised.host.name=127.0.0.1\n\
         plugin.path={plugins}\n\
         plugin.discovery=service_load\n\
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
        plugins = plugins.display(),
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

/// Asks a worker for its version and its connectors.
async fn worker(url: String) -> std::result::Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().timeout(ASK).build().map_err(|e| e.to_string())?;
    for path in ["/", "/connectors"] {
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
    use super::*;

    #[test]
    fn a_cluster_id_is_16_bytes_and_no_option() {
        for _ in 0..100 {
            let id = cluster_id();
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with(['-', '_']) && id.ends_with(['A', 'Q', 'g', 'w']), "{id}");
        }
    }

    #[test]
    fn everything_listens_on_loopback_only() {
        let ports =
            Ports { postgres_old: 1, postgres_new: 2, kafka: 3, controller: 4, connect: 5, standard: false };
        let text = kraft(&ports)
            + &connect_properties(&ports, Path::new("/p"))
            + &zookeeper::broker(&ports)
            + &zookeeper::properties(&ports, Path::new("/z"));
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:3,CONTROLLER://127.0.0.1:4"));
        assert!(text.contains("listeners=http://127.0.0.1:5"));
        assert!(text.contains("clientPort=4\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"));
        assert!(!text.contains("0.0.0.0") && !text.contains("localhost"));
    }
}
