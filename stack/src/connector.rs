//! The configuration of the Debezium connector: templates and what differs per run.

use std::collections::BTreeMap;

use artifacts::run::Names;

use crate::endpoints::Converter;
use crate::postgres::Login;

/// Constants of the configuration.
const TEMPLATE: &str = include_str!("../connector/postgres.json");
/// How keys and values are written: JSON without schemas.
const JSON: &str = include_str!("../connector/converters-json.json");
/// Avro, in the wire format of Confluent's registry: the id of the schema is in the value, not in a header.
const AVRO: &str = include_str!("../connector/converters-avro.json");
/// The same with the converter of Confluent's registry.
const CONFLUENT: &str = include_str!("../connector/converters-confluent.json");

/// A connector configuration.
pub type Config = BTreeMap<String, String>;

/// The configuration for a run. `login` is Debezium's, as Connect reaches the server. A heartbeat
/// of 0 ms is none. With a `converter` events are Avro, else JSON.
///
/// # Errors
/// A template is not a JSON object of strings.
pub fn config(
    names: &Names,
    login: &Login,
    heartbeat_ms: u64,
    converter: Option<&Converter>,
) -> Result<Config, serde_json::Error> {
    let mut config: Config = serde_json::from_str(TEMPLATE)?;
    let (converters, url) = match converter {
        None => (JSON, None),
        Some(Converter::Apicurio(url)) => (AVRO, Some(("apicurio.registry.url", url))),
        Some(Converter::Confluent(url)) => (CONFLUENT, Some(("schema.registry.url", url))),
    };
    config.extend(serde_json::from_str::<Config>(converters)?);
    let mut set = |key: &str, value: String| config.insert(key.to_owned(), value);
    endpoint(login).into_iter().for_each(|(key, value)| drop(set(&key, value)));
    set("topic.prefix", names.prefix.clone());
    set("slot.name", names.slot.clone());
    set("publication.name", names.publication.clone());
    set("table.include.list", tables(names).join(","));
    if let Some((key, url)) = url {
        set(&format!("key.converter.{key}"), url.clone());
        set(&format!("value.converter.{key}"), url.clone());
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

    fn sample(heartbeat_ms: u64, converter: Option<&Converter>) -> Config {
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
        config(&names, &login, heartbeat_ms, converter).unwrap()
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
    fn each_format_names_the_same_converter_for_both_sides() {
        let url = || "http://127.0.0.1:8081/x".to_owned();
        let (apicurio, confluent) = (Converter::Apicurio(url()), Converter::Confluent(url()));
        let json = sample(0, None);
        for (avro, key) in [(&apicurio, "apicurio.registry.url"), (&confluent, "schema.registry.url")] {
            let avro = sample(0, Some(avro));
            for side in ["key", "value"] {
                assert!(json[&format!("{side}.converter")].ends_with("JsonConverter"));
                assert!(avro[&format!("{side}.converter")].ends_with("AvroConverter"));
                assert_eq!(avro[&format!("{side}.converter.{key}")], url());
                assert!(!avro.contains_key(&format!("{side}.converter.schemas.enable")));
            }
        }
        for config in [json, sample(0, Some(&apicurio)), sample(0, Some(&confluent))] {
            assert_eq!(crate::converters::ignored(&config).unwrap(), []);
        }
    }
}
