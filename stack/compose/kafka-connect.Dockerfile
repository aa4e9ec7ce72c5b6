# Kafka Connect with the official archive of the Debezium connector, fetched by Maven: a mirror is configured
# there as usual.
ARG CONFLUENT
ARG MAVEN
FROM maven:${MAVEN} AS plugin
ARG DEBEZIUM
RUN mvn -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact=io.debezium:debezium-connector-postgres:${DEBEZIUM}:tar.gz:plugin -DoutputDirectory=/archive \
    && mkdir /plugin && tar -xzf /archive/*.tar.gz -C /plugin

FROM confluentinc/cp-kafka-connect:${CONFLUENT}
COPY --from=plugin /plugin /usr/share/debezium
