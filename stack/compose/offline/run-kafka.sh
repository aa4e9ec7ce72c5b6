set -eu
. /usr/local/bin/settings.sh
. /usr/local/bin/run-jvm.sh
settings KAFKA > /etc/kafka/kafka.properties
# With ZooKeeper there is nothing to format.
[ -n "${KAFKA_ZOOKEEPER_CONNECT:-}" ] || java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/usr/share/java/kafka/*' \
    -Dlog4j2.configurationFile=/etc/kafka/log4j2.properties \
    kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c /etc/kafka/kafka.properties
run_jvm kafka.Kafka /etc/kafka/kafka.properties
