set -eu
. /usr/local/bin/settings.sh
. /usr/local/bin/run-jvm.sh
settings CONNECT > /etc/kafka/connect.properties
run_jvm org.apache.kafka.connect.cli.ConnectDistributed /etc/kafka/connect.properties
