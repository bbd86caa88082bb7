# Sourced by the scripts (zkServer.sh and others). The service does not need them.

# Where zkServer.sh start puts what a server prints.
ZOO_LOG_DIR="${ZOO_LOG_DIR:-/var/log/ostler}"

# Definitions such as -Djute.maxbuffer=4194304.
#SERVER_JVMFLAGS=
#CLIENT_JVMFLAGS=
