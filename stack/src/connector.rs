//! The configuration of the Debezium connector: a template and what differs per run.

use std::collections::BTreeMap;

use artifacts::run::Names;

use crate::postgres::Login;

/// Constants of the configuration, JSON converters.
pub const TEMPLATE_JSON: &str = include_str!("../connector/postgres-json.json");

/// A connector configuration.
pub type Config = BTreeMap<String, String>;

/// The configuration for a run. `login` is Debezium's, as Connect reaches the server. A heartbeat
/// of 0 ms is none.
///
/// # Errors
/// The template is not a JSON object of strings.
pub fn config(names: &Names, login: &Login, heartbeat_ms: u64) -> Result<Config, serde_json::Error> {
    let mut config: Config = serde_json::from_str(TEMPLATE_JSON)?;
    let mut set = |key: &str, value: String| config.insert(key.to_owned(), value);
    endpoint(login).into_iter().for_each(|(key, value)| drop(set(&key, value)));
    set("topic.prefix", names.prefix.clone());
    set("slot.name", names.slot.clone());
    set("publication.name", names.publication.clone());
    set("table.include.list", tables(names).join(","));
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

    fn sample(heartbeat_ms: u64) -> Config {
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
        config(&names, &login, heartbeat_ms).unwrap()
    }

    #[test]
    fn the_template_is_filled() {
        let config = sample(0);
        assert_eq!(config["table.include.list"], "public.orders,public.customers");
        assert_eq!(config["database.port"], "5432");
        assert_eq!(config["plugin.name"], "pgoutput");
        assert!(!config.contains_key("heartbeat.interval.ms"));
        assert_eq!(sample(1000)["heartbeat.interval.ms"], "1000");
    }
}
