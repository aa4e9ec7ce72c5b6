# Apicurio's registry, which has Confluent's interface below /apis/ccompat/v7. Of the variables of the official
# image: SCHEMA_REGISTRY_LISTENERS, SCHEMA_REGISTRY_HEAP_OPTS. Schemas are kept in a file, not in Kafka.
set -eu
listener=${SCHEMA_REGISTRY_LISTENERS:?}
cd /usr/share/schema-registry
# Unquoted: the flags are words.
exec java ${SCHEMA_REGISTRY_HEAP_OPTS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError \
    -XX:-UsePerfData -Djava.awt.headless=true -Duser.timezone=UTC \
    -Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port="${listener##*:}" \
    -Dquarkus.datasource.jdbc.url='jdbc:h2:file:/var/lib/schema-registry/schemas;WRITE_DELAY=0' \
    -Dquarkus.datasource.jdbc.initial-size=1 -Dquarkus.datasource.jdbc.min-size=1 \
    -Dquarkus.datasource.jdbc.max-size=8 \
    -cp "$(echo apicurio-registry-app-*-runner.jar):lib/*" io.quarkus.runner.GeneratedMain
