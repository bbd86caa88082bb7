#!/usr/bin/env bash
# The command line shell, with the arguments, commands, output and exit codes that tutorials and
# scripts know from ZooKeeper's script of the same name. `zkCli.sh help` lists the commands.
set -u

# shellcheck source-path=SCRIPTDIR source=zkEnv.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/zkEnv.sh"

# The shell reads -D definitions of the client from here, whichever of the two names they were given
# under.
CLIENT_JVMFLAGS="${CLIENT_JVMFLAGS-}${JVMFLAGS:+ $JVMFLAGS}"
export CLIENT_JVMFLAGS

exec "$OSTLER" shell "$@"
