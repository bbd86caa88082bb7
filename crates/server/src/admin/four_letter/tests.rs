//! Texts against those that Apache ZooKeeper 3.9.5 gave in the same state.
//!
//! The state: two sessions, three ephemerals, four watches (one on children), two connections that
//! never said a word, and the one that asks.

mod ensemble;

use super::*;
use crate::config::Flags;
use ostler_node::messages::ConnId;
use ostler_node::status::{ExpiryBucket, SessionReport, ShardCounters, ShardMetrics, WatchReport};
use ostler_tree::Tree;
use ostler_wire::acl::Acl;
use ostler_wire::ids::{Xid, Zxid};
use ostler_wire::txn::{CreateKind, CreateTxn, Txn, TxnHeader};

#[test]
fn srvr() {
    check(b"srvr", 39_950, &format!("Zookeeper version: {}\n{COUNTERS}", version::full()));
}

#[test]
fn stat() {
    let clients = "\
Clients:
 /127.0.0.1:39980[1](queued=0,recved=0,sent=0)
 /127.0.0.1:39966[1](queued=0,recved=0,sent=0)
 /127.0.0.1:39928[1](queued=0,recved=3,sent=3)
 /127.0.0.1:39924[1](queued=0,recved=7,sent=7)
 /127.0.0.1:40016[0](queued=0,recved=1,sent=0)

";
    let expected = format!("Zookeeper version: {}\n{clients}{COUNTERS}", version::full());
    check(b"stat", 40_016, &expected);
}

const COUNTERS: &str = "\
Latency min/avg/max: 0/1.6/7
Received: 15
Sent: 15
Connections: 5
Outstanding: 0
Zxid: 0x8
Mode: standalone
Node count: 9
";

#[test]
fn cons() {
    check(
        b"cons",
        40_056,
        " /127.0.0.1:39980[1](queued=0,recved=0,sent=0)
 /127.0.0.1:39966[1](queued=0,recved=0,sent=0)
 /127.0.0.1:39928[1](queued=0,recved=3,sent=3,sid=0x100001e54fa0002,lop=GETD,\
est=1795294793131,to=8000,lcxid=0x2,lzxid=0x8,lresp=2014749,llat=0,minlat=0,avglat=0,maxlat=1)
 /127.0.0.1:39924[1](queued=0,recved=7,sent=7,sid=0x100001e54fa0001,lop=GETC,\
est=1795294793129,to=10000,lcxid=0x6,lzxid=0x8,lresp=2014750,llat=1,minlat=0,avglat=2,maxlat=7)
 /127.0.0.1:40056[0](queued=0,recved=1,sent=0)

",
    );
}

#[test]
fn a_connection_whose_counters_were_reset() {
    let config = config("*");
    let mut report = report(&config, 40_188);
    report.shards.truncate(1);
    let mut conn = report.shards[0].connections.pop().expect("the last one");
    (conn.received, conn.sent) = (0, 0);
    let session = conn.session.as_mut().expect("it has one");
    (session.last_op, session.last_cxid, session.last_zxid) = ("NA", Xid(-1), Zxid::NONE);
    (session.last_response_ms, session.last_latency_ms) = (0, 0);
    session.latency = LatencyStats::default();
    (conn.queued, conn.writing) = (12, true);
    report.shards[0].connections = vec![conn];
    let expected = " /127.0.0.1:39924[5](queued=12,recved=0,sent=0,sid=0x100001e54fa0001,lop=NA,\
                    est=1795294793129,to=10000,lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,\
                    avglat=0,maxlat=0)\n\n";
    assert_eq!(answer(b"cons", &report), expected);
}

#[test]
fn dump() {
    let config = config("*");
    let mut text = String::new();
    dump_in(&report(&config, 40_062), &TimeZone::UTC, &mut text);
    let expected = "\
SessionTracker dump:
Session Sets (2)/(2):
1 expire at Sat Nov 21 21:00:02 UTC 2026:
\t0x100001e54fa0002
1 expire at Sat Nov 21 21:00:04 UTC 2026:
\t0x100001e54fa0001
ephemeral nodes dump:
Sessions with Ephemerals (2):
0x100001e54fa0001:
\t/w/eph
\t/w/eph2
0x100001e54fa0002:
\t/w/beph
Connections dump:
Connections Sets (1)/(5):
5 expire at Sat Nov 21 21:00:08 UTC 2026:
\tip: /127.0.0.1:39980 sessionId: 0x0
\tip: /127.0.0.1:39966 sessionId: 0x0
\tip: /127.0.0.1:39928 sessionId: 0x100001e54fa0002
\tip: /127.0.0.1:39924 sessionId: 0x100001e54fa0001
\tip: /127.0.0.1:40062 sessionId: 0x0
";
    assert_eq!(text, expected);
    assert!(answer(b"dump", &report(&config, 40_062)).starts_with("SessionTracker dump:\n"));
}

