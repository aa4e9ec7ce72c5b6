//! The compose stack on a Docker engine, with the offline images: what the manual procedure does with it by
//! hand. Left out by `cargo xtask ci`, and counted as skipped, where no engine can be had.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::expect;

const PASSWORD: &str = "of-the-test";
const LONGEST: Duration = Duration::from_secs(60);

#[test]
fn the_stack_keeps_events_and_offsets_and_is_upgraded_in_place() {
    let image = |words: &str| String::from_utf8_lossy(&expect(0, words).stderr).into_owned();
    image("images --offline");
    let again = image("images --offline");
    assert!(again.contains("0 of 9 images built"), "{again}");

    let lab = Lab::new();
    lab.compose(&["up", "-d", "--wait"]);
    let published = lab.docker(&["ps", "--format", "{{.Ports}}"]);
    assert!(published.contains("127.0.0.1:") && !published.contains("0.0.0.0"), "{published}");
    lab.sql("CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1)");
    let config = lab.connector_config();
    lab.rest("PUT", "/connectors/c/config", Some(&config));
    lab.until("the first row is in its topic", |lab| lab.events().contains("\"id\":1"));

    // Stopped and removed, without -v: nothing is lost.
    lab.compose(&["down"]);
    lab.compose(&["up", "-d", "--wait"]);
    lab.until("the connector runs again", |lab| {
        let status = lab.rest("GET", "/connectors/c/status", None);
        status["tasks"][0]["state"] == "RUNNING"
    });
    lab.sql("INSERT INTO kept VALUES (2)");
    lab.until("the second row is in the topic", |lab| lab.events().contains("\"id\":2"));
    let firsts = lab.events().matches("\"after\":{\"id\":1}").count();
    assert_eq!(firsts, 1, "the stored offset was kept: no second snapshot");

    // In place: refused while the server runs, then by pg_upgrade with both versions in one container.
    lab.rest("PUT", "/connectors/c/stop", None);
    let upgrade = ["--profile", "upgrade", "run", "--rm", "-T", "pg-upgrade", "--link"];
    let refused = lab.command(&upgrade).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("'in production', not 'shut down'"), "{said}");
    lab.compose(&["stop", "postgres"]);
    lab.compose(&upgrade);
    let new = [("POSTGRES", lab.version("POSTGRES_16")), ("POSTGRES_CLUSTER", "new".into())];
    let up = lab.command(&["up", "-d", "--wait", "postgres"]).envs(new).status().unwrap();
    assert!(up.success());
    assert_eq!(lab.sql("SELECT count(*) FROM kept"), "2");
    assert!(lab.sql("SHOW server_version").starts_with("16."));
}

/// A project of its own. Dropped, it leaves no container, volume or network.
struct Lab {
    name: String,
    /// PostgreSQL, Kafka, Connect.
    ports: [u16; 3],
}

impl Lab {
    fn new() -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let held = [free(), free(), free()];
        let ports = held.each_ref().map(|socket| socket.local_addr().unwrap().port());
        Self { name: format!("pg-cdc-test-{}", std::process::id()), ports }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["compose", "-p", &self.name, "-f", "compose.yml", "-f", "offline.yml"]).args(words);
        command.current_dir(folder()).env("POSTGRES_PASSWORD", PASSWORD);
        command.env("CONTAINER_PREFIX", format!("{}-", self.name));
        for (name, port) in ["POSTGRES_PORT", "KAFKA_PORT", "CONNECT_PORT"].iter().zip(self.ports) {
            command.env(name, port.to_string());
        }
        command
    }

    fn compose(&self, words: &[&str]) -> String {
        output(&mut self.command(words))
    }

    fn docker(&self, words: &[&str]) -> String {
        output(Command::new("docker").args(words))
    }

    /// As the manual procedure asks: in the container, over its socket.
    fn sql(&self, statement: &str) -> String {
        let container = format!("{}-postgres", self.name);
        let psql = ["psql", "-X", "-U", "postgres", "-d", "testdb", "-Atc", statement];
        self.docker(&[&["exec", &container][..], &psql].concat()).trim().to_owned()
    }

    /// The records of the table's topic.
    fn events(&self) -> String {
        let container = format!("{}-kafka", self.name);
        let consumer =
            ["java", "-cp", "/usr/share/java/kafka/*", "org.apache.kafka.tools.consumer.ConsoleConsumer"];
        let topic = ["--bootstrap-server", "kafka:29092", "--topic", "cdc.public.kept", "--from-beginning"];
        let mut command = Command::new("docker");
        command.args(["exec", &container]).args(consumer).args(topic).args(["--timeout-ms", "3000"]);
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn connector_config(&self) -> Value {
        json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": "postgres", "database.port": "5432", "database.user": "postgres",
            "database.password": PASSWORD, "database.dbname": "testdb", "topic.prefix": "cdc",
            "plugin.name": "pgoutput", "slot.name": "debezium_slot", "publication.name": "debezium_publication",
            "heartbeat.interval.ms": "1000",
            "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter"
        })
    }

    /// What Kafka Connect answers.
    fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports[2])).unwrap();
        let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        assert!(status.starts_with('2') || status == "404", "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    fn until(&self, what: &str, mut seen: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !seen(self) {
            assert!(start.elapsed() < LONGEST, "{what}: not within {} s", LONGEST.as_secs());
        }
    }

    fn version(&self, name: &str) -> String {
        let text = std::fs::read_to_string(folder().join(".env")).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = self.command(&["--profile", "*", "down", "--volumes", "--timeout", "10"]).status();
        assert!(
            std::thread::panicking() || down.is_ok_and(|status| status.success()),
            "{} is down",
            self.name
        );
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../stack/compose")
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
