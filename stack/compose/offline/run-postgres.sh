# As the official image: makes a cluster in PGDATA when there is none, with the password, the database and the
# flags of POSTGRES_*, lets everybody in with a password, then runs the command.
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown postgres "$PGDATA" "$(dirname "$PGDATA")"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/var/lib/postgresql bash "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?is not set: a superuser needs a password}"
    user=${POSTGRES_USER:-postgres}
    # Unquoted: the flags are words.
    initdb --pgdata="$PGDATA" --username="$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 --no-instructions ${POSTGRES_INITDB_ARGS:-}
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "${POSTGRES_DB:-$user}" \
            | postgres --single -D "$PGDATA" -j postgres > /dev/null
    fi
fi
# /tmp for programs that look there.
exec "$@" -cunix_socket_directories=/var/run/postgresql,/tmp