#[test]
fn connections_expire_by_ticks_of_the_monotonic_clock() {
    let config = config("*");
    let mut report = report(&config, 40_062);
    for (conn, idle_deadline_ms) in report.shards[0].connections.iter_mut().zip([1999, 2000, 3999])
    {
        conn.idle_deadline_ms = idle_deadline_ms;
    }
    report.shards[0].connections.truncate(3);
    report.shards.truncate(1);
    (report.now_ms, report.now_wall) = (1500, WallMs(1_795_294_800_500));
    let mut text = String::new();
    dump_in(&report, &TimeZone::UTC, &mut text);
    let (_, connections) = text.split_once("Connections Sets ").expect("the last part");
    let expected = "\
(2)/(3):
1 expire at Sat Nov 21 21:00:01 UTC 2026:
\tip: /127.0.0.1:39980 sessionId: 0x0
2 expire at Sat Nov 21 21:00:03 UTC 2026:
\tip: /127.0.0.1:39966 sessionId: 0x0
\tip: /127.0.0.1:39928 sessionId: 0x100001e54fa0002
";
    assert_eq!(connections, expected);
}

#[test]
fn watches() {
    check(b"wchs", 40_070, "2 connections watching 2 paths\nTotal watches:3\n");
    check(b"wchc", 40_072, "0x100001e54fa0001\n\t/none\n\t/w\n0x100001e54fa0002\n\t/w\n\n");
    check(
        b"wchp",
        40_074,
        "/none\n\t0x100001e54fa0001\n/w\n\t0x100001e54fa0001\n\t0x100001e54fa0002\n\n",
    );
}

#[test]
fn conf() {
    let expected = "\
clientPort=38063
secureClientPort=-1
dataDir=/srv/zk/version-2
dataDirSize=67109358
dataLogDir=/srv/zk/version-2
dataLogSize=67109359
tickTime=2000
maxClientCnxns=0
minSessionTimeout=4000
maxSessionTimeout=40000
clientPortListenBacklog=-1
serverId=0
";
    check(b"conf", 40_040, expected);
}

#[test]
fn mntr() {
    let gauges = "\
zk_server_state standalone
zk_ephemerals_count 3
zk_num_alive_connections 5
zk_avg_latency 1.6
zk_outstanding_requests 0
zk_znode_count 9
zk_global_sessions 2
zk_non_mtls_remote_conn_count 0
zk_last_client_response_size 43
zk_packets_sent 15
zk_packets_received 15
zk_max_client_response_size 93
zk_connection_drop_probability 0.0
zk_watch_count 4
zk_auth_failed_count 0
zk_min_latency 0
zk_max_file_descriptor_count 20000
zk_approximate_data_size 73
zk_open_file_descriptor_count 67
zk_local_sessions 0
zk_uptime 27286
zk_max_latency 7
zk_outstanding_tls_handshake 0
zk_min_client_response_size 16
zk_non_mtls_local_conn_count 0
";
    let gauges = gauges.to_owned() + COUNTS;
    let expected = format!("zk_version\t{}\n{}", version::full(), gauges.replace(' ', "\t"));
    check(b"mntr", 40_030, &expected);
}

/// The counters of `mntr`, as a server has them that is alone.
const COUNTS: &str = "\
zk_watch_bytes 0
zk_stale_requests_dropped 0
zk_throttled_ops 0
zk_insecure_admin_count 0
zk_connection_rejected 3
zk_sessionless_connections_expired 0
zk_dead_watchers_queued 0
zk_stale_requests 0
zk_connection_drop_count 0
zk_response_packet_cache_hits 0
zk_bytes_received_count 437
zk_add_dead_watcher_stall_time 0
zk_response_packet_cache_misses 0
zk_response_bytes 624
zk_diff_count 0
zk_connection_revalidate_count 0
zk_unrecoverable_error_count 0
zk_commit_count 0
zk_proposal_count 0
zk_large_requests_rejected 0
zk_restore_error_count 0
zk_cnxn_closed_without_zk_server_running 0
zk_looking_count 0
zk_snapshot_rate_limited_count 0
zk_learner_proposal_received_count 0
zk_digest_mismatches_count 0
zk_dead_watchers_cleared 0
zk_learner_commit_received_count 0
zk_snapshot_error_count 0
zk_connection_request_count 2
zk_response_packet_get_children_cache_misses 0
zk_snap_count 0
zk_stale_sessions_expired 5
zk_restore_rate_limited_count 0
zk_response_packet_get_children_cache_hits 0
zk_tls_handshake_exceeded 0
zk_revalidate_count 0
";

