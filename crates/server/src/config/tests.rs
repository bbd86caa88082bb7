//! Configurations and what becomes of them, as data.

use super::{Config, ConfigError, ExitCode, Flags, FourLetterWhitelist};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// What stands on the disk and on the command line. In texts `{dir}` is the data directory and
/// `{cfg}` the configuration file.
#[derive(Default)]
struct Given {
    cfg: &'static str,
    flags: &'static str,
    myid: Option<&'static str>,
    dynamic: Option<&'static str>,
}

/// What becomes of it.
enum Expect<'a> {
    /// These fields stand in the debug text of the configuration.
    Has(&'a [&'a str]),
    /// These are the warnings.
    Warns(&'a [&'a str]),
    /// It is refused with exit code 2 and this line.
    Fails(&'a str),
    /// It is refused with exit code 1 and this line.
    Dies(&'a str),
}
use Expect::{Dies, Fails, Has, Warns};

fn check(given: &Given, expect: &Expect<'_>) {
    let dir = TempDir::new();
    let cfg = dir.path("zoo.cfg");
    let fill = |text: &str| {
        let text = text.replace("{dir}", &dir.0.display().to_string());
        text.replace("{cfg}", &cfg.display().to_string())
    };
    std::fs::write(&cfg, fill(given.cfg)).expect("writable");
    for (name, text) in [("myid", given.myid), ("dynamic", given.dynamic)] {
        if let Some(text) = text {
            std::fs::write(dir.path(name), fill(text)).expect("writable");
        }
    }
    let found = Config::load(&cfg, &Flags::from_environment(given.flags));
    judge(given.cfg, found, expect, fill);
}

fn judge(
    input: &str,
    found: Result<Config, ConfigError>,
    expect: &Expect<'_>,
    fill: impl Fn(&str) -> String,
) {
    match (found, expect) {
        (Ok(config), Has(fields)) => {
            let text = format!("{config:?}").replace(" }", ",");
            for field in *fields {
                let field = format!(" {},", fill(field));
                assert!(text.contains(&field), "input {input:?}: no{field} in {text}");
            }
        }
        (Ok(config), Warns(lines)) => {
            let lines: Vec<String> = lines.iter().map(|line| fill(line)).collect();
            assert_eq!(config.warnings, lines, "input {input:?}");
        }
        (Err(error), Fails(line) | Dies(line)) => {
            assert_eq!(error.to_string(), fill(line), "input {input:?}");
            let dies = matches!(expect, Dies(_));
            let code = if dies { ExitCode::UnexpectedError } else { ExitCode::InvalidInvocation };
            assert_eq!(error.exit_code(), code, "input {input:?}");
        }
        (Ok(config), Fails(_) | Dies(_)) => panic!("input {input:?} is taken: {config:#?}"),
        (Err(error), Has(_) | Warns(_)) => panic!("input {input:?} is refused: {error}"),
    }
}

/// A file alone. The data directory comes last, so that the lines of a case keep their numbers.
fn check_cfg(cfg: &'static str, expect: &Expect<'_>) {
    let cfg = String::from(cfg) + "\ndataDir={dir}\n";
    check(&Given { cfg: cfg.leak(), ..Given::default() }, expect);
}

#[test]
fn defaults() {
    let fields = [
        "config_path: Some(\"{cfg}\")",
        "client_port: None",
        "client_port_address: None",
        "client_port_listen_backlog: -1",
        "client_tcp_keep_alive: false",
        "sessionless_cnxn_timeout_ms: 10000",
        "max_client_cnxns: 60",
        "max_cnxns: 0",
        "global_outstanding_limit: 1000",
        "jute_max_buffer_bytes: 1048575",
        "jute_max_buffer_extra_bytes: 1048575",
        "tick_time_ms: 3000",
        "min_session_timeout_ms: 6000",
        "max_session_timeout_ms: 60000",
        "snap_count: 100000",
        "snap_size_limit_kb: 4194304",
        "txn_log_size_limit_kb: -1",
        "pre_alloc_size_kb: 65536",
        "force_sync: true",
        "fsync_warning_threshold_ms: 1000",
        "snapshot_compression: None",
        "snapshot_trust_empty: false",
        "serialize_last_processed_zxid: true",
        "datadir_autocreate: true",
        "digest_enabled: true",
        "autopurge_snap_retain_count: 3",
        "autopurge_purge_interval_hours: 0",
        "reconfig_enabled: false",
        "skip_acl: false",
        "digest_auth_enabled: true",
        "digest_alg: \"SHA1\"",
        "super_digest: None",
        "requests_max: 0",
        "stale_requests_dropped: false",
        "throttled_op_wait_ms: 0",
        "connections: ThrottleSettings { tokens_max: 0, fill_time_ms: 1, fill_count: 1, \
         freeze_time_ms: None, drop_increase_ppb: 20000000, drop_decrease_ppb: 2000000, \
         decrease_ratio_ppb: 0, weights: None",
        "large_request_threshold_bytes: None",
        "large_requests_max_bytes: 104857600",
        "sasl_auth_enabled: false",
        "any_sasl_user: None",
        "x509_auth_enabled: false",
        "x509_super_user: None",
        "ensemble_auth_enabled: false",
        "ensemble_auth_names: None",
        "required_auth_schemes: []",
        "data_dir: \"{dir}\"",
        "data_log_dir: \"{dir}\"",
        "server_id: None",
        "properties: {}",
        "warnings: []",
        "notes: []",
    ];
    check_cfg("", &Has(&fields));
}

#[test]
fn typed_keys() {
    check_cfg("clientPort=2181", &Has(&["client_port: Some(2181)"]));
    check_cfg("clientPort=0", &Has(&["client_port: None"]));
    check_cfg(
        "clientPort 2181\nclientPortAddress [::1]\nclientPortListenBacklog:7",
        &Has(&["client_port_address: Some(\"::1\")", "client_port_listen_backlog: 7"]),
    );
    let timeouts = |min, max| [format!("min_session_timeout_ms: {min}"), max_line(max)];
    for (cfg, min, max) in [
        ("tickTime=2000", 4000, 40000),
        ("tickTime=2000\nminSessionTimeout=-1\nmaxSessionTimeout=4000", 4000, 4000),
        ("tickTime=1\nminSessionTimeout=5\nmaxSessionTimeout=5", 5, 5),
        ("tickTime=2000000000", i32::MAX, i32::MAX),
    ] {
        let [min, max] = timeouts(min, max);
        check_cfg(cfg, &Has(&[&min, &max]));
    }
    check_cfg("dataLogDir=/logs", &Has(&["data_log_dir: \"/logs\""]));
    check_cfg("maxClientCnxns=0", &Has(&["max_client_cnxns: 0"]));
    check_cfg("maxClientCnxns=-1", &Has(&["max_client_cnxns: 0"]));
    check_cfg("autopurge.purgeInterval=24", &Has(&["autopurge_purge_interval_hours: 24"]));
    check_cfg("autopurge.snapRetainCount=1", &Has(&["autopurge_snap_retain_count: 3"]));
    check_cfg("initLimit=10\nsyncLimit=5\nelectionAlg=3\npeerType=observer", &Warns(&[]));
    check_cfg("reconfigEnabled=TRUE\nquorumListenOnAllIPs=False", &Warns(&[]));
}

fn max_line(max_ms: i32) -> String {
    format!("max_session_timeout_ms: {max_ms}")
}

#[test]
fn pass_through_keys() {
    check_cfg("snapCount=0x10", &Has(&["snap_count: 16"]));
    check_cfg("snapCount=010", &Has(&["snap_count: 8"]));
    check_cfg("snapCount=1", &Has(&["snap_count: 2"]));
    check_cfg("snapCount=99999999999", &Has(&["snap_count: 100000"]));
    check_cfg("snapSizeLimitInKb=99999999999", &Has(&["snap_size_limit_kb: 99999999999"]));
    check_cfg("preAllocSize=64\ntxnLogSizeLimitInKb=128", &Has(&["pre_alloc_size_kb: 64"]));
    check_cfg("forceSync=no", &Has(&["force_sync: false"]));
    check_cfg("forceSync=false", &Has(&["force_sync: true"]));
    check_cfg("skipACL=yes", &Has(&["skip_acl: true"]));
    check_cfg("skipACL=true", &Has(&["skip_acl: false"]));
    check_cfg("digest.enabled=yes", &Has(&["digest_enabled: false"]));
    check_cfg("digest.enabled=TRUE", &Has(&["digest_enabled: true"]));
    check_cfg("snapshot.compression.method=gz", &Has(&["snapshot_compression: Gzip"]));
    check_cfg("snapshot.compression.method=snappy", &Has(&["snapshot_compression: Snappy"]));
    check_cfg("snapshot.compression.method=zip", &Has(&["snapshot_compression: None"]));
    check_cfg("jute.maxbuffer.extrasize=5", &Has(&["jute_max_buffer_extra_bytes: 1024"]));
    check_cfg("fsync.warningthresholdms=20", &Has(&["fsync_warning_threshold_ms: 20"]));
    check_cfg("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory", &Warns(&[]));
    check_cfg(
        "DigestAuthenticationProvider.superDigest=super:abc=",
        &Has(&["super_digest: Some(\"super:abc=\")"]),
    );
}

#[test]
fn process_properties() {
    let with = |cfg, flags| Given { cfg, flags, ..Given::default() };
    check(
        &with("dataDir={dir}", "-Xmx1g -Djute.maxbuffer=0x400000 '-Dzookeeper.snapCount=5'"),
        &Has(&[
            "jute_max_buffer_bytes: 4194304",
            "jute_max_buffer_extra_bytes: 4194304",
            "snap_count: 5",
            "warnings: []",
        ]),
    );
    check(&with("snapCount=7\ndataDir={dir}", "-Dzookeeper.snapCount=5"), &Has(&["snap_count: 7"]));
    check(
        &with("dataDir={dir}", "-Dzookeeper.snapCount=5 -Dzookeeper.snapCount=6"),
        &Has(&["snap_count: 6"]),
    );
    check(&with("dataDir={dir}", "-Dzookeeper.tickTime=5"), &Has(&["tick_time_ms: 3000"]));
    let threshold = "-Dfsync.warningthresholdms=1";
    check(&with("dataDir={dir}", threshold), &Has(&["fsync_warning_threshold_ms: 1"]));
    check(
        &with("fsync.warningthresholdms=2\ndataDir={dir}", threshold),
        &Has(&["fsync_warning_threshold_ms: 2"]),
    );
    check(
        &with("dataDir={dir}", "-Dcom.sun.management.jmxremote -Dzookeeper.log.dir=/logs"),
        &Has(&[
            "warnings: []",
            "notes: [\"SERVER_JVMFLAGS: -Dcom.sun.management.jmxremote does not concern \
             Ostler\"]",
        ]),
    );
}

#[test]
fn names_without_effect() {
    check_cfg(
        "tickTime=2000\nfoo=1\n\nrequestThrottleLimit=5\nzookeeper.snapCount=5\nticktime=1",
        &Warns(&[
            "{cfg} line 2: foo is not known and is ignored",
            "{cfg} line 4: requestThrottleLimit is not known and is ignored (did you mean \
             request_throttle_max_requests?)",
            "{cfg} line 5: zookeeper.snapCount is not known and is ignored (did you mean \
             snapCount?)",
            "{cfg} line 6: ticktime is not known and is ignored (did you mean tickTime?)",
        ]),
    );
    check_cfg(
        "jute.maxbuffer=5\nsnapCount=many\nnio.numWorkerThreads=4\nadmin.serverPort=9090\n\
         secureClientPort=2281\nsnapCount=1\nssl.keyStore.password=secret\n\
         jute.maxbuffer.extrasize=x",
        &Warns(&[
            "{cfg} line 5: secureClientPort is not implemented in this version: ignored",
            "{cfg} line 1: jute.maxbuffer is not known and is ignored; set it as \
             -Djute.maxbuffer, for instance in SERVER_JVMFLAGS",
            "{cfg} line 3: nio.numWorkerThreads tunes a part Ostler does not have: ignored",
            "{cfg} line 4: admin.serverPort is not implemented in this version: ignored",
            "{cfg} line 6: snapCount is raised to 2, the least value",
            "{cfg} line 7: ssl.keyStore.password is not implemented in this version: ignored",
            "{cfg} line 8: jute.maxbuffer.extrasize is not a number: the default is used",
        ]),
    );
    // A setting that nothing acts upon is never passed over in silence.
    check_cfg(
        "closeSessionTxn.enabled=false",
        &Warns(&[
            "{cfg} line 1: closeSessionTxn.enabled tunes a part Ostler does not have: ignored",
        ]),
    );
    check_cfg(
        "snapCount=many",
        &Warns(&["{cfg} line 1: snapCount is not a number: 100000 is used"]),
    );
    check_cfg(
        "admin.serverPort=8080\naudit.enable=no\nmaxBatchSize=1000\nmaxResponseCacheSize=400\n\
         metricsProvider.className=org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
        &Warns(&[]),
    );
    check(
        &Given {
            cfg: "dataDir={dir}",
            flags: "-Dzookeeper.tickTime=1 -Dzookeeper.throttledOpWaitTime=1 -DsnapCount=3 \
                    -Dzookeeper.admin.serverPort=1 -Dzookeeper.x=1 -Dzookeeper.datadir=/d",
            ..Given::default()
        },
        &Warns(&[
            "SERVER_JVMFLAGS: -DsnapCount is not known and is ignored (did you mean \
             -Dzookeeper.snapCount?)",
            "SERVER_JVMFLAGS: -Dzookeeper.admin.serverPort is not implemented in this \
             version: ignored",
            "SERVER_JVMFLAGS: -Dzookeeper.datadir is not known and is ignored (did you mean \
             dataDir in the configuration file?)",
            "SERVER_JVMFLAGS: -Dzookeeper.throttledOpWaitTime is not known and is ignored (did \
             you mean -Dzookeeper.throttled_op_wait_time?)",
            "SERVER_JVMFLAGS: -Dzookeeper.tickTime is not known and is ignored; tickTime is read \
             from the configuration file only",
            "SERVER_JVMFLAGS: -Dzookeeper.x is not known and is ignored",
        ]),
    );
}

#[test]
fn relative_paths() {
    let given = Given { cfg: "dataDir=data\ndataLogDir=./logs", ..Given::default() };
    let relative = "data is relative. Prepend ./ to indicate that you're sure!";
    check(&given, &Warns(&[relative]));
}

const WRONG_VALUES: &[(&str, &str)] = &[
    ("\ntickTime=abc", "{cfg} line 2: tickTime=abc: For input string: \"abc\""),
    ("tickTime=0x10", "{cfg} line 1: tickTime=0x10: For input string: \"0x10\""),
    ("tickTime=", "{cfg} line 1: tickTime=: For input string: \"\""),
    ("tickTime=0", "{cfg}: tickTime is not set"),
    ("tickTime=-5", "{cfg}: tickTime is not set"),
    (
        "initLimit=9999999999",
        "{cfg} line 1: initLimit=9999999999: For input string: \
      \"9999999999\"",
    ),
    ("clientPort=70000", "{cfg} line 1: clientPort=70000: port out of range:70000"),
    ("clientPort=-1", "{cfg} line 1: clientPort=-1: port out of range:-1"),
    (
        "localSessionsEnabled=yes",
        "{cfg} line 1: localSessionsEnabled=yes: Invalid option yes for \
         localSessionsEnabled. Choose 'true' or 'false.'",
    ),
    (
        "electionAlg=1",
        "{cfg} line 1: electionAlg=1: Invalid electionAlg value. Only 3 is supported.",
    ),
    ("peerType=foo", "{cfg} line 1: peerType=foo: Unrecognised peertype: foo"),
    (
        "minSessionTimeout=9\nmaxSessionTimeout=8",
        "{cfg}: minSessionTimeout must not be larger than maxSessionTimeout",
    ),
    ("maxSessionTimeout=10", "{cfg}: minSessionTimeout must not be larger than maxSessionTimeout"),
    ("clientPortAddress=localhost", "{cfg}: clientPortAddress is set but clientPort is not set"),
    (
        "secureClientPortAddress=localhost",
        "{cfg}: secureClientPortAddress is set but secureClientPort is not set",
    ),
    (
        "metricsProvider.className=com.example.Mine",
        "{cfg} line 1: metricsProvider.className=com.example.Mine: metrics provider class \
         was not found",
    ),
    (
        "quorum.auth.serverRequireSasl=true",
        "{cfg}: quorum.auth.enableSasl is disabled, so cannot enable \
         quorum.auth.serverRequireSasl",
    ),
    (
        "quorum.auth.learnerRequireSasl=true",
        "{cfg}: quorum.auth.enableSasl is disabled, so cannot enable \
         quorum.auth.learnerRequireSasl",
    ),
    (
        "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
        "{cfg}: quorum.auth.learnerRequireSasl is disabled, so cannot enable \
         quorum.auth.serverRequireSasl",
    ),
    ("a=1\nb=\\u12", "{cfg} line 2: Malformed \\uxxxx encoding."),
];

#[test]
fn wrong_values() {
    for (cfg, line) in WRONG_VALUES {
        check_cfg(cfg, &Fails(line));
    }
    check_cfg(
        "serverCnxnFactory=com.example.Mine",
        &Dies(
            "{cfg} line 1: zookeeper.serverCnxnFactory=com.example.Mine: Couldn't instantiate \
             com.example.Mine",
        ),
    );
    for cfg in ["tickTime=2000", "dataDir=", ""] {
        check(&Given { cfg, ..Given::default() }, &Fails("{cfg}: dataDir is not set"));
    }
}

#[test]
fn missing_file() {
    let dir = TempDir::new();
    let path = dir.path("none.cfg");
    let error = Config::load(&path, &Flags::none()).expect_err("there is no file");
    assert_eq!(error.to_string(), format!("{} file is missing", path.display()));
    assert_eq!(error.exit_code(), ExitCode::InvalidInvocation);
    assert!(Config::load(&dir.0, &Flags::none()).is_err(), "a directory is no file");
}

#[test]
fn one_server_runs_alone() {
    let given = |cfg, myid| Given { cfg, myid, ..Given::default() };
    let one = "server.1=a:2888:3888;127.0.0.1:2182\ndataDir={dir}";
    check(
        &given(one, Some("1\n")),
        &Warns(&["Invalid configuration, only one server specified (ignoring)"]),
    );
    let address = [
        "server_id: Some(1)",
        "client_port: Some(2182)",
        "client_port_address: Some(\"127.0.0.1\")",
    ];
    check(&given(one, Some("1")), &Has(&address));
    check(&given(one, None), &Has(&["client_port: None", "server_id: None"]));
    check(&given(one, Some(" 7 \nx")), &Has(&["client_port: None"]));
    check(&given(one, Some("-1")), &Has(&["client_port: None", "server_id: None"]));
    check(
        &given("server.1=a:1:2;3\nstandaloneEnabled=false\ndataDir={dir}", Some("1")),
        &Fails("{cfg}: initLimit is not set"),
    );
    check(
        &given(
            "server.1=a:1:2;3\nstandaloneEnabled=false\ninitLimit=1\nsyncLimit=1\ndataDir={dir}",
            Some("1"),
        ),
        &Warns(&["No server failure will be tolerated. You need at least 3 servers."]),
    );
    check(
        &given("clientPort=2182\nserver.1=a:1:2;2182\ndataDir={dir}", Some("1")),
        &Has(&["client_port: Some(2182)", "client_port_address: None"]),
    );
    check(
        &given(
            "clientPort=2181\nclientPortAddress=127.0.0.1\nserver.1=a:1:2;127.0.0.1:33333\n\
                dataDir={dir}",
            Some("1"),
        ),
        &Fails(
            "{cfg}: client address for this server (id = 1) in static config file is \
             /127.0.0.1:2181 is different from client address found in dynamic file: \
             /127.0.0.1:33333",
        ),
    );
    check(&given("dataDir={dir}", Some("abc")), &Fails("{dir}/myid: serverid abc is not a number"));
}

#[test]
fn ensembles_are_checked() {
    const TWO: &str = "server.1=a:1:2\nserver.2=b:1:2\ndataDir={dir}\n";
    const LIMITED: &str = "server.1=a:1:2\nserver.2=b:1:2\ninitLimit=5\nsyncLimit=2\ndataDir={dir}";
    let given = |cfg, myid| Given { cfg, myid, ..Given::default() };
    check(&given(TWO, None), &Fails("{cfg}: initLimit is not set"));
    check(
        &given("server.1=a:1:2\nserver.2=b:1:2\ninitLimit=5\ndataDir={dir}", None),
        &Fails("{cfg}: syncLimit is not set"),
    );
    check(&given(LIMITED, None), &Fails("{cfg}: myid file is missing ({dir}/myid)"));
    check(&given(LIMITED, Some("-1")), &Fails("{cfg}: myid file is missing ({dir}/myid)"));
    check(&given(LIMITED, Some("abc")), &Fails("{dir}/myid: serverid abc is not a number"));
    check(&given(LIMITED, Some("9")), &Dies("{cfg}: My id 9 not in the peer list"));
    check(
        &given(LIMITED, Some("1")),
        &Warns(&["No server failure will be tolerated. You need at least 3 servers."]),
    );
    for (cfg, line) in [
        (
            "server.1=a:1:1",
            "{cfg} line 1: server.1=a:1:1: Client and election port must be \
          different! Please update the configuration file on server.1",
        ),
        ("server.1=a:x:3", "{cfg} line 1: server.1=a:x:3: Address unresolved: a:x"),
        ("server.1=a:1:2:foo", "{cfg} line 1: server.1=a:1:2:foo: Unrecognised peertype: foo"),
        (
            "server.1=a:1:2|b:1:2",
            "{cfg} line 1: server.1=a:1:2|b:1:2: Multiple address feature is disabled, but \
             multiple addresses were specified for sid 1",
        ),
        (
            "server.1=a:1:2\nserver.2=b:1:2:observer",
            "{cfg}: Observers w/o quorum is an invalid configuration",
        ),
        (
            "server.2=b:1:2:observer",
            "{cfg}: Observers w/o participants is an invalid configuration",
        ),
        (
            "standaloneEnabled=false",
            "{cfg}: standaloneEnabled = false then number of participants should be >0",
        ),
        (
            "server.9223372036854775808=a:1:2",
            "{cfg} line 1: server.9223372036854775808=a:1:2: For input string: \
             \"9223372036854775808\"",
        ),
        ("server.1=a:1:2\ngroup.1=3", "{cfg}: Server 1is not in a group"),
        ("group.1=1:2\ngroup.2=2", "{cfg} line 2: group.2=2: Server 2is in multiple groups"),
    ] {
        check_cfg(cfg, &Fails(line));
    }
}

#[test]
fn members_of_ensembles() {
    const THREE: &str = "tickTime=2000\ninitLimit=10\nsyncLimit=5\nserver.1=a:1:2\n\
                         server.2=b:1:2;9\nserver.3=c:1:2:observer\nserver.4=d:1:2\ndataDir={dir}";
    let with = |more: &str| -> &'static str { (THREE.to_owned() + "\n" + more).leak() };
    let given = |more, myid| Given { cfg: with(more), myid: Some(myid), ..Given::default() };
    let defaults = [
        "my_id: 1",
        "role: Participant",
        "client_in_server_line: false",
        "init_limit: 10",
        "sync_limit: 5",
        "epoch_wait_max_ms: None",
        "silence_max_ms: None",
        "listen_on_all: false",
        "bind_tries_max: 3",
        "election_dial_timeout_ms: 5000",
        "election_hello_timeout_ms: 10000",
        "keep_alive: false",
        "leader_no_delay: true",
        "follower_no_delay: true",
        "notification_min_ms: 200",
        "notification_max_ms: 60000",
        "connect_limit: None",
        "redial_pause_ms: 100",
        "snap_syncs_max: 10",
        "observer_rest_max_ms: 0",
        "keeps_log: true",
        "leader_serves: true",
        "commit_log_count: 500",
        "snapshot_sync_forced: false",
        "db_autocreate: true",
    ];
    check(&given("", "1"), &Has(&defaults));
    check(&given("", "2"), &Has(&["client_in_server_line: true", "client_port: Some(9)"]));
    check(
        &given(
            "leader.maxTimeToWaitForEpoch=7\nforceSnapshotSync=true\n\
             ostler.silenceMaxMs=300\nquorumListenOnAllIPs=true\nelectionPortBindRetry=0\n\
             cnxTimeout=50\nquorumCnxnTimeoutMs=60\nfastleader.minNotificationInterval=10\n\
             fastleader.maxNotificationInterval=20\ntcpKeepAlive=true\ncommitLogCount=1000\n\
             db.autocreate=false\nleaderServes=no\nconnectToLearnerMasterLimit=3\n\
             leaderConnectDelayDuringRetryMs=30\nleader.maxConcurrentSnapSyncs=2\n\
             leader.maxConcurrentDiffSyncs=0\nobserver.reconnectDelayMs=400\n\
             observer.election.DelayMs=50",
            "1",
        ),
        &Has(&[
            "epoch_wait_max_ms: Some(7)",
            "silence_max_ms: Some(300)",
            "snapshot_sync_forced: true",
            "listen_on_all: true",
            "bind_tries_max: 0",
            "election_dial_timeout_ms: 50",
            "election_hello_timeout_ms: 60",
            "notification_min_ms: 10",
            "notification_max_ms: 20",
            "keep_alive: true",
            "commit_log_count: 1000",
            "db_autocreate: false",
            "leader_serves: false",
            "connect_limit: Some(3)",
            "redial_pause_ms: 30",
            "snap_syncs_max: 2",
            "diff_syncs_max: 100",
            "observer_rest_max_ms: 450",
        ]),
    );
    const OTHER: &str = "Peer type from servers list (OBSERVER) doesn't match peerType \
                         (PARTICIPANT). Defaulting to servers list.";
    check(&given("", "3"), &Warns(&[OTHER]));
    check(&given("peerType=observer", "3"), &Warns(&[]));
    check(
        &given("oraclePath=/o\nlearner.asyncSending=true", "1"),
        &Warns(&[
            "{cfg} line 10: learner.asyncSending tunes a part Ostler does not have: ignored",
            "{cfg} line 9: oraclePath is not implemented in this version: ignored",
        ]),
    );
    check(
        &given("sslQuorum=true", "1"),
        &Fails(
            "{cfg} line 9: sslQuorum=true: connections between servers cannot be protected in \
             this version",
        ),
    );
}

#[test]
fn dynamic_file() {
    let given = |cfg, dynamic| Given { cfg, dynamic: Some(dynamic), ..Given::default() };
    const PLAIN: &str = "dataDir={dir}\ndynamicConfigFile={dir}/dynamic";
    check(
        &given(PLAIN, "# one\nserver.1=a:1:2:participant;0.0.0.0:2181"),
        &Warns(&["Invalid configuration, only one server specified (ignoring)"]),
    );
    check(
        &given(PLAIN, "foo=1"),
        &Fails("{dir}/dynamic line 1: foo=1: Unrecognised parameter: foo"),
    );
    check(
        &given(PLAIN, "\nversion=1"),
        &Fails("{dir}/dynamic line 2: version=1: dynamic file shouldn't have version inside"),
    );
    check(
        &given("dataDir={dir}\ndynamicConfigFile={dir}/dynamic\nserver.1=a:1:2", ""),
        &Fails(
            "{cfg} line 3: server.1=a:1:2: parameter: server.1 must be in a separate dynamic \
             config file",
        ),
    );
    check(&Given { cfg: PLAIN, ..Given::default() }, &Fails("{dir}/dynamic file is missing"));
    for (name, version) in [("dynamic", 0), ("dynamic.10000001a", 0x1_0000_001a), ("d.next", 0)] {
        let dir = TempDir::new();
        let (cfg, place) = (dir.path("zoo.cfg"), dir.0.display());
        let text = format!("dataDir={place}\ndynamicConfigFile={place}/{name}");
        std::fs::write(&cfg, text).expect("writable");
        std::fs::write(dir.path(name), "server.1=a:1:2;2181").expect("writable");
        let config = Config::load(&cfg, &Flags::from_environment("")).expect("it is well");
        assert_eq!(config.membership.version, version, "{name}");
    }
}

#[test]
fn without_a_file() {
    let run = |words: &[&str], expect: &Expect<'_>| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let found = Config::from_arguments(&words, &Flags::none());
        judge(&words.join(" "), found, expect, str::to_owned);
    };
    let port = "client_port: Some(2181)";
    run(&[], &Has(&[port, "data_dir: \"./data\"", "config_path: None", "warnings: []"]));
    run(&["2181", "/d"], &Has(&[port, "data_dir: \"/d\"", "tick_time_ms: 3000"]));
    run(&["0", "/d"], &Has(&["client_port: Some(0)"]));
    run(
        &["2181", "/d", "500", "7"],
        &Has(&["tick_time_ms: 500", "max_client_cnxns: 7", "min_session_timeout_ms: 1000"]),
    );
    run(&["-x"], &Fails("command line: unknown option -x"));
    run(&["x", "/d"], &Fails("command line: clientPort=x: For input string: \"x\""));
    run(
        &["1", "2", "3", "4", "5"],
        &Fails(
            "command line: Invalid number of arguments: 5 (expected configfile | port datadir \
             [ticktime] [maxcnxns])",
        ),
    );
}

