//! The client's operations, each against a real server.

mod client_common;
mod common;

use std::time::Duration;

use client_common::{connect, patiently, run, run_on_one_thread, start};
use common::{Server, TestDir};
use ostler_client::{
    Acl, Client, CreateOptions, Created, Data, Error, EventKind, Id, MultiResult, Perms, Read,
    Retry, State,
};

fn persistent() -> CreateOptions {
    CreateOptions::persistent()
}

async fn make(client: &Client, path: &str) -> Created {
    client.create(path, "", &persistent()).await.expect("it can be created")
}

#[test]
fn a_znode_from_its_creation_to_its_end() {
    let dir = TestDir::new("client-life");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let created = client.create("/a", "one", &persistent()).await.unwrap();
        assert_eq!(created.path, "/a");
        assert_eq!((created.stat.version, created.stat.data_length), (0, 3));
        assert_eq!(client.get("/a").await.unwrap(), (b"one".to_vec(), created.stat));
        assert_eq!(client.exists("/a").await.unwrap(), Some(created.stat));
        let stat = client.set("/a", vec![1, 2], Some(0)).await.unwrap();
        assert_eq!((stat.version, stat.data_length), (1, 2));
        assert_eq!(client.set("/a", "", Some(0)).await, Err(Error::BadVersion));
        assert_eq!(client.last_zxid().counter(), stat.mzxid.counter() + 1);
        make(&client, "/a/b").await;
        make(&client, "/a/b/c").await;
        assert_eq!(client.children("/a").await.unwrap().0, ["b"]);
        assert_eq!(client.descendants_count("/a").await, Ok(2));
        assert_eq!(client.delete("/a", None).await, Err(Error::NotEmpty));
        client.delete("/a/b/c", Some(0)).await.unwrap();
        client.delete("/a/b", None).await.unwrap();
        client.sync("/a").await.unwrap();
        client.delete("/a", None).await.unwrap();
        assert_eq!(client.exists("/a").await, Ok(None));
        assert_eq!(client.get("/a").await, Err(Error::NoNode));
        client.close().await.unwrap();
        assert_eq!(client.state(), State::Closed);
        assert_eq!(client.get("/a").await, Err(Error::Closed));
        assert_eq!(client.close().await, Ok(()));
    });
}

#[test]
fn one_thread_is_enough() {
    let dir = TestDir::new("client-one-thread");
    let server = Server::start(&dir, &[]);
    run_on_one_thread(async {
        let client = connect(&server).await;
        let replies: Vec<_> = (0..1000).map(|_| client.get("/zookeeper")).collect();
        for reply in replies {
            reply.await.unwrap();
        }
        client.close().await.unwrap();
    });
    // Outside of a runtime there is nothing to run in.
    assert_eq!(Client::builder().start(&server.address).unwrap_err(), Error::NoRuntime);
}

#[test]
fn a_client_can_be_used_elsewhere_and_ends_with_its_runtime() {
    let dir = TestDir::new("client-runtimes");
    let server = Server::start(&dir, &[]);
    let home = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let client = home.block_on(connect(&server));
    let (_, _, watch) = run(async {
        client.set("/", "x", None).await.unwrap();
        client.get_and_watch("/").await.unwrap()
    });
    home.shutdown_background();
    run(async {
        assert_eq!(patiently("it ends", watch).await.kind, EventKind::SessionLost);
        assert_eq!(client.get("/").await, Err(Error::Closed));
        assert_eq!(client.state(), State::Closed);
        client.close().await.unwrap();
    });
}