#[test]
fn a_server_that_has_just_started() {
    let config = config("*");
    let mut report = report(&config, 39_798);
    report.replica.tree = Tree::fresh(1);
    report.replica.expiry.clear();
    report.shards = vec![ShardReport::default(), ShardReport::default()];
    let mut text = String::new();
    dump_in(&report, &TimeZone::UTC, &mut text);
    let expected = "SessionTracker dump:\nSession Sets (0)/(0):\nephemeral nodes dump:\n\
                    Sessions with Ephemerals (0):\nConnections dump:\nConnections Sets (0)/(0):\n";
    assert_eq!(text, expected);
    assert_eq!(answer(b"cons", &report), "\n");
    assert_eq!(answer(b"wchc", &report), "\n");
    assert_eq!(answer(b"wchp", &report), "\n");
    assert_eq!(answer(b"wchs", &report), "0 connections watching 0 paths\nTotal watches:0\n");
    assert!(answer(b"srvr", &report).ends_with("Zxid: 0x0\nMode: standalone\nNode count: 5\n"));
    assert!(answer(b"srvr", &report).contains("\nLatency min/avg/max: 0/0.0/0\n"));
    assert!(answer(b"mntr", &report).contains("\nzk_approximate_data_size\t44\n"));
    assert!(answer(b"mntr", &report).contains("\nzk_last_client_response_size\t-1\n"));
}

#[test]
fn words_that_need_no_report() {
    let config = config("*");
    for (word, expected) in [
        (b"ruok", "imok"),
        (b"gtmk", "306"),
        (b"stmk", ""),
        (b"\xff\xf4\xff\xfd", ""),
        (b"what", ""),
    ] {
        assert_eq!(answer_at_once(word, &config).as_deref(), Some(expected), "{word:?}");
        assert_eq!(answer(word, &report(&config, 1)), expected, "{word:?}");
    }
    assert_eq!(answer_at_once(b"mntr", &config), None);
}

#[test]
fn short_answers() {
    check(b"isro", 1, "rw");
    check(b"hash", 1, "");
    check(b"srst", 1, "Server stats reset.\n");
    check(b"crst", 1, "Connection stats reset.\n");
    check(b"dirs", 1, "datadir_size: 67109358\nlogdir_size: 67109359\n");
}

#[test]
fn the_whitelist_decides() {
    let (open, config) = (config("*"), config("srst, mntr"));
    let refusal = |word| format!("{word} is not executed because it is not in the whitelist.\n");
    for word in [b"ruok", b"crst", b"wchc", b"envi", b"stmk"] {
        let text = refusal(str::from_utf8(word).expect("letters"));
        assert_eq!(answer_at_once(word, &config), Some(text));
    }
    assert_eq!(answer_at_once(b"what", &config).as_deref(), Some(""), "no word at all");
    assert_eq!(answer_at_once(b"srvr", &config), None, "always allowed");
    let (open, report) = (report(&open, 1), report(&config, 1));
    assert_eq!(reset_by(b"srst", &report), Some(Reset::Server));
    assert_eq!(reset_by(b"crst", &report), None);
    assert_eq!(reset_by(b"crst", &open), Some(Reset::Connections));
    assert_eq!(reset_by(b"stat", &report), None);
}

#[test]
fn single_watches_are_asked_for_only_where_they_are_told() {
    let wanting: Vec<&[u8; 4]> =
        WORDS.iter().map(|(word, _)| *word).filter(|word| wants_watches(word)).collect();
    assert_eq!(wanting, [b"wchc", b"wchp", b"wchs"]);
}

#[test]
fn directories_are_absolute_and_have_no_empty_names() {
    let here = std::env::current_dir().expect("a directory");
    let below = |path: &str| format!("{}/{path}", here.display());
    for (configured, expected) in [
        ("/srv//zk/", "/srv/zk/version-2".to_owned()),
        ("/", "/version-2".to_owned()),
        ("data", below("data/version-2")),
        ("./data", below("./data/version-2")),
        ("../data", below("../data/version-2")),
    ] {
        assert_eq!(directory(Path::new(configured)), expected, "{configured}");
    }
}

#[track_caller]
fn check(word: &[u8; 4], asking_port: u16, expected: &str) {
    let config = config("*");
    assert_eq!(answer(word, &report(&config, asking_port)), expected);
}

fn config(whitelist: &str) -> Config {
    let mut flags = Flags::none();
    flags.define_argument(&format!("zookeeper.4lw.commands.whitelist={whitelist}"));
    let arguments = ["38063", "/srv/zk", "2000", "0"].map(str::to_owned);
    Config::from_arguments(&arguments, &flags).expect("a configuration")
}

const A: SessionId = SessionId(0x100_001e_54fa_0001);
const B: SessionId = SessionId(0x100_001e_54fa_0002);

