# run_jvm CLASS ARGUMENTS: in place of the shell, with the log on stdout.
cat > /etc/kafka/log4j2.properties <<'LOG'
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %-5p [%t] %c{1}: %m%n%throwable
LOG
flags="${KAFKA_HEAP_OPTS:-} ${KAFKA_OPTS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError
    -XX:-UsePerfData -Djava.awt.headless=true -Dlog4j2.configurationFile=/etc/kafka/log4j2.properties"
run_jvm() {
    # Unquoted: the flags are words.
    exec java $flags -cp '/usr/share/java/kafka/*' "$@"
}