#[test]
fn data_can_be_null_empty_and_large() {
    let dir = TestDir::new("client-data");
    let server = Server::start(&dir, &["jute.maxbuffer=4194304"]);
    run(async {
        let client = connect(&server).await;
        client.create("/null", Data::NULL, &persistent()).await.unwrap();
        assert_eq!(client.get_nullable("/null").await.unwrap().0, None);
        assert_eq!(client.get("/null").await.unwrap().0, b"");
        client.set("/null", "", None).await.unwrap();
        assert_eq!(client.get_nullable("/null").await.unwrap().0, Some(Vec::new()));
        let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        client.create("/large", &large[..], &persistent()).await.unwrap();
        assert_eq!(client.get("/large").await.unwrap().0, large);
        // An answer that is too long costs the connection, but its caller hears why.
        let short = start(Client::builder().frame_max(500_000), &server.address).await;
        let (before, large) = (short.get("/null"), short.get("/large"));
        assert!(before.await.is_ok());
        assert!(matches!(large.await, Err(Error::TooLarge { max: 500_000, .. })));
        let retry = Retry::forever(Duration::from_millis(1));
        patiently("it is back", retry.run(&short, || short.get("/null"))).await.unwrap();
    });
}

#[test]
fn every_kind_of_znode_can_be_created() {
    let dir = TestDir::new("client-kinds");
    let server = Server::start(&dir, &["extendedTypesEnabled=true"]);
    run(async {
        let client = connect(&server).await;
        make(&client, "/k").await;
        let mut paths = Vec::new();
        for options in [
            CreateOptions::persistent().sequential(),
            CreateOptions::ephemeral(),
            CreateOptions::ephemeral().sequential(),
            CreateOptions::container(),
            CreateOptions::ttl(Duration::from_secs(60)),
            CreateOptions::ttl(Duration::from_secs(60)).sequential(),
        ] {
            let path = format!("/k/n{}-", paths.len());
            let created = client.create(&path, "", &options).await.unwrap();
            assert!(created.path.starts_with(&path), "{created:?}");
            assert_eq!(created.path.len() > path.len(), options.is_sequential(), "{created:?}");
            let owner = created.stat.ephemeral_owner;
            let is_ephemeral = owner == client.session().unwrap().0;
            assert_eq!(is_ephemeral, owner.0 != 0, "{created:?}");
            paths.push(created.path);
        }
        let numbered = client.create("/k/", "", &persistent().sequential()).await.unwrap();
        assert_eq!(numbered.path, "/k/0000000006");
        let mut ephemerals = client.ephemerals("/k/n").await.unwrap();
        ephemerals.sort();
        assert_eq!(ephemerals, paths[1..3]);
        assert_eq!(client.ephemerals("/other").await.unwrap(), Vec::<String>::new());
        let below = client.create("/k/n1-/x", "", &persistent()).await;
        assert_eq!(below, Err(Error::NoChildrenForEphemerals));
        assert_eq!(client.create("/k", "", &persistent()).await, Err(Error::NodeExists));
        assert_eq!(client.create("/no/x", "", &persistent()).await, Err(Error::NoNode));
        let ttl = CreateOptions::ttl(Duration::ZERO);
        assert_eq!(client.create("/k/t", "", &ttl).await, Err(Error::BadArguments));
    });
}

#[test]
fn bad_paths_are_refused_before_they_are_sent() {
    let dir = TestDir::new("client-paths");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let why = |error: Error| match error {
            Error::BadPath { why, .. } => why,
            other => panic!("{other:?}"),
        };
        let start = "Path must start with / character";
        assert_eq!(why(client.get("a").await.unwrap_err()), start);
        assert_eq!(why(client.exists("a").await.unwrap_err()), start);
        assert_eq!(why(client.create("a", "", &persistent()).await.unwrap_err()), start);
        assert_eq!(why(client.get_and_watch("a").await.unwrap_err()), start);
        let ending = client.create("/a/", "", &persistent()).await.unwrap_err();
        assert_eq!(why(ending), "Path must not end with / character");
        let multi = client.multi().delete("/ok", None).delete("bad", None).send().await;
        let Err(Error::Multi { index: 1, cause }) = multi else { panic!("{multi:?}") };
        assert_eq!(why(*cause), start);
        let chroot = Client::builder().start(&format!("{}/x/", server.address)).unwrap_err();
        assert_eq!(why(chroot), "Path must not end with / character");
    });
}