/// Two shards: one has all connections but the one that asks, the other one has that.
fn report(config: &Config, asking_port: u16) -> ServerReport<'_> {
    let bucket = |at: i64, session| ExpiryBucket {
        at: WallMs(1_795_294_800_000 + at),
        sessions: vec![session],
    };
    ServerReport {
        config,
        client_port: Some(38_063),
        shards: vec![busy_shard(), asking_shard(asking_port)],
        replica: ReplicaReport {
            tree: tree(),
            expiry: vec![bucket(2000, B), bucket(4000, A)],
            in_flight: 0,
            commits: 8,
            expired_sessions: 5,
            mode: Mode::Standalone,
            ensemble: None,
        },
        now_wall: WallMs(1_795_294_793_500),
        now_ms: 2_015_000,
        uptime_ms: 27_286,
        data_dir_size_bytes: 67_109_358,
        log_dir_size_bytes: 67_109_359,
        open_files: 67,
        max_files: 20_000,
    }
}

fn busy_shard() -> ShardReport {
    let mut a = conn(39_924, 7, 7);
    a.session = Some(SessionReport {
        session: A,
        last_op: "GETC",
        established: WallMs(1_795_294_793_129),
        timeout_ms: 10_000,
        last_cxid: Xid(6),
        last_zxid: Zxid(8),
        last_response_ms: 2_014_750,
        last_latency_ms: 1,
        latency: latency(7, 15, 7),
    });
    let mut b = conn(39_928, 3, 3);
    b.session = Some(SessionReport {
        session: B,
        last_op: "GETD",
        established: WallMs(1_795_294_793_131),
        timeout_ms: 8000,
        last_cxid: Xid(2),
        last_zxid: Zxid(8),
        last_response_ms: 2_014_749,
        last_latency_ms: 0,
        latency: latency(3, 1, 1),
    });
    let watch = |path: &str, sessions| WatchReport { path: path.into(), sessions };
    ShardReport {
        connections: vec![conn(39_980, 0, 0), conn(39_966, 0, 0), b, a],
        counters: ShardCounters {
            packets_received: 10,
            packets_sent: 11,
            latency: latency(10, 16, 7),
            responses: Sizes { last_bytes: 43, min_bytes: 16, max_bytes: 93 },
            auth_failed: 0,
        },
        metrics: ShardMetrics { bytes_received: 433, response_bytes: 624, ..Default::default() },
        outstanding: 0,
        data_watches: vec![watch("/w", vec![B, A]), watch("/none", vec![A])],
        watch_counts: (3, 1),
    }
}

fn asking_shard(port: u16) -> ShardReport {
    let mut asking = conn(port, 1, 0);
    asking.reading = false;
    let counters = ShardCounters { packets_received: 5, packets_sent: 4, ..Default::default() };
    let metrics = ShardMetrics {
        bytes_received: 4,
        connection_requests: 2,
        connections_rejected: 3,
        ..Default::default()
    };
    ShardReport { connections: vec![asking], counters, metrics, ..Default::default() }
}

fn conn(port: u16, received: u64, sent: u64) -> ConnReport {
    ConnReport {
        conn: ConnId { slot: 0, generation: 0 },
        remote: ([127, 0, 0, 1], port).into(),
        queued: 0,
        received,
        sent,
        reading: true,
        writing: false,
        session: None,
        idle_deadline_ms: 2_028_000,
    }
}

fn latency(count: u64, total_ms: u64, max_ms: u64) -> LatencyStats {
    LatencyStats { count, total_ms, min_ms: 0, max_ms }
}

fn tree() -> Tree {
    let mut tree = Tree::fresh(1);
    let create = |path: &'static str, data: &'static [u8], kind| {
        let data = Some(data);
        Txn::Create(CreateTxn {
            kind,
            path: path.into(),
            data,
            acl: Acl::open(),
            parent_cversion: -1,
        })
    };
    let plain = |ephemeral| CreateKind::Plain { ephemeral };
    let close = Txn::CloseSession { paths: Some(Vec::new()) };
    for (zxid, session, txn) in [
        (1, SessionId(7), Txn::CreateSession { timeout_ms: 4000 }),
        (2, SessionId(7), close),
        (3, A, Txn::CreateSession { timeout_ms: 10_000 }),
        (4, B, Txn::CreateSession { timeout_ms: 8000 }),
        (5, A, create("/w", b"hello", plain(false))),
        (6, A, create("/w/eph", b"x", plain(true))),
        (7, A, create("/w/eph2", b"y", plain(true))),
        (8, B, create("/w/beph", b"", plain(true))),
    ] {
        let header =
            TxnHeader { session, cxid: Xid(0), zxid: Zxid(zxid), time: WallMs(1_795_294_793_000) };
        tree.apply(&header, &txn, &mut Vec::new());
    }
    tree
}
