//! Queues, caches, persistent nodes, groups and service discovery against a real server, with
//! sessions ended, connections cut and the server killed under them.

mod client_common;
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client_common::{Proxy, connect, patiently, run, start};
use common::ensemble::Ensemble;
use common::{Server, TestDir};
use ostler_cli::raw_client::{RawClient, SessionRequest};
use ostler_client::recipes::{
    CacheEvent, CacheEvents, CacheOptions, DelayQueue, Discovery, DownPolicy, Group, GroupEvent,
    GroupEvents, LockingQueue, NodeCache, PersistentNode, PriorityQueue, Queue, ServiceInstance,
    ServiceProvider, ServiceType, Sessions, Strategy, TreeCache,
};
use ostler_client::{Client, CreateOptions, Error, Zxid};

/// Long enough to tell that nothing comes, where that is asked.
const A_MOMENT: Duration = Duration::from_millis(50);

#[test]
fn a_queue_gives_each_item_to_one_taker() {
    with_server("queue", |server| async move {
        let mut tasks = Vec::new();
        for producer in 0..3 {
            let client = connect(&server).await;
            tasks.push(tokio::spawn(async move {
                let queue = Queue::new(&client, "/deep/queue");
                for item in 0..60 {
                    queue.put(format!("{producer} {item}")).await.unwrap();
                }
            }));
        }
        let mut takers = Vec::new();
        for _ in 0..4 {
            let client = connect(&server).await;
            takers.push(tokio::spawn(async move {
                let queue = Queue::new(&client, "/deep/queue");
                let mut taken = Vec::new();
                loop {
                    let item = text(queue.take().await.unwrap());
                    if item == "end" {
                        return taken;
                    }
                    taken.push(item);
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let queue = Queue::new(&connect(&server).await, "/deep/queue");
        for _ in &takers {
            queue.put("end").await.unwrap();
        }
        let mut all = Vec::new();
        for taker in takers {
            let taken = taker.await.unwrap();
            for producer in ["0 ", "1 ", "2 "] {
                let numbers = taken.iter().filter_map(|item| item.strip_prefix(producer));
                assert!(numbers.map(|number| number.parse::<u32>().unwrap()).is_sorted());
            }
            all.extend(taken);
        }
        assert_eq!(all.len(), 180);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 180);
        assert_eq!((queue.len().await, queue.try_take().await), (Ok(0), Ok(None)));
    });
}

#[test]
fn a_queue_waits_for_an_item_over_a_cut_link() {
    with_server("queue-cut", |server| async move {
        let proxy = Proxy::to(&server.address).await;
        let taking = start(Client::builder(), &proxy.address).await;
        let queue = Queue::new(&connect(&server).await, "/queue");
        assert_eq!(Queue::new(&taking, "/queue").take_within(A_MOMENT).await, Ok(None));
        let taken = tokio::spawn(async move { Queue::new(&taking, "/queue").take().await });
        watches(&server, 1).await;
        proxy.close();
        queue.put("first").await.unwrap();
        queue.put("second").await.unwrap();
        proxy.open();
        assert_eq!(taken.await.unwrap(), Ok(b"first".to_vec()));
        assert_eq!(queue.peek().await, Ok(Some(b"second".to_vec())));
        assert_eq!(queue.len().await, Ok(1));
    });
}

#[test]
fn links_that_break_double_nothing_and_lose_only_what_is_told() {
    with_server("queue-cuts", |server| async move {
        let proxy = Arc::new(Proxy::to(&server.address).await);
        let cutting = tokio::spawn(cut_again_and_again(Arc::clone(&proxy)));
        let (mut tasks, mut known) = (Vec::new(), BTreeSet::new());
        for producer in 0..2 {
            let client = start(Client::builder(), &proxy.address).await;
            tasks.push(tokio::spawn(async move {
                let (plain, locking) =
                    (Queue::new(&client, "/p"), LockingQueue::new(&client, "/l"));
                let mut known = Vec::new();
                for item in 0..80 {
                    let item = format!("{producer} {item}");
                    let put = (plain.put(&item).await, locking.put(&item).await);
                    for (queue, put) in [("p", put.0), ("l", put.1)] {
                        match put {
                            Ok(()) => known.push(format!("{queue} {item}")),
                            Err(error) => assert_eq!(error, Error::ConnectionLoss),
                        }
                    }
                }
                known
            }));
        }
        let all_are_put = Arc::new(AtomicBool::new(false));
        let mut takers = Vec::new();
        for _ in 0..2 {
            let client = start(Client::builder(), &proxy.address).await;
            let all_are_put = Arc::clone(&all_are_put);
            takers.push(tokio::spawn(async move { take_all(&client, &all_are_put).await }));
        }
        for task in tasks {
            known.extend(task.await.unwrap());
        }
        all_are_put.store(true, Ordering::SeqCst);
        let (mut taken, mut lost_max) = (Vec::new(), 0);
        for taker in takers {
            let (some, lost) = taker.await.unwrap();
            taken.extend(some);
            lost_max += lost;
        }
        cutting.abort();
        let count = taken.len();
        let taken: BTreeSet<_> = taken.into_iter().collect();
        assert_eq!(taken.len(), count, "nothing comes twice");
        let lost: Vec<_> = known.difference(&taken).collect();
        assert!(lost.iter().all(|item| item.starts_with('p')), "{lost:?}");
        assert!(lost.len() <= lost_max, "{lost:?}, but {lost_max} were told");
    });
}

/// Takes from the queues /p and /l until nothing comes any more: what came, and how often an item
/// may have been lost.
async fn take_all(client: &Client, all_are_put: &AtomicBool) -> (Vec<String>, usize) {
    let (plain, locking) = (Queue::new(client, "/p"), LockingQueue::new(client, "/l"));
    let (mut taken, mut lost) = (Vec::new(), 0);
    loop {
        let is_last = all_are_put.load(Ordering::SeqCst);
        let mut is_empty = false;
        match plain.take_within(A_MOMENT).await {
            Ok(Some(item)) => taken.push(format!("p {}", text(item))),
            Ok(None) => is_empty = true,
            Err(error) => {
                assert_eq!(error, Error::ConnectionLoss);
                lost += 1;
            }
        }
        if let Some(item) = locking.take_within(A_MOMENT).await.unwrap() {
            let data = text(item.data().to_vec());
            item.complete().await.unwrap();
            taken.push(format!("l {data}"));
        } else if is_last && is_empty {
            return (taken, lost);
        }
    }
}

async fn cut_again_and_again(proxy: Arc<Proxy>) {
    for pause_ms in [21, 9, 33, 15, 51, 6, 39].iter().cycle() {
        tokio::time::sleep(Duration::from_millis(*pause_ms)).await;
        proxy.cut();
    }
}

#[test]
fn a_priority_queue_gives_the_most_urgent_first() {
    with_server("priority-queue", |server| async move {
        let client = connect(&server).await;
        let queue = PriorityQueue::new(&client, "/queue");
        for (priority, item) in [(100, "c"), (100, "d"), (1, "a"), (999, "e"), (50, "b")] {
            queue.put(priority, item).await.unwrap();
        }
        assert_eq!(queue.put(1000, "").await, Err(Error::BadArguments));
        let mut taken = Vec::new();
        while let Some(item) = queue.take_within(A_MOMENT).await.unwrap() {
            taken.extend(item);
        }
        assert_eq!(taken, b"abcde");
        let (names, _) = client.children("/queue").await.unwrap();
        assert_eq!(names, [""; 0]);
    });
}

#[test]
fn a_delay_queue_gives_nothing_before_its_time() {
    with_server("delay-queue", |server| async move {
        let client = connect(&server).await;
        let queue = DelayQueue::new(&client, "/queue");
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let begin = now();
        let due = move |ms| begin + Duration::from_millis(ms);
        queue.put_at(due(60_000), "much later").await.unwrap();
        queue.put_at(due(700), "later").await.unwrap();
        queue.put_at(due(400), "soon").await.unwrap();
        queue.put_at(due(0), "now").await.unwrap();
        for (item, ms) in [("now", 0), ("soon", 400), ("later", 700)] {
            assert_eq!(text(queue.take().await.unwrap()), item);
            // Whole milliseconds are stored.
            assert!(now() + Duration::from_millis(1) >= due(ms), "{item} too early");
        }
        assert_eq!(queue.take_within(A_MOMENT).await, Ok(None));
        let late = DelayQueue::new(&client, "/queue").clock(move || due(60_001));
        assert_eq!(text(late.take().await.unwrap()), "much later");
        assert_eq!(queue.len().await, Ok(0));
    });
}

#[test]
fn a_locked_item_goes_on_when_its_taker_dies() {
    with_server("locking-queue", |server| async move {
        let (one, two) = (connect(&server).await, connect(&server).await);
        let (queue, other) = (LockingQueue::new(&one, "/q"), LockingQueue::new(&two, "/q"));
        queue.put_all(100, &["1", "2"]).await.unwrap();
        queue.put_with(5, "0").await.unwrap();
        let first = queue.take().await.unwrap();
        assert_eq!((first.data(), first.name()), (&b"0"[..], "entry-005-0000000002"));
        let second = other.take().await.unwrap();
        assert_eq!(second.data(), b"1");
        second.complete().await.unwrap();
        // Given back, by hand and by being dropped: it comes again, at its old place.
        first.release().await.unwrap();
        let first = queue.take().await.unwrap();
        assert_eq!(first.data(), b"0");
        drop(first);
        let first = patiently("it is back", async {
            loop {
                match queue.take().await.unwrap() {
                    item if item.data() == b"0" => return item,
                    item => item.release().await.unwrap(),
                }
            }
        });
        let first = first.await;
        let lost = tokio::spawn(first.lost());
        let third = other.take().await.unwrap();
        assert_eq!(third.data(), b"2");
        third.complete().await.unwrap();
        let next = tokio::spawn(async move { other.take().await });
        // Two lists, and the lock that may be lost.
        watches(&server, 3).await;
        end_session(&server.address, &one);
        let next = next.await.unwrap().unwrap();
        assert_eq!(next.data(), b"0");
        assert!(next.fencing() > first.fencing());
        lost.await.unwrap();
        assert_eq!(first.complete().await, Err(Error::SessionExpired));
        next.complete().await.unwrap();
        let queue = LockingQueue::new(&two, "/q");
        assert_eq!(queue.len().await, Ok(0));
        assert!(queue.take_within(A_MOMENT).await.unwrap().is_none());
        assert_eq!(two.children("/q/taken").await.unwrap().0, [""; 0]);
    });
}

#[test]
fn no_locked_item_is_lost_when_takers_die() {
    with_server("locking-queue-kills", |server| async move {
        let client = connect(&server).await;
        let items: Vec<String> = (0..60).map(|item| item.to_string()).collect();
        LockingQueue::new(&client, "/q").put_all(100, &items).await.unwrap();
        let mut workers = Vec::new();
        for worker in 0..4 {
            let server = Arc::clone(&server);
            workers.push(tokio::spawn(async move {
                let mut done = Vec::new();
                let mut client = connect(&server).await;
                for turn in 0.. {
                    let queue = LockingQueue::new(&client, "/q");
                    let Some(item) = queue.take_within(A_MOMENT).await.unwrap() else { break };
                    // Every fifth item finds a taker that dies with it.
                    if (turn + worker) % 5 == 0 {
                        end_session(&server.address, &client);
                        let next = connect(&server).await;
                        assert_eq!(item.complete().await, Err(Error::SessionExpired));
                        client = next;
                    } else {
                        let data = text(item.data().to_vec());
                        item.complete().await.unwrap();
                        done.push(data);
                    }
                }
                done
            }));
        }
        let mut done = Vec::new();
        for worker in workers {
            done.extend(worker.await.unwrap());
        }
        assert_eq!(done.len(), 60, "each once");
        assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), items.into_iter().collect());
    });
}

#[test]
fn a_tree_cache_follows_over_kills_and_sessions() {
    let dir = TestDir::new("tree-cache");
    let mut server = Server::start(&dir, &[]);
    let port: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    run(async {
        let (writer, reader) = (connect(&server).await, connect(&server).await);
        let sessions = Sessions::new(&reader);
        let cache = TreeCache::new(&sessions, "/tree", &CacheOptions::new().reads_at_once(8));
        let mut copy = Copy::of(cache.events());
        cache.ready().await.unwrap();
        assert!(cache.is_empty());
        let mut chaos = Chaos(1);
        for round in 0..8 {
            let changes = tokio::spawn(change(writer.clone(), chaos.next(), 60));
            if round % 2 == 0 {
                server.kill();
                server = Server::start_on(&dir, port, &[]);
            } else {
                tokio::task::yield_now().await;
                end_session(&server.address, &sessions.client());
            }
            changes.await.unwrap();
            same(&writer, &cache, &mut copy).await;
        }
        assert_ne!(sessions.client().session(), reader.session(), "sessions were lost");
        delete_all(&writer, "/tree").await;
        same(&writer, &cache, &mut copy).await;
        assert!(cache.is_empty() && copy.nodes.is_empty());
        drop(cache);
        while copy.take().await.is_some() {}
    });
}

#[test]
fn a_tree_cache_follows_over_changes_of_leaders() {
    let mut ensemble = Ensemble::new("tree-cache-leaders", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    run(async {
        let servers = ensemble.addresses().join(",");
        let patient = || Client::builder().session_timeout(Duration::from_secs(30));
        let (writer, reader) = (start(patient(), &servers).await, start(patient(), &servers).await);
        let sessions = Sessions::new(&reader);
        let cache = TreeCache::new(&sessions, "/tree", &CacheOptions::new());
        let mut copy = Copy::of(cache.events());
        cache.ready().await.unwrap();
        for round in 0..3 {
            let changes = tokio::spawn(change(writer.clone(), 7 + round, 60));
            let leader = ensemble.leader();
            ensemble.kill(leader);
            changes.await.unwrap();
            ensemble.start(leader);
            ensemble.wait_serving(leader);
            // A new session, perhaps with a server that is behind the one before.
            let follower = (ensemble.leader() + 1) % 3;
            end_session(&ensemble.address(follower), &sessions.client());
            same(&writer, &cache, &mut copy).await;
        }
    });
}

#[test]
fn a_tree_cache_loads_many_nodes_and_serves_latecomers() {
    with_server("tree-cache-many", |server| async move {
        let client = connect(&server).await;
        for path in ["/tree", "/tree/a", "/tree/b"] {
            client.create(path, "", &CreateOptions::persistent()).await.unwrap();
        }
        let paths: Vec<_> = (0..1500).map(|n| format!("/tree/{}/{n}", ["a", "b"][n % 2])).collect();
        let create = |path: &String| client.create(path, "x", &CreateOptions::persistent());
        for created in paths.iter().map(create).collect::<Vec<_>>() {
            created.await.unwrap();
        }
        let cache = TreeCache::new(&client, "/tree", &CacheOptions::new());
        cache.ready().await.unwrap();
        assert_eq!((cache.len(), cache.children("/tree/a").len()), (1503, 750));
        let mut copy = Copy::of(cache.events());
        same(&client, &cache, &mut copy).await;
        let children = TreeCache::new(&client, "/tree", &CacheOptions::new().depth(1));
        children.ready().await.unwrap();
        assert_eq!(children.len(), 3);
    });
}

#[test]
fn events_of_one_node_come_in_order() {
    with_server("cache-order", |server| async move {
        let proxy = Proxy::to(&server.address).await;
        let reader = start(Client::builder(), &proxy.address).await;
        let writer = connect(&server).await;
        let cache = NodeCache::new(&reader, "/node");
        cache.ready().await.unwrap();
        assert_eq!(cache.get(), None);
        let mut events = cache.events();
        let writing = tokio::spawn(async move {
            writer.create("/node", "0", &CreateOptions::persistent()).await.unwrap();
            for number in 1..=300 {
                if number % 100 == 0 {
                    proxy.cut();
                }
                writer.set("/node", number.to_string(), None).await.unwrap();
            }
            (writer, proxy)
        });
        let (mut last, mut stale) = (None, 0);
        while last != Some(300) {
            let node = match next(&mut events).await {
                CacheEvent::Created(node) | CacheEvent::Changed { new: node, .. } => node,
                CacheEvent::Stale => {
                    stale += 1;
                    continue;
                }
                CacheEvent::Current => continue,
                other => panic!("{other:?}"),
            };
            let number: i32 = text(node.data.clone()).parse().unwrap();
            assert!(last < Some(number) && node.stat.version == number, "{last:?} {node:?}");
            last = Some(number);
        }
        let (writer, _proxy) = writing.await.unwrap();
        assert!(stale > 0, "the link was cut");
        writer.delete("/node", None).await.unwrap();
        loop {
            if let CacheEvent::Deleted(node) = next(&mut events).await {
                assert_eq!(text(node.data.clone()), "300");
                break;
            }
        }
        assert_eq!(cache.get(), None);
    });
}

#[test]
fn a_persistent_node_comes_back() {
    with_server("persistent-node", |server| async move {
        let (client, other) = (connect(&server).await, connect(&server).await);
        let sessions = Sessions::new(&client);
        let ephemeral = CreateOptions::ephemeral();
        let node = PersistentNode::new(&sessions, "/a/b/node", "1", ephemeral).unwrap();
        let first = node.placed().await.unwrap();
        assert_eq!(Some(first.ephemeral_owner), client.session().map(|(id, _)| id));
        other.delete("/a/b/node", None).await.unwrap();
        let second = node.placed_again(first.czxid).await.unwrap();
        node.set("2").await.unwrap();
        assert_eq!(other.get("/a/b/node").await.unwrap().0, b"2");
        end_session(&server.address, &client);
        let third = node.placed_again(second.czxid).await.unwrap();
        assert_ne!(third.ephemeral_owner, second.ephemeral_owner);
        assert_eq!(other.get("/a/b/node").await.unwrap().0, b"2");
        node.close().await.unwrap();
        assert_eq!(other.exists("/a/b/node").await.unwrap(), None);
        // One that is another session's is taken over when that goes.
        other.create("/a/b/node", "theirs", &CreateOptions::ephemeral()).await.unwrap();
        let node = PersistentNode::new(&sessions, "/a/b/node", "3", CreateOptions::ephemeral());
        let node = node.unwrap();
        let theirs = node.placed().await.unwrap();
        end_session(&server.address, &other);
        let own = node.placed_again(theirs.czxid).await.unwrap();
        let session = sessions.client().session().map(|(id, _)| id);
        assert_eq!(Some(own.ephemeral_owner), session);
        drop(node);
        let watching = connect(&server).await;
        gone(&watching, "/a/b/node").await;
        let sequential = CreateOptions::ephemeral().sequential();
        let refused = PersistentNode::new(&sessions, "/a/b/n", "", sequential);
        assert_eq!(refused.unwrap_err(), Error::BadArguments);
        let below = PersistentNode::new(&sessions, "/zookeeper/config/x", "", Default::default());
        assert_eq!(below.unwrap().placed().await, Err(Error::NoAuth));
    });
}

#[test]
fn a_group_sees_its_members_come_and_go() {
    with_server("group", |server| async move {
        let (one, two) = (connect(&server).await, connect(&server).await);
        let (group, other) = (Group::new(&one, "/group"), Group::new(&two, "/group"));
        let first = group.join("first", "1").unwrap();
        first.joined().await.unwrap();
        group.ready().await.unwrap();
        let mut events = group.events();
        assert_eq!(group_event(&mut events).await, "first joins with 1");
        let second = other.join("second", "2").unwrap();
        assert_eq!(group_event(&mut events).await, "second joins with 2");
        assert_eq!(group.members().into_keys().collect::<Vec<_>>(), ["first", "second"]);
        second.set("3").await.unwrap();
        assert_eq!(group_event(&mut events).await, "second has 3");
        end_session(&server.address, &two);
        assert_eq!(group_event(&mut events).await, "second leaves");
        assert_eq!(group_event(&mut events).await, "second joins with 3");
        second.leave().await.unwrap();
        assert_eq!(group_event(&mut events).await, "second leaves");
        drop(first);
        assert_eq!(group_event(&mut events).await, "first leaves");
    });
}

#[test]
fn discovery_finds_what_is_registered() {
    with_server("discovery", |server| async move {
        let (one, two) = (connect(&server).await, connect(&server).await);
        let (mine, theirs) = (Discovery::new(&one, "/s"), Discovery::new(&two, "/s"));
        let web = mine.provider("web", Strategy::round_robin());
        web.ready().await.unwrap();
        assert_eq!(web.choose(), None);
        let first = mine.register(instance("web", "w1", 1)).await.unwrap();
        let second = theirs.register(instance("web", "w2", 2)).await.unwrap();
        let mut lasting = instance("db", "d1", 3);
        lasting.service_type = ServiceType::Permanent;
        drop(theirs.register(lasting.clone()).await.unwrap());
        let mut names = mine.names().await.unwrap();
        names.sort_unstable();
        assert_eq!(names, ["db", "web"]);
        ids(&web, &["w1", "w2"]).await;
        assert_eq!(mine.instance("web", "w2").await, Ok(Some(instance("web", "w2", 2))));
        assert_eq!(mine.instances("none").await, Ok(Vec::new()));
        assert_eq!(mine.instances("db").await, Ok(vec![lasting]));
        second.update(&instance("web", "w2", 7)).await.unwrap();
        let changed = || web.instances().iter().any(|instance| instance.port == Some(7));
        until(&web, changed).await;
        // The dead session's instance goes and comes back with another session.
        let before = one.exists("/s/web/w2").await.unwrap().unwrap();
        end_session(&server.address, &two);
        patiently("it is registered again", async {
            while one.exists("/s/web/w2").await.unwrap().is_none_or(|s| s.czxid == before.czxid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        ids(&web, &["w1", "w2"]).await;
        second.unregister().await.unwrap();
        ids(&web, &["w1"]).await;
        drop(first);
        ids(&web, &[]).await;
        assert_eq!(web.choose(), None);
    });
}

#[test]
fn strategies_choose_among_those_that_are_up() {
    with_server("strategies", |server| async move {
        let client = connect(&server).await;
        let discovery = Discovery::new(&client, "/s");
        let mut registrations = Vec::new();
        for (id, port) in [("r1", 1), ("r2", 2), ("r3", 3)] {
            registrations.push(discovery.register(instance("rpc", id, port)).await.unwrap());
        }
        let mut disabled = instance("rpc", "r4", 4);
        disabled.enabled = false;
        registrations.push(discovery.register(disabled).await.unwrap());
        client.create("/s/rpc/broken", "{", &CreateOptions::persistent()).await.unwrap();
        let policy = DownPolicy { errors: 1, time: Duration::from_secs(600) };
        let turn = discovery.provider("rpc", Strategy::round_robin()).down_policy(policy);
        ids(&turn, &["r1", "r2", "r3"]).await;
        let chosen: Vec<_> = (0..6).map(|_| turn.choose().unwrap().id.clone()).collect();
        assert_eq!(chosen, ["r1", "r2", "r3", "r1", "r2", "r3"]);
        turn.note_error(&instance("rpc", "r2", 2));
        let chosen: BTreeSet<_> = (0..6).map(|_| turn.choose().unwrap().id.clone()).collect();
        assert_eq!(chosen, BTreeSet::from(["r1".to_owned(), "r3".to_owned()]));
        let settled = discovery.provider("rpc", Strategy::random().sticky());
        ids(&settled, &["r1", "r2", "r3"]).await;
        let chosen = settled.choose().unwrap();
        assert!((0..20).all(|_| settled.choose().as_ref() == Some(&chosen)));
        let at = ["r1", "r2", "r3"].iter().position(|id| *id == chosen.id).unwrap();
        registrations.remove(at).unregister().await.unwrap();
        until(&settled, || settled.instances().len() == 2).await;
        assert_ne!(settled.choose().unwrap().id, chosen.id);
    });
}

/// Runs a test against a server of its own.
fn with_server<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Arc<Server>) -> F) {
    let dir = TestDir::new(name);
    let server = Arc::new(Server::start(&dir, &["4lw.commands.whitelist=*"]));
    run(test(Arc::clone(&server)));
}

/// Ends a client's session behind its back.
fn end_session(address: &str, client: &Client) {
    let (session, password) = client.session().expect("it is connected");
    let request =
        SessionRequest { timeout_ms: 30_000, session, password, last_zxid: Zxid::default() };
    loop {
        let thief = RawClient::resume(address, &request);
        // The client may have taken its session back before it is closed.
        if let Ok(None | Some(Ok(_))) = thief.map(|thief| thief.map(RawClient::close_session)) {
            return;
        }
    }
}

/// Waits until so many watches are set, so that a wait has begun.
async fn watches(server: &Server, count: usize) {
    patiently("somebody waits", async {
        loop {
            let address = server.address.clone();
            let told = tokio::task::spawn_blocking(move || four_letter_word(&address, "mntr"));
            let wanted = format!("zk_watch_count\t{count}");
            if told.await.unwrap().lines().any(|line| line == wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn four_letter_word(address: &str, word: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).expect("the server serves");
    stream.write_all(word.as_bytes()).expect("it listens");
    let mut told = String::new();
    stream.read_to_string(&mut told).expect("it answers");
    told
}

async fn gone(client: &Client, path: &str) {
    patiently("it is gone", async {
        loop {
            let (stat, watch) = client.exists_and_watch(path).await.unwrap();
            if stat.is_none() {
                return;
            }
            watch.await;
        }
    })
    .await;
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("tests write text")
}

fn instance(name: &str, id: &str, port: u16) -> ServiceInstance {
    let mut instance = ServiceInstance::new(name, id);
    instance.address = Some("127.0.0.1".to_owned());
    instance.port = Some(port);
    instance
}

/// Waits until these are the instances that can be used.
async fn ids(provider: &ServiceProvider, wanted: &[&str]) {
    let found = || provider.instances().iter().map(|i| i.id.clone()).collect::<Vec<_>>() == wanted;
    until(provider, found).await;
}

async fn until(provider: &ServiceProvider, is_so: impl Fn() -> bool) {
    let mut events = provider.events();
    patiently("the provider has seen it", async {
        while !is_so() {
            events.next().await.expect("the provider is there");
        }
    })
    .await;
}

/// The next event that tells of a member.
async fn group_event(events: &mut GroupEvents) -> String {
    loop {
        let event = patiently("the group has news", events.next()).await;
        return match event.expect("the group is there") {
            GroupEvent::Joined { id, data } => format!("{id} joins with {}", text(data)),
            GroupEvent::Changed { id, data } => format!("{id} has {}", text(data)),
            GroupEvent::Left { id } => format!("{id} leaves"),
            GroupEvent::Current | GroupEvent::Stale => continue,
        };
    }
}

async fn next(events: &mut CacheEvents) -> CacheEvent {
    patiently("the cache has news", events.next()).await.expect("the cache is there")
}

/// What somebody has who applies a cache's events, and objects when they make no sense.
struct Copy {
    events: CacheEvents,
    nodes: BTreeMap<String, (Vec<u8>, Zxid)>,
    is_current: bool,
}

impl Copy {
    fn of(events: CacheEvents) -> Self {
        Self { events, nodes: BTreeMap::new(), is_current: false }
    }

    /// Applies the next event; nothing when the cache has ended.
    async fn take(&mut self) -> Option<()> {
        match patiently("the cache has news", self.events.next()).await? {
            CacheEvent::Created(node) => {
                let (parent, _) = node.path.rsplit_once('/').unwrap();
                let is_root = parent.is_empty();
                assert!(is_root || self.nodes.contains_key(parent), "{} too early", node.path);
                let value = (node.data.clone(), node.stat.mzxid);
                assert_eq!(self.nodes.insert(node.path.clone(), value), None, "{}", node.path);
            }
            CacheEvent::Changed { old, new } => {
                let value = (new.data.clone(), new.stat.mzxid);
                let before = self.nodes.insert(new.path.clone(), value);
                assert_eq!(before, Some((old.data.clone(), old.stat.mzxid)), "{}", new.path);
                assert!(old.stat.mzxid < new.stat.mzxid, "{} went back", new.path);
            }
            CacheEvent::Deleted(node) => {
                let before = self.nodes.remove(&node.path);
                assert_eq!(before, Some((node.data.clone(), node.stat.mzxid)), "{}", node.path);
            }
            CacheEvent::Current => self.is_current = true,
            CacheEvent::Stale => self.is_current = false,
        }
        Some(())
    }
}

/// Waits until cache and copy have what the server has.
async fn same(client: &Client, cache: &TreeCache, copy: &mut Copy) {
    let mut real = BTreeMap::new();
    let mut paths = vec![cache.root()];
    while let Some(path) = paths.pop() {
        let (names, _) = match client.children(&path).await {
            Err(Error::NoNode) => continue,
            answer => answer.unwrap(),
        };
        let (data, stat) = client.get(&path).await.unwrap();
        paths.extend(names.iter().map(|name| format!("{path}/{name}")));
        real.insert(path, (data, stat.mzxid));
    }
    while copy.nodes != real || !copy.is_current {
        copy.take().await.expect("the cache is there");
    }
    cache.ready().await.unwrap();
    let cached = cache.nodes();
    let cached = cached.iter().map(|n| (n.path.clone(), (n.data.clone(), n.stat.mzxid)));
    assert_eq!(cached.collect::<BTreeMap<_, _>>(), real);
}

/// Makes, changes and deletes nodes of a small tree; errors do not matter, also those of a server
/// that is killed.
async fn change(client: Client, seed: u64, count: usize) {
    let mut chaos = Chaos(seed);
    for number in 0..count {
        let depth = chaos.below(4);
        let path: String = (0..depth).map(|_| format!("/{}", chaos.below(3))).collect();
        let path = format!("/tree{path}");
        let done = match chaos.below(5) {
            0 | 1 => {
                let created =
                    client.create(&path, number.to_string(), &CreateOptions::persistent());
                created.await.map(drop)
            }
            2 | 3 => client.set(&path, number.to_string(), None).await.map(drop),
            _ => client.delete(&path, None).await,
        };
        let expected = [Error::NoNode, Error::NodeExists, Error::NotEmpty, Error::ConnectionLoss];
        assert!(done.is_ok() || expected.contains(done.as_ref().unwrap_err()), "{done:?}");
    }
}

async fn delete_all(client: &Client, path: &str) {
    let mut paths = vec![path.to_owned()];
    let mut at = 0;
    while let Some(path) = paths.get(at).cloned() {
        at += 1;
        let (names, _) = client.children(&path).await.unwrap_or_default();
        paths.extend(names.iter().map(|name| format!("{path}/{name}")));
    }
    for path in paths.iter().rev() {
        let deleted = client.delete(path, None).await;
        assert!(matches!(deleted, Ok(()) | Err(Error::NoNode)), "{deleted:?}");
    }
}

/// Numbers that are the same each time.
struct Chaos(u64);

impl Chaos {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0 >> 33
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
