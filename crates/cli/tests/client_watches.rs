//! The client's watches against a real server, across lost connections too.

mod client_common;
mod common;

use std::time::Duration;

use client_common::{Proxy, connect, patiently, reach, run, start};
use common::{Server, TestDir, free_port};
use ostler_client::{
    Client, CreateOptions, Error, Event, EventKind, OneshotWatch, Retry, State, Watch, WatchKind,
    WatchMode,
};

async fn make(client: &Client, path: &str) {
    client.create(path, "", &CreateOptions::persistent()).await.expect("it can be created");
}

async fn once(watch: OneshotWatch) -> (EventKind, String) {
    let event = patiently("the watch fires", watch).await;
    (event.kind, event.path)
}

async fn next(watch: &mut Watch) -> Option<(EventKind, String)> {
    let event = patiently("the watch brings something", watch.next()).await;
    event.map(|event| (event.kind, event.path))
}

fn at(kind: EventKind, path: &str) -> (EventKind, String) {
    (kind, path.to_owned())
}

/// Waits until the server keeps so many watches.
fn until_on_server(server: &Server, count: usize) {
    let wanted = format!("zk_watch_count\t{count}");
    common::poll_until(&wanted, || {
        let text = common::ensemble::four_letter_word(&server.address, "mntr")?;
        text.lines().any(|line| line == wanted).then_some(())
    });
}

const WORDS: &str = "4lw.commands.whitelist=*";

#[test]
fn one_shot_watches_fire_once_for_what_they_watch() {
    let dir = TestDir::new("client-oneshot");
    let server = Server::start(&dir, &[]);
    run(async {
        let (watcher, writer) = (connect(&server).await, connect(&server).await);
        let (stat, created) = watcher.exists_and_watch("/w").await.unwrap();
        assert_eq!(stat, None);
        make(&writer, "/w").await;
        assert_eq!(once(created).await, at(EventKind::Created, "/w"));
        let (stat, changed) = watcher.exists_and_watch("/w").await.unwrap();
        assert!(stat.is_some());
        let (_, _, data) = watcher.get_and_watch("/w").await.unwrap();
        let (_, _, children) = watcher.children_and_watch("/w").await.unwrap();
        let stat = writer.set("/w", "x", None).await.unwrap();
        let event = patiently("it fires", changed).await;
        let path = "/w".to_owned();
        assert_eq!(event, Event { kind: EventKind::DataChanged, path, zxid: stat.mzxid });
        assert_eq!(once(data).await, at(EventKind::DataChanged, "/w"));
        make(&writer, "/w/c").await;
        assert_eq!(once(children).await, at(EventKind::ChildrenChanged, "/w"));
        let (_, _, data) = watcher.get_and_watch("/w/c").await.unwrap();
        let (_, _, children) = watcher.children_and_watch("/w/c").await.unwrap();
        writer.delete("/w/c", None).await.unwrap();
        assert_eq!(once(data).await, at(EventKind::Deleted, "/w/c"));
        assert_eq!(once(children).await, at(EventKind::Deleted, "/w/c"));
        assert_eq!(watcher.get_and_watch("/w/c").await.unwrap_err(), Error::NoNode);
    });
}

#[test]
fn an_event_comes_before_the_new_data() {
    let dir = TestDir::new("client-event-first");
    let server = Server::start(&dir, &[]);
    run(async {
        let client = connect(&server).await;
        make(&client, "/w").await;
        for number in 0..200 {
            let (_, _, mut watch) = client.get_and_watch("/w").await.unwrap();
            let set = client.set("/w", number.to_string(), None);
            set.await.unwrap();
            let ready = std::future::poll_fn(|cx| {
                std::task::Poll::Ready(std::pin::Pin::new(&mut watch).poll(cx).is_ready())
            });
            assert!(ready.await, "the reply has overtaken the event of write {number}");
        }
    });
}

