# pg_upgrade needs the programs of both versions. Both images are of the same Debian release.
ARG POSTGRES_OLD
ARG POSTGRES_NEW
FROM postgres:${POSTGRES_OLD} AS old
FROM postgres:${POSTGRES_NEW}
COPY --from=old /usr/lib/postgresql/ /usr/lib/postgresql/
COPY --from=old /usr/share/postgresql/ /usr/share/postgresql/
COPY pg-upgrade.sh /usr/local/bin/pg-upgrade
USER postgres
ENTRYPOINT ["sh", "/usr/local/bin/pg-upgrade"]
