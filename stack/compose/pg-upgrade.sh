# Makes the cluster /pgdata/new out of /pgdata/old by pg_upgrade; arguments are given to it (--check,
# --link). What a failed try has left of the new cluster is made anew.
set -eu
old=$(ls -d /usr/lib/postgresql/*/bin | sort -V | head -1)
new=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)
control() { "$old/pg_controldata" -D /pgdata/old | sed -n "s/^$1: *//p"; }
if [ "$(control 'Database cluster state')" != 'shut down' ]; then
    echo "the old cluster is '$(control 'Database cluster state')', not 'shut down': stop the server first" >&2
    exit 1
fi
if [ -e /pgdata/old/global/pg_control.old ]; then
    echo 'both clusters have the same files already (--link): neither can be made anew' >&2
    exit 1
fi
checksums=
if [ "$(control 'Data page checksum version')" != 0 ]; then
    checksums=--data-checksums
elif "$new/initdb" --help | grep -q -e --no-data-checksums; then
    checksums=--no-data-checksums
fi
rm -rf /pgdata/new
"$new/initdb" -D /pgdata/new -U postgres --auth=trust --locale=C.UTF-8 --encoding=UTF8 --no-instructions \
    --wal-segsize=$(($(control 'Bytes per WAL segment') / 1048576)) $checksums
mkdir -p /tmp/pg-upgrade
# The servers of compose.yml have it from their command line: without it none starts that has a slot.
cd /tmp/pg-upgrade
"$new/pg_upgrade" -b "$old" -B "$new" -d /pgdata/old -D /pgdata/new -U postgres -s /tmp/pg-upgrade \
    -o -cwal_level=logical -O -cwal_level=logical "$@"
cp /pgdata/old/pg_hba.conf /pgdata/new/pg_hba.conf