#[test]
fn persistent_watches_stay() {
    let dir = TestDir::new("client-persistent");
    let server = Server::start(&dir, &[]);
    run(async {
        let (watcher, writer) = (connect(&server).await, connect(&server).await);
        let mut one = watcher.watch("/p", WatchMode::Persistent).await.unwrap();
        let mut all = watcher.watch("/p", WatchMode::PersistentRecursive).await.unwrap();
        let mut root = watcher.watch("/", WatchMode::PersistentRecursive).await.unwrap();
        make(&writer, "/p").await;
        make(&writer, "/p/c").await;
        writer.set("/p/c", "x", None).await.unwrap();
        writer.set("/p", "x", None).await.unwrap();
        writer.delete("/p/c", None).await.unwrap();
        writer.delete("/p", None).await.unwrap();
        make(&writer, "/q").await;
        use EventKind::{ChildrenChanged, Created, DataChanged, Deleted};
        for (kind, path) in [
            (Created, "/p"),
            (ChildrenChanged, "/p"),
            (DataChanged, "/p"),
            (ChildrenChanged, "/p"),
            (Deleted, "/p"),
        ] {
            assert_eq!(next(&mut one).await, Some(at(kind, path)));
        }
        let below = [
            (Created, "/p"),
            (Created, "/p/c"),
            (DataChanged, "/p/c"),
            (DataChanged, "/p"),
            (Deleted, "/p/c"),
            (Deleted, "/p"),
        ];
        for (kind, path) in below {
            assert_eq!(next(&mut all).await, Some(at(kind, path)));
            assert_eq!(next(&mut root).await, Some(at(kind, path)));
        }
        assert_eq!(next(&mut root).await, Some(at(Created, "/q")));
        watcher.close().await.unwrap();
        assert_eq!(next(&mut one).await, Some(at(EventKind::SessionLost, "/p")));
        assert_eq!(next(&mut one).await, None);
    });
}

#[test]
fn who_drops_a_watch_takes_it_away() {
    let dir = TestDir::new("client-drop");
    let server = Server::start(&dir, &[WORDS]);
    run(async {
        let client = connect(&server).await;
        make(&client, "/d").await;
        let (_, _, first) = client.get_and_watch("/d").await.unwrap();
        let (_, second) = client.exists_and_watch("/d").await.unwrap();
        let (_, _, children) = client.children_and_watch("/d").await.unwrap();
        let persistent = client.watch("/e", WatchMode::Persistent).await.unwrap();
        let recursive = client.watch("/f", WatchMode::PersistentRecursive).await.unwrap();
        // A persistent watch counts for data and for children.
        until_on_server(&server, 5);
        drop(first);
        client.sync("/").await.unwrap();
        until_on_server(&server, 5);
        drop((second, persistent));
        until_on_server(&server, 2);
        drop((children, recursive));
        until_on_server(&server, 0);
        // Also when nobody has looked at the reply, or it came too late to be wanted.
        drop(client.get_and_watch("/d"));
        client.sync("/").await.unwrap();
        until_on_server(&server, 0);
        // One that is wanted again before the server heard that it is not stays.
        let (_, _, first) = client.get_and_watch("/d").await.unwrap();
        let again = client.get_and_watch("/d");
        drop(first);
        let (_, _, again) = again.await.unwrap();
        client.set("/d", "x", None).await.unwrap();
        assert_eq!(once(again).await, at(EventKind::DataChanged, "/d"));
    });
}

#[test]
fn watches_can_be_removed_by_path() {
    let dir = TestDir::new("client-remove");
    let server = Server::start(&dir, &[WORDS]);
    run(async {
        let client = connect(&server).await;
        make(&client, "/r").await;
        let (_, _, data) = client.get_and_watch("/r").await.unwrap();
        let (_, _, children) = client.children_and_watch("/r").await.unwrap();
        let mut persistent = client.watch("/r", WatchMode::Persistent).await.unwrap();
        let wrong = client.remove_watches("/r", WatchKind::PersistentRecursive, false).await;
        assert_eq!(wrong, Err(Error::NoWatcher));
        client.remove_watches("/r", WatchKind::Data, false).await.unwrap();
        assert_eq!(once(data).await, at(EventKind::Removed, "/r"));
        client.remove_watches("/r", WatchKind::Any, false).await.unwrap();
        assert_eq!(once(children).await, at(EventKind::Removed, "/r"));
        assert_eq!(next(&mut persistent).await, Some(at(EventKind::Removed, "/r")));
        assert_eq!(next(&mut persistent).await, None);
        until_on_server(&server, 0);
    });
}

