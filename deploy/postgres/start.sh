#!/bin/sh
# PostgreSQL takes a key only from a file that nobody else can read; compose mounts it as it is.
set -eu
install -o postgres -g postgres -m 0600 /run/secrets/postgres_key /var/run/postgresql/server.key
exec docker-entrypoint.sh postgres \
    -c ssl=on -c ssl_cert_file=/run/secrets/postgres_crt -c ssl_key_file=/var/run/postgresql/server.key \
    -c hba_file=/holdfast/pg_hba.conf -c max_connections=300 "$@"
