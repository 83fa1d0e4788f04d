#!/bin/sh
# Makes the roles and the database, or gives the roles their passwords anew. Runs as a superuser of the server: by the image at its first
# start, or by hand (docs/deploy.md). The passwords are in the files owner_password, worker_password and reporter_password in SECRETS; HOLDFAST_DATABASE is the database's name.
#
#   holdfast_owner     owns the database: it migrates, and producers and who maintains come as it, because months are made and dropped
#   holdfast_worker    `producer migrate` gives it what a worker needs (shared/src/db/rights.sql)
#   holdfast_reporter  and this one what a reporter needs
set -eu
secrets=${SECRETS:-/run/secrets}
database=${HOLDFAST_DATABASE:-holdfast}

# \gexec runs what the line before it has selected. Passwords go in as variables, and are quoted by the server.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "${POSTGRES_DB:-postgres}" \
    --set database="$database" \
    --set owner="$(cat "$secrets/owner_password")" \
    --set worker="$(cat "$secrets/worker_password")" \
    --set reporter="$(cat "$secrets/reporter_password")" <<'SQL'
select format('create role %I login', name) from unnest(array['holdfast_owner', 'holdfast_worker', 'holdfast_reporter']) name
    where not exists (select from pg_roles where rolname = name)
\gexec
alter role holdfast_owner password :'owner';
alter role holdfast_worker password :'worker';
alter role holdfast_reporter password :'reporter';
-- The reaper ends sessions of workers that hang, and sees what all sessions wait for.
grant pg_monitor, pg_signal_backend to holdfast_owner;
-- The reporter tells of transactions that are open for long, whoever's they are.
grant pg_monitor to holdfast_reporter;
select format('create database %I owner holdfast_owner', :'database') where not exists (select from pg_database where datname = :'database')
\gexec
revoke connect, temporary on database :"database" from public;
grant connect on database :"database" to holdfast_worker, holdfast_reporter;
SQL
