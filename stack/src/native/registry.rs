//! The Schema Registry (Apicurio), which speaks Confluent's interface.

use std::path::Path;
use std::time::Duration;

use super::jvm::{Jvm, answers};
use super::{Native, REGISTRY};
use crate::error::Result;
use crate::observe::Shared;
use crate::paths::create_dir;
use crate::ports::Ports;
use crate::registry::CCOMPAT;
use crate::state::State;

const READY: Duration = Duration::from_secs(60);
const HEAP: &str = "-Xmx256m";

impl Native {
    /// Starts the registry if it is wanted and does not run, and waits for it.
    pub(super) async fn start_registry(&self, state: &State, observer: &Shared) -> Result<()> {
        let Some(tools) = &state.tools.registry else { return Ok(()) };
        if self.home.daemons.find(REGISTRY).is_none() {
            let data = self.home.dir.join(REGISTRY).join("data");
            create_dir(&data)?;
            let server = tools.home.join("server").display().to_string();
            let class_path =
                format!("{server}/apicurio-registry-app-{}-runner.jar:{server}/lib/*", tools.version);
            let main = ["io.quarkus.runner.GeneratedMain".to_owned()];
            let (flags, port) = (flags(&state.ports, &data), state.ports.registry);
            let jvm = Jvm { service: REGISTRY, heap: HEAP, flags, class_path, main: &main, port };
            self.spawn_jvm(state, jvm)?;
        }
        let url = url(&state.ports);
        let what = "schema-registry answers GET /subjects";
        let ask = || answers(format!("{url}{CCOMPAT}"), &["/subjects", "/config"]);
        self.home.daemons.ready(REGISTRY, what, READY, &**observer, ask).await
    }
}

pub(super) fn url(ports: &Ports) -> String {
    format!("http://127.0.0.1:{}", ports.registry)
}

/// By itself it keeps schemas in memory, in the database engine H2; the same engine keeps them in a file, and
/// a schema is there after `kill -9`.
pub(super) fn flags(ports: &Ports, data: &Path) -> Vec<String> {
    vec![
        "-Dquarkus.http.host=127.0.0.1".into(),
        format!("-Dquarkus.http.port={}", ports.registry),
        format!("-Dquarkus.datasource.jdbc.url=jdbc:h2:file:{}/schemas;WRITE_DELAY=0", data.display()),
        "-Dquarkus.datasource.jdbc.initial-size=1".into(),
        "-Dquarkus.datasource.jdbc.min-size=1".into(),
        "-Dquarkus.datasource.jdbc.max-size=8".into(),
        "-Duser.timezone=UTC".into(),
        "-Dquarkus.log.console.format=%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'} %-5p [%t] %c{1}: %s%e%n".into(),
    ]
}