#[test]
fn throttles() {
    let throttle = |line: &'static str, field: &str| check_cfg(line, &Has(&[field]));
    throttle("connection_throttle_tokens=7", "connections: ThrottleSettings { tokens_max: 7");
    for (line, field) in [
        ("tokens=-7", "ThrottleSettings { tokens_max: 0"),
        ("fill_time=0", "fill_time_ms: 1"),
        ("fill_time=20", "fill_time_ms: 20"),
        ("fill_count=5", "fill_count: 5"),
        ("freeze_time=-1", "freeze_time_ms: None"),
        ("freeze_time=0", "freeze_time_ms: Some(0)"),
        ("drop_increase=0.5", "drop_increase_ppb: 500000000"),
        ("drop_increase=7", "drop_increase_ppb: 1000000000"),
        ("drop_decrease=1e-3", "drop_decrease_ppb: 1000000"),
        ("drop_decrease=x", "drop_decrease_ppb: 2000000"),
        ("decrease_ratio=0.25", "decrease_ratio_ppb: 250000000"),
        (
            "weight_enabled=true",
            "weights: Some(SessionWeights { new_session: 3, renewed_session: 2",
        ),
        (
            "weight_enabled=true\nconnection_throttle_local_session_weight=9",
            "weights: Some(SessionWeights { new_session: 9, renewed_session: 9",
        ),
        (
            "weight_enabled=true\nconnection_throttle_global_session_weight=-1\n\
             connection_throttle_renew_session_weight=5",
            "weights: Some(SessionWeights { new_session: 3, renewed_session: 5",
        ),
    ] {
        let line = format!("connection_throttle_{line}");
        let field = field.replace("ThrottleSettings", "connections: ThrottleSettings");
        check_cfg(line.leak(), &Has(&[&field]));
    }
    check_cfg(
        "connection_throttle_tokens=-7\nconnection_throttle_fill_time=0",
        &Warns(&[
            "{cfg} line 1: connection_throttle_tokens is raised to 0, the least value",
            "{cfg} line 2: connection_throttle_fill_time is raised to 1, the least value",
        ]),
    );
    check_cfg(
        "connection_throttle_drop_decrease=x",
        &Warns(&[
            "{cfg} line 1: zookeeper.connection_throttle_drop_decrease is not a number: 0.002 is \
             used",
        ]),
    );
}

