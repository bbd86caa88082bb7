#!/usr/bin/env bash
# Prints a transaction log, or writes a repaired or cut copy of it.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

exec "$OSTLER" script TxnLogToolkit "$@"
