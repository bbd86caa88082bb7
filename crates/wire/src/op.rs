//! The table of operations.

/// How a server treats an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpKind {
    /// Answered from the tree that this server has.
    Read,
    /// Becomes a transaction (or, for sync, waits for those before it).
    Write,
    /// Concerns the connection alone and is answered at once.
    Connection,
    /// Only ever part of a multi, or between servers.
    Internal,
}

macro_rules! ops {
    ($($name:ident = $number:literal, $kind:ident, $text:literal, $short:literal;)*) => {
        /// An operation that ZooKeeper 3.9 knows.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum OpCode {
            $(
                #[doc = concat!("`", $text, "`")]
                $name,
            )*
        }

        impl OpCode {
            /// Every operation, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The operation of this number.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> i32 {
                match self { $(Self::$name => $number,)* }
            }

            /// How a server treats it.
            #[must_use]
            pub fn kind(self) -> OpKind {
                match self { $(Self::$name => OpKind::$kind,)* }
            }

            /// Its name in ZooKeeper's documentation.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The abbreviation that the four-letter word `cons` prints.
            #[must_use]
            pub fn short_name(self) -> &'static str {
                match self { $(Self::$name => $short,)* }
            }
        }
    };
}

ops! {
    CloseSession = -11, Write, "closeSession", "CLOS";
    CreateSession = -10, Internal, "createSession", "SESS";
    Create = 1, Write, "create", "CREA";
    Delete = 2, Write, "delete", "DELE";
    Exists = 3, Read, "exists", "EXIS";
    GetData = 4, Read, "getData", "GETD";
    SetData = 5, Write, "setData", "SETD";
    GetAcl = 6, Read, "getACL", "GETA";
    SetAcl = 7, Write, "setACL", "SETA";
    GetChildren = 8, Read, "getChildren", "GETC";
    Sync = 9, Write, "sync", "SYNC";
    Ping = 11, Read, "ping", "PING";
    GetChildren2 = 12, Read, "getChildren2", "GETC";
    Check = 13, Internal, "check", "CHEC";
    Multi = 14, Write, "multi", "MULT";
    Create2 = 15, Write, "create2", "CREA";
    Reconfig = 16, Write, "reconfig", "RECO";
    CheckWatches = 17, Read, "checkWatches", "CHKW";
    RemoveWatches = 18, Read, "removeWatches", "REMW";
    CreateContainer = 19, Write, "createContainer", "CREA";
    DeleteContainer = 20, Internal, "deleteContainer", "DELE";
    CreateTtl = 21, Write, "createTTL", "CREA";
    MultiRead = 22, Read, "multiRead", "MLTR";
    Auth = 100, Connection, "auth", "NA";
    SetWatches = 101, Read, "setWatches", "SETW";
    Sasl = 102, Connection, "sasl", "NA";
    GetEphemerals = 103, Read, "getEphemerals", "GETE";
    GetAllChildrenNumber = 104, Read, "getAllChildrenNumber", "GETACN";
    SetWatches2 = 105, Read, "setWatches2", "STW2";
    AddWatch = 106, Read, "addWatch", "ADDW";
    WhoAmI = 107, Read, "whoAmI", "HOMI";
}