#[test]
fn requests_that_are_large_or_late() {
    for (cfg, field) in [
        ("largeRequestThreshold=100", "large_request_threshold_bytes: Some(100)"),
        ("largeRequestThreshold=0", "large_request_threshold_bytes: None"),
        ("largeRequestThreshold=-2", "large_request_threshold_bytes: None"),
        ("largeRequestMaxBytes=1000", "large_requests_max_bytes: 1000"),
        ("largeRequestMaxBytes=-1", "large_requests_max_bytes: 104857600"),
        ("throttled_op_wait_time=50", "throttled_op_wait_ms: 50"),
        ("request_throttle_max_requests=9", "requests_max: 9"),
        (
            "request_throttle_max_requests=9\nrequest_stale_latency_check=true",
            "stale_requests_dropped: true",
        ),
        ("request_stale_latency_check=true", "stale_requests_dropped: false"),
        (
            "request_throttle_max_requests=9\nrequest_stale_latency_check=true\n\
             request_throttle_drop_stale=false",
            "stale_requests_dropped: false",
        ),
    ] {
        check_cfg(cfg, &Has(&[field]));
    }
    check_cfg(
        "request_throttle_stall_time=5\nrequest_stale_connection_check=false",
        &Warns(&[
            "{cfg} line 1: request_throttle_stall_time tunes a part Ostler does not have: ignored",
            "{cfg} line 2: request_stale_connection_check tunes a part Ostler does not have: ignored",
        ]),
    );
}