#[test]
fn a_multi_is_done_as_a_whole_or_not_at_all() {
    let dir = TestDir::new("client-multi");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let results = client
            .multi()
            .create("/m", "1", &persistent())
            .create("/m/s-", "", &CreateOptions::ephemeral().sequential())
            .create("/m/c", "", &CreateOptions::container())
            .set("/m", "2", Some(0))
            .check("/m", 1)
            .delete("/m/c", None)
            .send()
            .await
            .unwrap();
        let [MultiResult::Created(m), MultiResult::Created(s), MultiResult::Created(c), rest @ ..] =
            &results[..]
        else {
            panic!("{results:?}");
        };
        let paths = [&m.path, &s.path, &c.path];
        assert_eq!(paths, ["/m", "/m/s-0000000000", "/m/c"]);
        assert!(m.stat.czxid == s.stat.czxid && s.stat.czxid == c.stat.czxid);
        let [MultiResult::Set(stat), MultiResult::Checked, MultiResult::Deleted] = rest else {
            panic!("{rest:?}");
        };
        assert_eq!(stat.version, 1);
        let failed = client.multi().delete(&s.path, None).check("/m", Some(7)).send().await;
        assert_eq!(failed, Err(Error::Multi { index: 1, cause: Box::new(Error::BadVersion) }));
        assert!(client.exists(&s.path).await.unwrap().is_some());
        assert_eq!(client.multi().send().await, Ok(Vec::new()));
        let reads = client.multi_read().get("/m").get("/nope").children("/m").send();
        let reads = reads.await.unwrap();
        let [
            Ok(Read::Data { data: Some(data), .. }),
            Err(Error::NoNode),
            Ok(Read::Children(names)),
        ] = &reads[..]
        else {
            panic!("{reads:?}");
        };
        assert_eq!((&data[..], &names[..]), (&b"2"[..], &["s-0000000000".to_owned()][..]));
    });
}

#[test]
fn a_chroot_is_the_whole_world() {
    let dir = TestDir::new("client-chroot");
    let server = Server::start(&dir, &[]);
    run(async {
        let outside = connect(&server).await;
        make(&outside, "/app").await;
        make(&outside, "/other").await;
        let inside = start(Client::builder(), &format!("{}/app", server.address)).await;
        assert_eq!(inside.chroot(), "/app");
        let created = inside.create("/a", "", &CreateOptions::ephemeral()).await.unwrap();
        assert_eq!(created.path, "/a");
        assert_eq!(inside.children("/").await.unwrap().0, ["a"]);
        assert_eq!(inside.exists("/other").await, Ok(None));
        assert_eq!(inside.ephemerals("/").await.unwrap(), ["/a"]);
        assert!(outside.exists("/app/a").await.unwrap().is_some());
        let results = inside.multi().create("/b", "", &persistent()).send().await.unwrap();
        let MultiResult::Created(b) = &results[0] else { panic!("{results:?}") };
        assert_eq!(b.path, "/b");
        let (_, _, watch) = inside.get_and_watch("/b").await.unwrap();
        outside.set("/app/b", "x", None).await.unwrap();
        assert_eq!(patiently("it fires", watch).await.path, "/b");
        let (_, _, watch) = inside.children_and_watch("/").await.unwrap();
        make(&outside, "/app/c").await;
        assert_eq!(patiently("it fires", watch).await.path, "/");
        assert_eq!(inside.delete("/", None).await, Err(Error::BadArguments));
        // The configuration of the ensemble is outside of every chroot.
        assert!(inside.config().await.is_ok());
    });
}

