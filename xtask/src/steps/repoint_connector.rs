//! `repoint-connector`: the connector's configuration names the new instance. It stays stopped.

use anyhow::bail;
use artifacts::snapshot::Role;

use crate::cx::Cx;
use crate::snapshots;

/// `PUT /config` with host and port of the new server.
pub(crate) async fn run(cx: &mut Cx) -> anyhow::Result<()> {
    let name = cx.info.names.connector.clone();
    let config = snapshots::connector_config(cx, Role::New)?;
    let port = config.get("database.port").cloned().unwrap_or_default();
    let connect = cx.connect()?;
    connect.put_config(&name, &config).await?;
    let now = connect.config(&name).await?.get("database.port").cloned().unwrap_or_default();
    if now != port {
        bail!("the connector {name} still points at port {now}, not {port}");
    }
    cx.say(format!("database.port {port}"));
    Ok(())
}