/// What all kinds of watches bring of what happens while there is no connection.
async fn watch_across(watcher: &Client, writer: &Client, interrupt: impl AsyncFnOnce()) {
    for path in ["/x", "/x/changed", "/x/deleted", "/x/parent", "/x/quiet"] {
        make(writer, path).await;
    }
    watcher.sync("/").await.unwrap();
    let (_, _, changed) = watcher.get_and_watch("/x/changed").await.unwrap();
    let (_, _, deleted) = watcher.get_and_watch("/x/deleted").await.unwrap();
    let (_, created) = watcher.exists_and_watch("/x/created").await.unwrap();
    let (_, _, parent) = watcher.children_and_watch("/x/parent").await.unwrap();
    let (_, _, quiet) = watcher.get_and_watch("/x/quiet").await.unwrap();
    let (_, missing) = watcher.exists_and_watch("/x/missing").await.unwrap();
    let mut persistent = watcher.watch("/x/quiet", WatchMode::Persistent).await.unwrap();
    let mut recursive = watcher.watch("/x", WatchMode::PersistentRecursive).await.unwrap();
    interrupt().await;
    assert_eq!(once(changed).await, at(EventKind::DataChanged, "/x/changed"));
    assert_eq!(once(deleted).await, at(EventKind::Deleted, "/x/deleted"));
    assert_eq!(once(created).await, at(EventKind::Created, "/x/created"));
    assert_eq!(once(parent).await, at(EventKind::ChildrenChanged, "/x/parent"));
    let retry = Retry::forever(Duration::from_millis(5));
    retry.run(writer, || writer.set("/x/quiet", "x", None)).await.unwrap();
    make(writer, "/x/missing").await;
    assert_eq!(once(quiet).await, at(EventKind::DataChanged, "/x/quiet"));
    assert_eq!(once(missing).await, at(EventKind::Created, "/x/missing"));
    assert_eq!(next(&mut persistent).await, Some(at(EventKind::DataChanged, "/x/quiet")));
    // What others left is caught up for it too, so more than this may come.
    let wanted = [at(EventKind::DataChanged, "/x/quiet"), at(EventKind::Created, "/x/missing")];
    for wanted in wanted {
        while next(&mut recursive).await.expect("it lasts") != wanted {}
    }
}

#[test]
fn watches_outlive_connections() {
    let dir = TestDir::new("client-watches-cut");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let watcher = start(Client::builder(), &proxy.address).await;
        let writer = connect(&server).await;
        watch_across(&watcher, &writer, async || {
            proxy.close();
            reach(&watcher, State::Suspended).await;
            writer.set("/x/changed", "x", None).await.unwrap();
            writer.delete("/x/deleted", None).await.unwrap();
            make(&writer, "/x/created").await;
            make(&writer, "/x/parent/child").await;
            proxy.open();
            reach(&watcher, State::Connected).await;
        })
        .await;
    });
}

#[test]
fn watches_outlive_a_killed_server() {
    let dir = TestDir::new("client-watches-kill");
    let port = free_port();
    let mut server = Server::start_on(&dir, port, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let watcher = start(Client::builder(), &proxy.address).await;
        let writer = connect(&server).await;
        let directory = &dir;
        watch_across(&watcher, &writer, async || {
            proxy.close();
            server.kill();
            reach(&watcher, State::Suspended).await;
            server = Server::start_on(directory, port, &[]);
            reach(&writer, State::Connected).await;
            writer.set("/x/changed", "x", None).await.unwrap();
            writer.delete("/x/deleted", None).await.unwrap();
            make(&writer, "/x/created").await;
            make(&writer, "/x/parent/child").await;
            proxy.open();
            reach(&watcher, State::Connected).await;
        })
        .await;
    });
}

#[test]
fn more_watches_than_a_frame_can_carry_are_put_back() {
    let dir = TestDir::new("client-watches-many");
    let server = Server::start(&dir, &[WORDS]);
    const COUNT: usize = 6000;
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let watcher = start(Client::builder(), &proxy.address).await;
        let writer = connect(&server).await;
        let path = |number: usize| format!("/{}{number:06}", "long-name-".repeat(20));
        let replies: Vec<_> =
            (0..COUNT).map(|number| watcher.exists_and_watch(&path(number))).collect();
        let mut watches = Vec::new();
        for reply in replies {
            watches.push(reply.await.unwrap().1);
        }
        proxy.cut();
        reach(&watcher, State::Suspended).await;
        until_on_server(&server, COUNT);
        for number in [0, COUNT / 2, COUNT - 1] {
            make(&writer, &path(number)).await;
        }
        for number in [COUNT - 1, COUNT / 2, 0] {
            let fired = once(watches.swap_remove(number)).await;
            assert_eq!(fired, at(EventKind::Created, &path(number)));
        }
    });
}

#[test]
fn watches_end_with_the_connection_if_that_is_wanted() {
    let dir = TestDir::new("client-watches-reset");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let client = start(Client::builder().keep_watches(false), &proxy.address).await;
        let (_, _, watch) = client.get_and_watch("/").await.unwrap();
        let mut persistent = client.watch("/", WatchMode::Persistent).await.unwrap();
        proxy.cut();
        assert_eq!(once(watch).await, at(EventKind::Removed, "/"));
        assert_eq!(next(&mut persistent).await, Some(at(EventKind::Removed, "/")));
        reach(&client, State::Connected).await;
        assert!(client.get("/").await.is_ok());
    });
}