#[test]
fn authentication_providers() {
    let class = "org.apache.zookeeper.server.auth.";
    let cfg = |line: &str| -> &'static str { line.replace("CLASS.", class).leak() };
    let sasl = "sasl can stand in ACLs, but no client can log in by it yet";
    let x509 = "x509 can stand in ACLs, but no client can log in by it yet";
    for (line, field, warning) in [
        ("CLASS.SASLAuthenticationProvider", "sasl_auth_enabled: true", Some(sasl)),
        ("CLASS.X509AuthenticationProvider", "x509_auth_enabled: true", Some(x509)),
        ("CLASS.EnsembleAuthenticationProvider", "ensemble_auth_enabled: true", None),
        ("CLASS.IPAuthenticationProvider", "digest_auth_enabled: true", None),
    ] {
        let line = cfg(&format!("authProvider.sasl={line}"));
        check_cfg(line, &Has(&[field]));
        let warning = warning.map(|warning| {
            format!("{{cfg}} line 1: authProvider.sasl: ids of the scheme {warning}")
        });
        let warnings: Vec<&str> = warning.iter().map(String::as_str).collect();
        check_cfg(line, &Warns(&warnings));
    }
    check_cfg(
        cfg("authProvider.x=CLASS.DigestAuthenticationProvider\n\
             DigestAuthenticationProvider.enabled=false"),
        &Has(&["digest_auth_enabled: true"]),
    );
    check_cfg(
        "authProvider.1=my.Provider\nauthProvider.2=org.apache.zookeeper.server.auth.\
         KeyAuthenticationProvider",
        &Warns(&[
            "{cfg} line 1: authProvider.1: there is no provider my.Provider, so its scheme does \
             not exist",
            "{cfg} line 2: authProvider.2: not implemented in this version: ignored",
        ]),
    );
    check_cfg(
        "letAnySaslUserDoX=any\nX509AuthenticationProvider.superUser=CN=a,O=b",
        &Has(&["any_sasl_user: Some(\"any\")", "x509_super_user: Some(\"CN=a,O=b\")"]),
    );
    check_cfg("ensembleAuthName=a, b", &Has(&["ensemble_auth_names: Some([\"a\", \"b\"])"]));
    check_cfg("ensembleAuthName=", &Has(&["ensemble_auth_names: Some([\"\"])"]));
    for name in ["SHA-256", "sha3-512", "SHA-512/224"] {
        let line = format!("DigestAuthenticationProvider.digestAlg={name}");
        check_cfg(line.leak(), &Has(&[&format!("digest_alg: \"{name}\"")]));
    }
    check_cfg(
        "DigestAuthenticationProvider.digestAlg=FOO\nDigestAuthenticationProvider.enabled=false",
        &Dies(
            "{cfg} line 1: zookeeper.DigestAuthenticationProvider.digestAlg=FOO: don't support \
             this ACL digest algorithm: FOO in the current environment",
        ),
    );
}

