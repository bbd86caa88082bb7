#!/usr/bin/env bash
# Tells how two snapshots differ.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

exec "$OSTLER" script SnapshotComparer "$@"
