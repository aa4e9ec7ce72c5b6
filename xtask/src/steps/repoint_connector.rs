//! `repoint-connector`: the connector's configuration names the new instance. It stays stopped.

use anyhow::bail;
use artifacts::snapshot::Role;
use stack::connector::Config;

use crate::cx::Cx;
use crate::snapshots;

/// `PUT /config` with host and port of the new server.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let name = cx.info.names.connector.clone();
    let config = snapshots::connector_config(cx, Role::New)?;
    let address = address(&config);
    let connect = cx.connect()?;
    connect.put_config(&name, &config).await?;
    let now = self::address(&connect.config(&name).await?);
    if now != address {
        bail!("the connector {name} still points at {now}, not {address}");
    }
    cx.say(format!("database at {address}"));
    Ok(())
}

fn address(config: &Config) -> String {
    let value = |key: &str| config.get(key).map(String::as_str).unwrap_or_default();
    format!("{}:{}", value("database.hostname"), value("database.port"))
}
