#!/bin/sh
# Asks Holdfast for a backup of a job.
#
#     AMQP_URL=amqp://USER:PASSWORD@HOST/VIRTUAL_HOST ./publish.sh JOB [ID]
#
# ID is a UUID and makes it idempotent: however often it is published, the task runs once. Without it a new one is made, and
# printed before anything is sent. TRACEPARENT names the trace that the task is to belong to; without it a new one begins.
#
# amqp-publish (Debian: amqp-tools) can neither ask for a confirm, nor publish as mandatory, nor set a message id. So 0 only says
# that the message was sent, not that the broker has kept it: while it is short of memory or disk, or when the queue is full,
# it is lost without a word. Publish again with the same ID until the task is seen, or use one of the other examples.
# Ends with 1 when it could not be sent, with 2 when the arguments are wrong.
set -eu

fail() {
    echo "publish.sh: $2" >&2
    exit "$1"
}

[ -n "${AMQP_URL:-}" ] || fail 2 'AMQP_URL is not set'
{ [ $# -eq 1 ] || [ $# -eq 2 ]; } || fail 2 'usage: publish.sh JOB [ID]'
job=$1
id=${2:-$(cat /proc/sys/kernel/random/uuid)}
# Both stand in JSON below.
matches() { printf '%s' "$1" | LC_ALL=C grep -Eqx "$2" && [ "$(printf '%s' "$1" | wc -l)" -eq 0 ]; }
matches "$job" '[A-Za-z0-9][A-Za-z0-9._-]{0,62}' || fail 2 'usage: publish.sh JOB [ID]'
matches "$id" '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}' || fail 2 "$id is not a UUID"

# The parts of amqp://USER:PASSWORD@HOST[:PORT][/VIRTUAL_HOST], taken as they are but for a virtual host %2f.
rest=${AMQP_URL#amqp://}
login=${rest%@*}
place=${rest##*@}
host=${place%%/*}
port=5672
case $host in *:*) port=${host##*:} host=${host%:*} ;; esac
vhost=/
case $place in */?*) vhost=${place#*/} ;; esac
case $vhost in %2[fF]) vhost=/ ;; esac
case $AMQP_URL in amqp://*:*@?*) ;; *) fail 2 'AMQP_URL: use amqp://USER:PASSWORD@HOST/VIRTUAL_HOST' ;; esac

random() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }
trace=${TRACEPARENT:-00-$(random 16)-$(random 8)-01}

# Others on this machine could read a password on a command line.
secret=$(mktemp)
trap 'rm -f "$secret"' EXIT
printf 'username:%s\npassword:%s\n' "${login%%:*}" "${login#*:}" > "$secret"

echo "$id"
amqp-publish --server="$host" --port="$port" --vhost="$vhost" --authfile="$secret" \
    --exchange=holdfast.tasks --routing-key=backup.normal --persistent --content-type=application/json \
    --header="traceparent: $trace" \
    --body="{\"version\":1,\"id\":\"$id\",\"kind\":\"backup\",\"job\":\"$job\",\"enqueued_at\":\"$(date -u +%FT%TZ)\",\"requested_by\":\"publish.sh\"}" \
    || fail 1 "it was not sent; publish again with the id $id"
