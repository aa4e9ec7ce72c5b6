//! ZooKeeper (one node), which controls a Kafka of the last line that can do without KRaft.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::jvm::{Jvm, class_path};
use super::{KAFKA, Native, ZOOKEEPER};
use crate::error::{Error, Result};
use crate::observe::Shared;
use crate::paths::remove_dir;
use crate::ports::Ports;
use crate::state::State;

const READY: Duration = Duration::from_secs(60);
const ASK: Duration = Duration::from_secs(2);
const HEAP: &str = "-Xmx128m";
/// The node that says that the broker is there; it goes with the broker's session.
const BROKER: &str = "/brokers/ids/1";

impl Native {
    /// Starts ZooKeeper if it does not run. Before a broker may be started, that of an earlier one has to be
    /// forgotten: Kafka ends at once when its node is still there.
    pub(super) async fn start_zookeeper(&self, state: &State, observer: &Shared) -> Result<()> {
        let kafka_runs = self.home.daemons.find(KAFKA).is_some();
        if self.home.daemons.find(ZOOKEEPER).is_none() {
            let data = self.home.dir.join(ZOOKEEPER).join("data");
            if !kafka_runs {
                self.forget_others(&data)?;
            }
            let (config, log4j) = self.write_config(ZOOKEEPER, &properties(&state.ports, &data))?;
            let main = ["org.apache.zookeeper.server.quorum.QuorumPeerMain".to_owned(), config];
            let home = state.tools.zookeeper.as_ref().map_or(&state.tools.kafka.home, |tools| &tools.home);
            let (flags, class_path) = (vec![log4j], class_path(home)?);
            let port = state.ports.controller;
            let jvm = Jvm { service: ZOOKEEPER, heap: HEAP, flags, class_path, main: &main, port };
            self.spawn_jvm(state, jvm)?;
        }
        let port = state.ports.controller;
        let what = "zookeeper answers srvr, and knows no earlier broker";
        self.home.daemons.ready(ZOOKEEPER, what, READY, &**observer, || free(port, kafka_runs)).await
    }

    /// What Kafka wrote with KRaft cannot be read with ZooKeeper, and what ZooKeeper knows is of no use without
    /// the topics.
    fn forget_others(&self, data: &Path) -> Result<()> {
        let topics = self.home.dir.join(KAFKA).join("data");
        if !topics.join("meta.properties").exists() || topics.join("bootstrap.checkpoint").exists() {
            remove_dir(&topics)?;
            remove_dir(data)?;
        }
        Ok(())
    }
}

impl Native {
    /// The version that ZooKeeper answers; none when the stack runs without.
    pub(crate) async fn zookeeper(&self) -> Result<Option<String>> {
        let state = self.state()?;
        if state.tools.zookeeper.is_none() {
            return Ok(None);
        }
        let answer = ask(state.ports.controller, "srvr").await;
        let answer = answer.map_err(|e| Error::Refused(format!("zookeeper does not answer srvr: {e}")))?;
        Ok(zookeeper_version(&answer))
    }
}

/// The version in the answer to `srvr`.
pub(crate) fn zookeeper_version(answer: &str) -> Option<String> {
    // Zookeeper version: 3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c, built on ...
    let version = answer.split_once("version: ").and_then(|(_, rest)| rest.split(['-', ',']).next());
    version.map(str::to_owned)
}

async fn free(port: u16, kafka_runs: bool) -> std::result::Result<(), String> {
    let answer = ask(port, "srvr").await?;
    if !answer.contains("Mode: standalone") {
        return Err(answer.lines().next().unwrap_or("an empty answer").to_owned());
    }
    if !kafka_runs && ask(port, "dump").await?.contains(BROKER) {
        return Err(format!("{BROKER} of an earlier broker is still there"));
    }
    Ok(())
}

/// One of ZooKeeper's four-letter words.
async fn ask(port: u16, word: &str) -> std::result::Result<String, String> {
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    match tokio::time::timeout(ASK, talk).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer to {word} within {} s", ASK.as_secs())),
    }
}

/// What the broker has to know of it.
pub(super) fn broker(ports: &Ports) -> String {
    let (kafka, zookeeper) = (ports.kafka, ports.controller);
    format!(
        "broker.id=1\n\
         zookeeper.connect=127.0.0.1:{zookeeper}\n\
         zookeeper.connection.timeout.ms=60000\n\
         zookeeper.session.timeout.ms=6000\n\
         listeners=PLAINTEXT://127.0.0.1:{kafka}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}\n"
    )
}

pub(super) fn properties(ports: &Ports, data: &Path) -> String {
    format!(
        "dataDir={data}\n\
         tickTime=1000\n\
         clientPort={port}\n\
         clientPortAddress=127.0.0.1\n\
         admin.enableServer=false\n\
         4lw.commands.whitelist=srvr,dump\n",
        data = data.display(),
        port = ports.controller,
    )
}