#[test]
fn required_authentication() {
    let required = |schemes: &str| format!("required_auth_schemes: {schemes}");
    let on = "enforce.auth.enabled=true\nenforce.auth.schemes=";
    let with = |schemes: &str| -> &'static str { format!("{on}{schemes}").leak() };
    check_cfg(with(" digest ,,ip"), &Has(&[&required("[\"digest\", \"ip\"]")]));
    check_cfg("enforce.auth.schemes=digest,foo", &Has(&[&required("[]")]));
    for schemes in ["", ",", " "] {
        check_cfg(
            with(schemes),
            &Fails(
                "{cfg} line 1: zookeeper.enforce.auth.enabled=true: zookeeper.enforce.auth.enabled \
                 is true zookeeper.enforce.auth.schemes must be configured.",
            ),
        );
    }
    for (schemes, missing) in [("digest,foo", "foo"), ("sasl", "sasl"), ("world", "world")] {
        let line = format!(
            "{{cfg}} line 2: zookeeper.enforce.auth.schemes={schemes}: Authentication scheme \
             {missing} is not available."
        );
        check_cfg(with(schemes), &Fails(&line));
    }
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
    let sasl = "sessionRequireClientSASLAuth=true\nenforce.auth.schemes=digest\n";
    check_cfg((sasl.to_owned() + provider).leak(), &Has(&[&required("[\"sasl\"]")]));
    check_cfg(
        sasl,
        &Fails(
            "{cfg} line 1: zookeeper.sessionRequireClientSASLAuth=true: Authentication scheme sasl \
             is not available.",
        ),
    );
    check_cfg(
        (sasl.to_owned() + provider).leak(),
        &Warns(&[
            "{cfg} line 3: authProvider.1: ids of the scheme sasl can stand in ACLs, but no client \
             can log in by it yet",
            "clients must log in by SASL or x509, and no client can in this version: all requests \
             will be refused",
        ]),
    );
}

#[test]
fn four_letter_words() {
    let allowed = |list: &str| {
        let list = FourLetterWhitelist::parse(list);
        ["ruok", "stat", "srvr", "isro"].map(|word| u8::from(list.allows(word)))
    };
    assert_eq!(allowed(""), [0, 0, 1, 0]);
    assert_eq!(allowed(" stat, ruok,"), [1, 1, 1, 0]);
    assert_eq!(allowed("stat,*"), [1, 1, 1, 1]);
    let given = Given {
        cfg: "dataDir={dir}\n4lw.commands.whitelist=*",
        flags: "-Dreadonlymode.enabled=true",
        ..Given::default()
    };
    check(&given, &Warns(&[]));
}

/// A directory of its own for each test, removed with it.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ostler-config-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the directory of temporary files is writable");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
