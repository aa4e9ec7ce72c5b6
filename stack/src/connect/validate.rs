//! What a plugin has to say against a configuration.

use reqwest::Method;
use serde_json::Value;

use super::{Client, Result, path};

impl Client {
    /// `PUT /connector-plugins/CLASS/config/validate` with the configuration of a connector: what the
    /// plugin has to say against it, `key: message`. Debezium logs in to the database for that.
    ///
    /// # Errors
    /// As every request: see [`Error`](super::Error).
    pub async fn validate(&self, name: &str) -> Result<Vec<String>> {
        let config = self.send(Method::GET, &path(name, "/config"), None).await?;
        let class = config["connector.class"].as_str().unwrap_or_default();
        let path = format!("/connector-plugins/{class}/config/validate");
        Ok(objections(&self.send(Method::PUT, &path, Some(config)).await?))
    }
}

/// The errors in the answer; values, which may be secret, are left out.
fn objections(answer: &Value) -> Vec<String> {
    let values = answer["configs"].as_array().into_iter().flatten().map(|config| &config["value"]);
    let errors = values.flat_map(|value| {
        let name = value["name"].as_str().unwrap_or_default();
        let errors = value["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        errors.map(move |error| format!("{name}: {error}"))
    });
    errors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_by_key_and_values_are_not() {
        let answer = serde_json::json!({"error_count": 1, "configs": [
            {"value": {"name": "database.password", "value": "hidden", "errors": []}},
            {"value": {"name": "database.hostname", "value": "x", "errors": ["Error while validating connector"]}},
        ]});
        assert_eq!(objections(&answer), ["database.hostname: Error while validating connector"]);
    }
}
