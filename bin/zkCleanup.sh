#!/usr/bin/env bash
# Removes old snapshots and logs from the directories that the configuration names; meant for
# timers, also while the server runs. A server can do that by itself: autopurge.purgeInterval.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

value_of() { # <key>
  sed -n -E "s/^[[:space:]]*$1[[:space:]]*[=:][[:space:]]*(.*)\$/\1/p" "$ZOOCFG" |
    tail -n 1 | sed -E 's/[[:space:]]+$//'
}

directories=("$(value_of dataDir)")
log_directory="$(value_of dataLogDir)"
if [ -n "$log_directory" ]; then
  directories=("$log_directory" "${directories[@]}")
fi

exec "$OSTLER" script PurgeTxnLog "${directories[@]}" "$@"
