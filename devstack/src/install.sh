# Installs Debian packages without starting the services they bring; run as root. Arguments: package names.
#
# The packages of PostgreSQL and RabbitMQ start a system-wide server at once. Holdfast never uses it, and it would
# take ports 5432 and 5672, which the developer may want for something else. Debian's own switch for this is the
# file below, which says 101 for "do not start". It is written only when there is none, removed at the end, and
# should this script be killed, it has no effect any more once the script's process is gone.
set -eu
policy=/usr/sbin/policy-rc.d
if [ -x "$policy" ] && grep -q 'holdfast setup' "$policy" && "$policy"; then
    rm -f "$policy"
fi
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    cat > "$policy" <<POLICY
#!/bin/sh
# Left by a killed "holdfast setup" (process $$)? Then this file is without effect and may be removed.
if grep -q holdfast-install /proc/$$/cmdline 2>/dev/null; then exit 101; fi
exit 0
POLICY
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
# Another apt may be at work, for example the nightly one: wait for it.
get() { apt-get -o DPkg::Lock::Timeout=300 -q "$@"; }
install() { get install -y --no-install-recommends "$@"; }
# A fresh system knows no packages yet, and a long unused one no longer existing releases of them.
install "$@" || { get update && install "$@"; }