#[test]
fn credentials_open_what_acls_close() {
    let dir = TestDir::new("client-acl");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let all = CreateOptions::persistent().acl(Acl::creator_all());
        assert_eq!(client.create("/s", "", &all).await, Err(Error::InvalidAcl));
        client.add_auth("digest", b"u:p").await.unwrap();
        client.create("/s", "secret", &all).await.unwrap();
        let (acl, stat) = client.acl("/s").await.unwrap();
        let id = Id::new("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        assert_eq!(acl, [Acl { perms: Perms::ALL, id }]);
        let names: Vec<_> = client.whoami().await.unwrap();
        assert!(names.contains(&("digest".to_owned(), "u".to_owned())), "{names:?}");
        let other = connect(&server).await;
        assert_eq!(other.get("/s").await, Err(Error::NoAuth));
        let known = start(Client::builder().auth("digest", b"u:p"), &server.address).await;
        assert_eq!(known.get("/s").await.unwrap().0, b"secret");
        let stat = known.set_acl("/s", Acl::open(), Some(stat.aversion)).await.unwrap();
        assert_eq!(stat.aversion, 1);
        assert_eq!(known.set_acl("/s", Acl::open(), Some(0)).await, Err(Error::BadVersion));
        assert_eq!(other.get("/s").await.unwrap().0, b"secret");
    });
}

#[test]
fn refused_credentials_finish_the_client() {
    let dir = TestDir::new("client-auth");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let (_, _, watch) = client.get_and_watch("/").await.unwrap();
        assert_eq!(client.add_auth("nonsense", b"x").await, Err(Error::AuthFailed));
        assert_eq!(client.state(), State::AuthFailed);
        assert_eq!(client.get("/").await, Err(Error::AuthFailed));
        assert_eq!(patiently("it ends", watch).await.kind, EventKind::SessionLost);
        let builder = Client::builder().auth("nonsense", b"x").start(&server.address).unwrap();
        client_common::reach(&builder, State::AuthFailed).await;
    });
}

#[test]
fn the_order_of_the_calls_is_the_order_of_the_operations() {
    let dir = TestDir::new("client-order");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        make(&client, "/o").await;
        let mut writes = Vec::new();
        let mut reads = Vec::new();
        for number in 0..2000_u32 {
            writes.push(client.set("/o", number.to_string(), None));
            reads.push(client.get("/o"));
        }
        // In the wrong order, and some not at all.
        for (number, read) in reads.into_iter().enumerate().rev() {
            let (data, stat) = read.await.unwrap();
            assert_eq!(data, number.to_string().into_bytes());
            assert_eq!(usize::try_from(stat.version).unwrap(), number + 1);
        }
        drop(writes);
        let numbered = client.clone();
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let client = numbered.clone();
                let options = persistent().sequential();
                tokio::spawn(async move { client.create("/o/n", "", &options).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(client.children("/o").await.unwrap().0.len(), 50);
    });
}

#[test]
fn who_asks_for_too_much_at_once_is_held_back() {
    let dir = TestDir::new("client-room");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = start(Client::builder().outstanding_max(10), &server.address).await;
        let mut replies: Vec<_> = Vec::new();
        let mut overloaded = 0;
        for _ in 0..1000 {
            replies.push(client.get("/"));
        }
        for reply in replies.drain(..) {
            match reply.await {
                Ok(_) => {}
                Err(Error::Overloaded) => overloaded += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(overloaded > 0);
        for _ in 0..1000 {
            client.ready().await.unwrap();
            replies.push(client.get("/"));
        }
        for reply in replies {
            reply.await.unwrap();
        }
        client.close().await.unwrap();
        assert_eq!(client.ready().await, Err(Error::Closed));
    });
}

#[test]
fn what_servers_refuse_has_a_name() {
    let dir = TestDir::new("client-refused");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        let reconfig = client.reconfig(None, Some("1"), None, -1).await;
        assert_eq!(reconfig, Err(Error::ReconfigDisabled));
        assert_eq!(client.delete("/", None).await, Err(Error::BadArguments));
        let ttl = CreateOptions::ttl(Duration::from_secs(1));
        assert_eq!(client.create("/t", "", &ttl).await, Err(Error::Unimplemented));
        let kind = ostler_client::WatchKind::Data;
        assert_eq!(client.remove_watches("/", kind, false).await, Err(Error::NoWatcher));
        assert_eq!(client.delete("/zookeeper", None).await, Err(Error::BadArguments));
    });
}
