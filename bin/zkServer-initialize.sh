#!/usr/bin/env bash
# Prepares an empty data directory, with the server's number if it is one of several.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

exec "$OSTLER" script initialize "$0" "$ZOOCFG" "$@"
