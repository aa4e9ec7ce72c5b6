//! The configuration of the Debezium connector: templates and what differs per run.

use std::collections::BTreeMap;

use artifacts::run::Names;

use crate::postgres::Login;

/// Constants of the configuration.
const TEMPLATE: &str = include_str!("../connector/postgres.json");
/// How keys and values are written: JSON without schemas.
const JSON: &str = include_str!("../connector/converters-json.json");
/// Avro, in the wire format of Confluent's registry: the id of the schema is in the value, not in a header.
const AVRO: &str = include_str!("../connector/converters-avro.json");

/// A connector configuration.
pub type Config = BTreeMap<String, String>;

/// The configuration for a run. `login` is Debezium's, as Connect reaches the server. A heartbeat
/// of 0 ms is none. With a `registry`, as Connect reaches it, events are Avro, else JSON.
///
/// # Errors
/// A template is not a JSON object of strings.
pub fn config(
    names: &Names,
    login: &Login,
    heartbeat_ms: u64,
    registry: Option<&str>,
) -> Result<Config, serde_json::Error> {
    let mut config: Config = serde_json::from_str(TEMPLATE)?;
    config.extend(serde_json::from_str::<Config>(if registry.is_some() { AVRO } else { JSON })?);
    let mut set = |key: &str, value: String| config.insert(key.to_owned(), value);
    endpoint(login).into_iter().for_each(|(key, value)| drop(set(&key, value)));
    set("topic.prefix", names.prefix.clone());
    set("slot.name", names.slot.clone());
    set("publication.name", names.publication.clone());
    set("table.include.list", tables(names).join(","));
    if let Some(registry) = registry {
        for key in ["key.converter.apicurio.registry.url", "value.converter.apicurio.registry.url"] {
            set(key, format!("{registry}/apis/registry/v2"));
        }
    }
    if heartbeat_ms > 0 {
        set("heartbeat.interval.ms", heartbeat_ms.to_string());
    }
    Ok(config)
}

/// The part of the configuration that says where the database is; all that repointing changes.
pub fn endpoint(login: &Login) -> Config {
    let pairs = [
        ("database.hostname", login.host.clone()),
        ("database.port", login.port.to_string()),
        ("database.user", login.user.clone()),
        ("database.password", login.password.clone()),
        ("database.dbname", login.database.clone()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The captured tables: their topics without the prefix.
fn tables(names: &Names) -> Vec<&str> {
    let table = |topic| str::strip_prefix(topic, &names.prefix)?.strip_prefix('.');
    names.topics.iter().filter_map(|topic| table(topic)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(heartbeat_ms: u64, registry: Option<&str>) -> Config {
        let names = Names {
            database: "testdb".into(),
            prefix: "cdc".into(),
            connector: "c".into(),
            slot: "s".into(),
            publication: "p".into(),
            topics: vec!["cdc.public.orders".into(), "cdc.public.customers".into()],
        };
        let login = Login {
            host: "127.0.0.1".into(),
            port: 5432,
            user: "debezium".into(),
            password: "pw".into(),
            database: "testdb".into(),
        };
        config(&names, &login, heartbeat_ms, registry).unwrap()
    }

    #[test]
    fn the_template_is_filled() {
        let config = sample(0, None);
        assert_eq!(config["table.include.list"], "public.orders,public.customers");
        assert_eq!(config["database.port"], "5432");
        assert_eq!(config["plugin.name"], "pgoutput");
        assert!(!config.contains_key("heartbeat.interval.ms"));
        assert_eq!(sample(1000, None)["heartbeat.interval.ms"], "1000");
    }

    #[test]
    fn json_and_avro_name_the_same_converters_once() {
        let (json, avro) = (sample(0, None), sample(0, Some("http://127.0.0.1:8081")));
        for side in ["key", "value"] {
            assert!(json[&format!("{side}.converter")].ends_with("JsonConverter"));
            assert!(avro[&format!("{side}.converter")].ends_with("AvroConverter"));
            let url = &avro[&format!("{side}.converter.apicurio.registry.url")];
            assert_eq!(url, "http://127.0.0.1:8081/apis/registry/v2");
            assert!(!avro.contains_key(&format!("{side}.converter.schemas.enable")));
        }
        for config in [json, avro] {
            assert_eq!(crate::converters::ignored(&config).unwrap(), []);
        }
    }
}
