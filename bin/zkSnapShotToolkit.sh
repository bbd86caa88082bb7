#!/usr/bin/env bash
# Prints every znode of a snapshot.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

exec "$OSTLER" script SnapshotFormatter "$@"
