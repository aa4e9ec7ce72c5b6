//! Keys that the converters of a connector do not know. Kafka Connect hands a converter everything
//! below its prefix, and what the converter does not know it ignores without a word.

use std::fmt;

use serde::Deserialize;

use crate::connector::Config;

/// What the converters know, and where that is written.
const KNOWN: &str = include_str!("../connector/converter-keys.json");
/// Of Kafka Connect itself (4.1 and later): the version of the plugin to load.
const OF_CONNECT: &str = "plugin.version";
/// Letters that a key may be away from one that is meant.
const NEAR: usize = 3;

#[derive(Deserialize)]
struct Known {
    classes: Vec<String>,
    keys: Vec<String>,
    /// Whatever begins so is known as well.
    prefixes: Vec<String>,
}

/// A key that does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// `value.converter.schema.enable`
    pub key: String,
    /// The class that ignores it.
    pub class: String,
    /// A key that the class knows, with the same prefix, a few letters away.
    pub near: Option<String>,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, class, near } = self;
        write!(f, "{key} is ignored by {class}")?;
        near.as_ref().map_or(Ok(()), |near| write!(f, ", which knows {near}"))
    }
}

/// The keys of a configuration that the converters it names ignore. Of other classes than those of
/// the list nothing is said.
///
/// # Errors
/// The list in this program cannot be read.
pub fn ignored(config: &Config) -> Result<Vec<Ignored>, serde_json::Error> {
    let list: Vec<Known> = serde_json::from_str(KNOWN)?;
    let mut ignored = Vec::new();
    for side in ["key.converter", "value.converter"] {
        let Some(class) = config.get(side) else { continue };
        let Some(known) = list.iter().find(|known| known.classes.contains(class)) else { continue };
        let below = |key| str::strip_prefix(key, side)?.strip_prefix('.');
        let keys = config.keys().filter_map(|key| below(key));
        ignored.extend(keys.filter(|key| !known.has(key)).map(|key| Ignored {
            key: format!("{side}.{key}"),
            class: class.clone(),
            near: known.near(key).map(|near| format!("{side}.{near}")),
        }));
    }
    Ok(ignored)
}

impl Known {
    fn has(&self, key: &str) -> bool {
        key == OF_CONNECT
            || self.keys.iter().any(|known| known == key)
            || self.prefixes.iter().any(|prefix| key.starts_with(prefix))
    }

    fn near(&self, key: &str) -> Option<&str> {
        let keys = self.keys.iter().map(|known| (strsim::osa_distance(known, key), known.as_str()));
        keys.filter(|(away, _)| *away <= NEAR).min().map(|(_, known)| known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
    const APICURIO: &str = "io.apicurio.registry.utils.converter.AvroConverter";
    const CONFLUENT: &str = "io.confluent.connect.avro.AvroConverter";

    fn said(pairs: &[(&str, &str)]) -> Vec<String> {
        let config: Config = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        ignored(&config).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_converter_does_not_know_is_named_with_what_was_meant() {
        let said = said(&[
            ("key.converter", JSON),
            ("key.converter.schemas.enable", "false"),
            ("value.converter", JSON),
            ("value.converter.schema.enabled", "false"),
            ("value.converter.apicurio.registry.url", "http://127.0.0.1:1"),
        ]);
        let (url, schema) = ("value.converter.apicurio.registry.url", "value.converter.schema.enabled");
        let expected = [
            format!("{url} is ignored by {JSON}"),
            format!("{schema} is ignored by {JSON}, which knows value.converter.schemas.enable"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn the_keys_of_one_registry_do_nothing_for_the_converter_of_the_other() {
        let url = ("key.converter.schema.registry.url", "http://127.0.0.1:1");
        assert_eq!(said(&[("key.converter", APICURIO), url]).len(), 1);
        assert!(said(&[("key.converter", CONFLUENT), url]).is_empty());
        let headers = ("key.converter.apicurio.registry.headers.enabled", "false");
        assert!(said(&[("key.converter", APICURIO), headers]).is_empty());
        assert_eq!(said(&[("key.converter", CONFLUENT), headers]).len(), 1);
    }

    #[test]
    fn nothing_is_said_of_other_classes_and_of_what_is_not_the_converters() {
        assert!(said(&[("key.converter", "my.Own"), ("key.converter.x", "1")]).is_empty());
        assert!(said(&[("key.converter.x", "1"), ("key.converters", "1")]).is_empty());
        assert!(said(&[("key.converter", JSON), ("key.converter.plugin.version", "[4.3,)")]).is_empty());
        let header = "key.converter.apicurio.registry.request.headers.Authorization";
        assert!(said(&[("key.converter", APICURIO), (header, "x")]).is_empty());
    }
}
