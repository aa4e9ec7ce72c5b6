# Variables of the official image: ZOOKEEPER_CLIENT_PORT.
set -eu
. /usr/local/bin/run-jvm.sh
cat > /etc/kafka/zookeeper.properties <<PROPERTIES
dataDir=/var/lib/zookeeper/data
dataLogDir=/var/lib/zookeeper/log
tickTime=1000
clientPort=${ZOOKEEPER_CLIENT_PORT:?}
admin.enableServer=false
4lw.commands.whitelist=srvr
PROPERTIES
run_jvm org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/kafka/zookeeper.properties
