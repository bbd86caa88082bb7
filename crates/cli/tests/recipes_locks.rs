//! The client's locks, elections, barriers and counters against a real server: who gets what and
//! when, with sessions ended and connections cut under them.

mod common;

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use common::{PATIENCE, Server, TestDir};
use ostler_cli::raw_client::{RawClient, SessionRequest};
use ostler_client::recipes::{
    Barrier, Counter, DoubleBarrier, Election, Form, Layout, LeaderLatch, Leadership, MultiLock,
    Mutex, Outcome, ReentrantMutex, RwLock, Semaphore, SharedCount, SharedValue, Term,
};
use ostler_client::{Client, CreateOptions, Error, Zxid};

#[test]
fn a_mutex_lets_one_in_at_a_time() {
    with_server("mutex-excludes", |server| async move {
        let first = server.client().await;
        first.create("/count", b"0", &CreateOptions::persistent()).await.unwrap();
        let mut workers = Vec::new();
        for worker in 0..8 {
            let client = server.client().await;
            let layout = if worker % 2 == 0 { Layout::Curator } else { Layout::Kazoo };
            workers.push(tokio::spawn(async move {
                let mutex = Mutex::new(&client, "/locks/count").layout(layout);
                for _ in 0..10 {
                    let guard = mutex.acquire().await.unwrap();
                    add_one_carelessly(&client, guard.fencing()).await;
                    // Some wait for the confirmation, others leave it to the background.
                    if worker < 4 {
                        guard.release().await.unwrap();
                    }
                }
            }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
        let (data, _) = first.get("/count").await.unwrap();
        assert!(data.starts_with(b"80 "), "{}", String::from_utf8_lossy(&data));
        settled(&first, "/locks/count", 0).await;
    });
}

/// Reads and writes without a version: only exclusion keeps this from losing counts. The tokens
/// have to grow from holder to holder.
async fn add_one_carelessly(client: &Client, token: Zxid) {
    let (data, _) = client.get("/count").await.unwrap();
    let text = String::from_utf8(data).unwrap();
    let mut words = text.split(' ').map(|word| word.parse::<i64>().unwrap());
    let count = words.next().unwrap();
    let token_before = words.next().unwrap_or(0);
    assert!(token_before < token.0, "{token_before} {token:?}");
    client.set("/count", format!("{} {}", count + 1, token.0).as_bytes(), None).await.unwrap();
}

#[test]
fn a_mutex_is_handed_over_in_the_order_of_arrival() {
    with_server("mutex-order", |server| async move {
        let client = server.client().await;
        let mutex = Mutex::new(&client, "/lock");
        let held = mutex.acquire().await.unwrap();
        let order = Arc::new(StdMutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..5 {
            let mutex = Mutex::new(&server.client().await, "/lock").data([number]);
            let order = Arc::clone(&order);
            waiting.push(tokio::spawn(async move {
                let guard = mutex.acquire().await.unwrap();
                order.lock().unwrap().push(number);
                guard.release().await.unwrap();
            }));
            settled(&client, "/lock", usize::from(number) + 2).await;
        }
        let contenders = mutex.contenders().await.unwrap();
        assert_eq!(contenders, [vec![], vec![0], vec![1], vec![2], vec![3], vec![4]]);
        held.release().await.unwrap();
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn a_lock_goes_on_when_its_holder_loses_the_session() {
    with_server("mutex-session", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let held = Mutex::new(&one, "/lock").acquire().await.unwrap();
        let lost = tokio::spawn(held.lost());
        let next = tokio::spawn(async move { Mutex::new(&two, "/lock").acquire().await });
        settled(&one, "/lock", 2).await;
        assert!(!lost.is_finished() && !next.is_finished());
        assert!(held.is_held().await.unwrap());
        server.end_session(&one);
        let next = next.await.unwrap().unwrap();
        lost.await.unwrap();
        assert!(held.fencing() < next.fencing());
        assert!(!held.is_held().await.unwrap() && next.is_held().await.unwrap());
        // To release what is lost is no error.
        held.release().await.unwrap();
        assert_eq!(Mutex::new(&one, "/lock").acquire().await.unwrap_err(), Error::SessionExpired);
    });
}

#[test]
fn a_deleted_node_is_a_lost_lock_and_a_waiting_one_lines_up_again() {
    with_server("mutex-deleted", |server| async move {
        let client = server.client().await;
        let mutex = Mutex::new(&client, "/lock");
        let held = mutex.acquire().await.unwrap();
        let waiting = tokio::spawn({
            let mutex = mutex.clone();
            async move { mutex.acquire().await }
        });
        settled(&client, "/lock", 2).await;
        let (names, _) = client.children("/lock").await.unwrap();
        let own = held.path().rsplit_once('/').unwrap().1;
        let other = names.iter().find(|name| *name != own).unwrap();
        client.delete(&format!("/lock/{other}"), None).await.unwrap();
        client.delete(held.path(), None).await.unwrap();
        held.lost().await;
        assert!(!held.is_held().await.unwrap());
        let next = waiting.await.unwrap().unwrap();
        assert!(!next.path().ends_with(other.as_str()));
        assert!(held.fencing() < next.fencing());
    });
}

#[test]
fn who_only_tries_leaves_nothing_behind() {
    with_server("mutex-try", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let (mine, theirs) = (Mutex::new(&one, "/lock"), Mutex::new(&two, "/lock"));
        let held = mine.try_acquire().await.unwrap().expect("nobody has it");
        assert!(theirs.try_acquire().await.unwrap().is_none());
        settled(&one, "/lock", 1).await;
        let within = theirs.acquire_within(Duration::from_millis(20)).await.unwrap();
        assert!(within.is_none());
        settled(&one, "/lock", 1).await;
        held.release().await.unwrap();
        assert!(theirs.acquire_within(PATIENCE).await.unwrap().is_some());
    });
}

#[test]
fn a_dropped_future_leaves_nothing_behind_at_whatever_point() {
    with_server("mutex-dropped", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let mutex = Mutex::new(&one, "/parent/lock");
        let held = mutex.acquire().await.unwrap();
        let other = Mutex::new(&two, "/parent/lock");
        // Asked for and not answered yet.
        for _ in 0..10 {
            poll_once(pin!(other.acquire()));
        }
        // In line.
        let waiting = tokio::spawn(async move { other.acquire().await });
        settled(&one, "/parent/lock", 2).await;
        waiting.abort();
        settled(&one, "/parent/lock", 1).await;
        // The same when there is nobody to wait for.
        held.release().await.unwrap();
        for _ in 0..10 {
            poll_once(pin!(mutex.acquire()));
        }
        settled(&one, "/parent/lock", 0).await;
    });
}

#[test]
fn a_creation_whose_answer_is_lost_is_found_again() {
    with_server("mutex-unanswered", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let (one, two) = (connected(&proxy.address).await, server.client().await);
        let other = Mutex::new(&two, "/lock");
        drop(other.acquire().await.unwrap());
        settled(&two, "/lock", 0).await;
        proxy.swallow(true);
        let acquiring = tokio::spawn(async move { Mutex::new(&one, "/lock").acquire().await });
        settled(&two, "/lock", 1).await;
        proxy.swallow(false);
        proxy.cut();
        let held = acquiring.await.unwrap().unwrap();
        settled(&two, "/lock", 1).await;
        assert!(other.try_acquire().await.unwrap().is_none());
        held.release().await.unwrap();
        assert!(other.try_acquire().await.unwrap().is_some());
    });
}

#[test]
fn a_dropped_future_whose_answer_is_lost_leaves_nothing_behind() {
    with_server("mutex-unanswered-dropped", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let (one, two) = (connected(&proxy.address).await, server.client().await);
        Barrier::new(&two, "/lock").set().await.unwrap();
        proxy.swallow(true);
        let acquiring = tokio::spawn(async move { Mutex::new(&one, "/lock").acquire().await });
        settled(&two, "/lock", 1).await;
        acquiring.abort();
        assert!(acquiring.await.unwrap_err().is_cancelled());
        proxy.swallow(false);
        proxy.cut();
        settled(&two, "/lock", 0).await;
    });
}

#[test]
fn a_holder_that_is_cut_off_knows_before_the_next_one_holds() {
    with_server("mutex-cut-off", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let one = Client::builder().session_timeout(Duration::from_secs(4));
        let one = one.connect(&proxy.address).await.unwrap();
        let two = server.client().await;
        let held = Mutex::new(&one, "/lock").acquire().await.unwrap();
        let is_lost = Arc::new(AtomicBool::new(false));
        let lost = tokio::spawn({
            let (lost, is_lost) = (held.lost(), Arc::clone(&is_lost));
            async move {
                lost.await;
                is_lost.store(true, Ordering::SeqCst);
            }
        });
        proxy.swallow(true);
        proxy.refuse(true);
        proxy.cut();
        let next = Mutex::new(&two, "/lock").acquire().await.unwrap();
        assert!(is_lost.load(Ordering::SeqCst));
        lost.await.unwrap();
        assert!(held.fencing() < next.fencing());
    });
}

#[test]
fn a_short_interruption_loses_no_lock() {
    with_server("mutex-interrupted", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let one = connected(&proxy.address).await;
        let held = Mutex::new(&one, "/lock").acquire().await.unwrap();
        let lost = tokio::spawn(held.lost());
        for _ in 0..3 {
            proxy.cut();
            one.get("/").await.ok();
            ostler_client::Retry::forever(Duration::from_millis(5))
                .run(&one, || one.exists("/lock"))
                .await
                .unwrap();
        }
        assert!(!lost.is_finished());
        assert!(one.exists(held.path()).await.unwrap().is_some());
    });
}

#[test]
fn a_reentrant_mutex_is_released_with_the_last_guard() {
    with_server("mutex-reentrant", |server| async move {
        let client = server.client().await;
        let mine = ReentrantMutex::new(Mutex::new(&client, "/lock"));
        let other = Mutex::new(&client, "/lock");
        let outer = mine.acquire().await.unwrap();
        let inner = mine.clone().acquire().await.unwrap();
        assert_eq!(outer.path(), inner.path());
        mine.release(outer).await.unwrap();
        assert!(other.try_acquire().await.unwrap().is_none());
        mine.release(inner).await.unwrap();
        let theirs = other.try_acquire().await.unwrap().expect("it is free");
        assert_ne!(mine_within(&mine).await, Some(theirs.path().to_owned()));
        theirs.release().await.unwrap();
        let held = mine.acquire().await.unwrap();
        server.end_session(&client);
        held.lost().await;
        assert_eq!(mine.acquire().await.unwrap_err(), Error::SessionExpired);
    });
}

/// The path of what the handle holds, if it gets the lock soon.
async fn mine_within(mutex: &ReentrantMutex) -> Option<String> {
    let acquired = tokio::time::timeout(Duration::from_millis(20), mutex.acquire()).await;
    acquired.ok().map(|guard| guard.unwrap().path().to_owned())
}

#[test]
fn contenders_of_curator_and_kazoo_are_waited_for() {
    with_server("mutex-foreign", |server| async move {
        let (client, theirs) = (server.client().await, server.client().await);
        let ephemeral = CreateOptions::ephemeral().sequential();
        let curators = "_c_5a0d7b5c-3a5f-4b6e-8d31-6a7a5a1c1a52-lock-";
        let kazoos = "5a0d7b5c3a5f4b6e8d316a7a5a1c1a52__lock__";
        Barrier::new(&client, "/lock").set().await.unwrap();
        for name in [curators, kazoos] {
            let foreign = theirs.create(&format!("/lock/{name}"), b"", &ephemeral).await.unwrap();
            let mutex = Mutex::new(&client, "/lock");
            assert!(mutex.try_acquire().await.unwrap().is_none(), "{name}");
            let waiting = tokio::spawn(async move { mutex.acquire().await });
            settled(&client, "/lock", 2).await;
            theirs.delete(&foreign.path, None).await.unwrap();
            waiting.await.unwrap().unwrap().release().await.unwrap();
        }
        // No contender, whatever it may be.
        theirs.create("/lock/config", b"", &CreateOptions::persistent()).await.unwrap();
        theirs.create("/lock/x-", b"", &ephemeral).await.unwrap();
        let mutex = Mutex::new(&client, "/lock");
        assert!(mutex.try_acquire().await.unwrap().is_some());
        assert!(mutex.beside("x-").try_acquire().await.unwrap().is_none());
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    with_server("rw-lock", |server| async move {
        for layout in [Layout::Curator, Layout::Kazoo] {
            let (one, two) = (server.client().await, server.client().await);
            let path = format!("/rw-{layout:?}");
            let mine = RwLock::new(&one, &path).layout(layout);
            let theirs = RwLock::new(&two, &path).layout(layout);
            let reading = (mine.read().await.unwrap(), theirs.read().await.unwrap());
            assert!(theirs.try_write().await.unwrap().is_none());
            let writing = tokio::spawn({
                let mine = mine.clone();
                async move { mine.write().await }
            });
            settled(&one, &path, 3).await;
            // Behind the writer, so that it gets its turn some time.
            assert!(theirs.try_read().await.unwrap().is_none());
            let behind = tokio::spawn({
                let theirs = theirs.clone();
                async move { theirs.read().await }
            });
            settled(&one, &path, 4).await;
            drop(reading.0);
            settled(&one, &path, 3).await;
            assert!(!writing.is_finished());
            reading.1.release().await.unwrap();
            let writer = writing.await.unwrap().unwrap();
            assert!(!behind.is_finished());
            let reader = mine.downgrade(writer).await.unwrap();
            let behind = behind.await.unwrap().unwrap();
            assert!(theirs.try_write().await.unwrap().is_none());
            assert_eq!(mine.downgrade(reader).await.unwrap_err(), Error::BadArguments);
            behind.release().await.unwrap();
            let writer = theirs.write_within(PATIENCE).await.unwrap().expect("all have gone");
            assert!(mine.read_within(Duration::from_millis(20)).await.unwrap().is_none());
            writer.release().await.unwrap();
        }
    });
}

#[test]
fn a_semaphore_has_so_many_leases_and_no_more() {
    with_server("semaphore", |server| async move {
        for layout in [Layout::Curator, Layout::Kazoo] {
            let path = format!("/semaphore-{layout:?}");
            let inside = Arc::new(AtomicUsize::new(0));
            let most = Arc::new(AtomicUsize::new(0));
            let mut workers = Vec::new();
            for worker in 0..7 {
                let semaphore = Semaphore::new(&server.client().await, &path, 3).layout(layout);
                let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
                workers.push(tokio::spawn(async move {
                    for _ in 0..4 {
                        let count = if worker == 0 { 2 } else { 1 };
                        let leases = semaphore.acquire_many(count).await.unwrap();
                        let now = inside.fetch_add(count, Ordering::SeqCst) + count;
                        most.fetch_max(now, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(count, Ordering::SeqCst);
                        drop(leases);
                    }
                }));
            }
            for worker in workers {
                worker.await.unwrap();
            }
            assert!(most.load(Ordering::SeqCst) <= 3);
        }
    });
}

#[test]
fn a_lease_comes_back_with_the_end_of_its_session() {
    with_server("semaphore-session", |server| async move {
        for layout in [Layout::Curator, Layout::Kazoo] {
            let path = format!("/semaphore-{layout:?}");
            let (one, two) = (server.client().await, server.client().await);
            let mine = Semaphore::new(&one, &path, 2).layout(layout);
            let theirs = Semaphore::new(&two, &path, 2).layout(layout);
            let leases = mine.acquire_many(2).await.unwrap();
            assert_eq!(theirs.held().await.unwrap(), 2);
            assert!(theirs.try_acquire().await.unwrap().is_none());
            assert!(theirs.acquire_within(Duration::from_millis(20)).await.unwrap().is_none());
            assert_eq!(mine.acquire_many(3).await.unwrap_err(), Error::BadArguments);
            let waiting = tokio::spawn({
                let theirs = theirs.clone();
                async move { theirs.acquire().await }
            });
            server.end_session(&one);
            waiting.await.unwrap().unwrap().release().await.unwrap();
            leases[0].lost().await;
            let lease = theirs.try_acquire().await.unwrap();
            assert!(lease.is_some());
            if layout == Layout::Kazoo {
                let more = Semaphore::new(&two, &path, 3).layout(layout);
                assert_eq!(more.acquire().await.unwrap_err(), Error::BadArguments);
            }
        }
    });
}

#[test]
fn several_locks_are_taken_together_or_not_at_all() {
    with_server("multi-lock", |server| async move {
        let mut workers = Vec::new();
        for worker in 0..6 {
            let client = server.client().await;
            let mut paths = ["/a", "/b", "/c"];
            paths.rotate_left(worker % 3);
            workers.push(tokio::spawn(async move {
                for _ in 0..5 {
                    let both = MultiLock::new(&client, paths).acquire().await.unwrap();
                    assert_eq!(both.fencing().count(), 3);
                    both.release().await.unwrap();
                }
            }));
        }
        for worker in workers {
            worker.await.unwrap();
        }
        let (one, two) = (server.client().await, server.client().await);
        let held = Mutex::new(&one, "/b").acquire().await.unwrap();
        let all = MultiLock::new(&two, ["/c", "/b", "/a", "/a"]);
        assert!(all.try_acquire().await.unwrap().is_none());
        assert!(all.acquire_within(Duration::from_millis(20)).await.unwrap().is_none());
        assert!(Mutex::new(&one, "/a").acquire_within(PATIENCE).await.unwrap().is_some());
        held.release().await.unwrap();
        let held = all.acquire().await.unwrap();
        let lost = tokio::spawn(held.lost());
        let path = held.fencing().nth(1).unwrap().0.to_owned();
        one.delete(&path, None).await.unwrap();
        lost.await.unwrap();
    });
}

#[test]
fn a_latch_has_one_leader_after_the_other() {
    with_server("latch", |server| async move {
        let clients = [server.client().await, server.client().await, server.client().await];
        let observer = server.client().await;
        let mut latches = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            latches.push(LeaderLatch::join(client, "/leaders", format!("host-{at}")));
            settled(&observer, "/leaders", at + 1).await;
        }
        let ids = latches[2].participants().await.unwrap();
        assert_eq!(ids, [b"host-0", b"host-1", b"host-2"]);
        let first = latches[0].lead().await.unwrap();
        assert!(!latches[1].is_leader() && !latches[2].is_leader());

        server.end_session(&clients[0]);
        let second = latches[1].lead().await.unwrap();
        latches[0].deposed().await;
        assert_eq!(latches[0].lead().await, Err(Error::SessionExpired));
        assert!(first < second);

        // Somebody deletes the leader's node: it lines up again.
        let (names, _) = observer.children("/leaders").await.unwrap();
        let leader = names.iter().min_by_key(|name| name.rsplit_once("latch-").unwrap().1);
        observer.delete(&format!("/leaders/{}", leader.unwrap()), None).await.unwrap();
        let third = latches[2].lead().await.unwrap();
        latches[1].deposed().await;
        assert!(second < third);

        let last = latches.pop().unwrap();
        last.withdraw().await.unwrap();
        assert!(third < latches[1].lead().await.unwrap());
        drop(latches);
        settled(&observer, "/leaders", 0).await;
    });
}

#[test]
fn a_latch_leads_again_after_an_interruption() {
    with_server("latch-interrupted", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let client = connected(&proxy.address).await;
        let mut latch = LeaderLatch::join(&client, "/leaders", "host");
        let token = latch.lead().await.unwrap();
        proxy.refuse(true);
        proxy.cut();
        assert_eq!(latch.changed().await, Leadership::Waiting);
        proxy.refuse(false);
        assert_eq!(latch.lead().await, Ok(token));
        client.close().await.unwrap();
        latch.deposed().await;
        assert!(latch.lead().await.is_err());
    });
}

#[test]
fn an_elected_task_is_stopped_when_its_session_ends() {
    with_server("election", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let leading = Arc::new(AtomicUsize::new(0));
        let first = tokio::spawn({
            let (election, leading) = (Election::new(&one, "/leader", "one"), leading.clone());
            async move { election.run(|_| work_for_ever(leading)).await }
        });
        settled(&two, "/leader", 1).await;
        let election = Election::new(&two, "/leader", "two");
        let second = tokio::spawn({
            let (election, leading) = (election.clone(), Arc::clone(&leading));
            async move { election.run(|_| async move { leading.load(Ordering::SeqCst) }).await }
        });
        settled(&two, "/leader", 2).await;
        assert_eq!(election.candidates().await.unwrap(), [b"one", b"two"]);
        assert!(!second.is_finished());
        server.end_session(&one);
        assert!(matches!(first.await.unwrap(), Ok(Outcome::Deposed)));
        assert!(matches!(second.await.unwrap(), Ok(Outcome::Finished(_))));
        assert_eq!(leading.load(Ordering::SeqCst), 0);
    });
}

/// Counts those who are at it, also when it is stopped.
async fn work_for_ever(leading: Arc<AtomicUsize>) {
    struct Leaving(Arc<AtomicUsize>);
    impl Drop for Leaving {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    leading.fetch_add(1, Ordering::SeqCst);
    let _leaving = Leaving(leading);
    std::future::pending::<()>().await;
}

#[test]
fn a_candidate_goes_on_with_another_session() {
    with_server("election-again", |server| async move {
        let client = server.client().await;
        let (terms, mut begun) = tokio::sync::mpsc::unbounded_channel();
        let election = Election::new(&client, "/leader", "host");
        let running = tokio::spawn(async move {
            let mut count = 0;
            let task = |client: Client, term: Term| {
                count += 1;
                terms.send((client, term.fencing)).unwrap();
                let is_last = count == 3;
                async move {
                    if !is_last {
                        std::future::pending::<()>().await;
                    }
                    count
                }
            };
            election.run_until_finished(task).await
        });
        let mut before = Zxid::default();
        for term in 1..=3 {
            let (client, fencing) = begun.recv().await.unwrap();
            assert!(before < fencing);
            before = fencing;
            if term < 3 {
                server.end_session(&client);
            }
        }
        assert_eq!(running.await.unwrap(), Ok(3));
        assert!(client.state().is_final());
    });
}

#[test]
fn a_barrier_holds_everybody_until_it_is_opened() {
    with_server("barrier", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let mine = Barrier::new(&one, "/gates/north");
        let theirs = Barrier::new(&two, "/gates/north");
        theirs.wait().await.unwrap();
        mine.set().await.unwrap();
        mine.set().await.unwrap();
        assert!(!theirs.wait_within(Duration::from_millis(20)).await.unwrap());
        let waiting = tokio::spawn({
            let theirs = theirs.clone();
            async move { theirs.wait().await }
        });
        let lost = tokio::spawn({
            let third = server.client().await;
            server.end_session(&third);
            async move { Barrier::new(&third, "/gates/north").wait().await }
        });
        assert_eq!(lost.await.unwrap(), Err(Error::SessionExpired));
        mine.remove().await.unwrap();
        mine.remove().await.unwrap();
        waiting.await.unwrap().unwrap();
        assert!(theirs.wait_within(PATIENCE).await.unwrap());
    });
}

#[test]
fn a_double_barrier_lets_all_in_and_all_out_together() {
    with_server("double-barrier", |server| async move {
        const MEMBERS: usize = 5;
        let (inside, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut members = Vec::new();
        let observer = server.client().await;
        for at in 0..MEMBERS {
            let barrier = DoubleBarrier::new(&server.client().await, "/round", MEMBERS);
            let (entered, done) = (Arc::clone(&inside), Arc::clone(&done));
            members.push(tokio::spawn(async move {
                let member = barrier.enter().await.unwrap();
                entered.fetch_add(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                member.leave().await.unwrap();
                assert_eq!(done.load(Ordering::SeqCst), MEMBERS);
            }));
            if at + 1 < MEMBERS {
                settled(&observer, "/round", at + 1).await;
                assert_eq!(inside.load(Ordering::SeqCst), 0);
            }
        }
        for member in members {
            member.await.unwrap();
        }
        settled(&observer, "/round", 0).await;
    });
}

#[test]
fn a_member_that_ends_is_not_waited_for() {
    with_server("double-barrier-session", |server| async move {
        let clients = [server.client().await, server.client().await, server.client().await];
        let observer = server.client().await;
        let [one, two, three] = clients.clone().map(|one| DoubleBarrier::new(&one, "/round", 2));
        // One that came and ended does not count.
        let ended = tokio::spawn(async move { one.enter().await.map(drop) });
        settled(&observer, "/round", 1).await;
        server.end_session(&clients[0]);
        assert_eq!(ended.await.unwrap(), Err(Error::SessionExpired));
        assert!(two.enter_within(Duration::from_millis(20)).await.unwrap().is_none());
        settled(&observer, "/round", 0).await;
        let entering = tokio::spawn(async move { two.enter().await });
        let third = three.enter().await.unwrap();
        let second = entering.await.unwrap().unwrap();
        let leaving = tokio::spawn(second.leave());
        server.end_session(&clients[2]);
        leaving.await.unwrap().unwrap();
        drop(third);
        settled(&observer, "/round", 0).await;
    });
}

#[test]
fn a_counter_loses_nothing() {
    with_server("counter", |server| async move {
        let client = server.client().await;
        for form in [Form::Long, Form::Int, Form::Text] {
            let path = format!("/counters/{form:?}");
            let mut workers = Vec::new();
            for _ in 0..6 {
                let counter = Counter::new(&server.client().await, &path).form(form);
                workers.push(tokio::spawn(async move {
                    for _ in 0..10 {
                        counter.add(3).await.unwrap();
                        counter.update(|value| value - 1).await.unwrap();
                    }
                }));
            }
            for worker in workers {
                worker.await.unwrap();
            }
            let counter = Counter::new(&client, &path).form(form);
            assert_eq!(counter.value().await, Ok(120));
            assert_eq!(counter.compare_and_set(119, 7).await, Ok(false));
            assert_eq!(counter.compare_and_set(120, -7).await, Ok(true));
            assert_eq!(counter.add(-1).await, Ok(-8));
            let expected: &[u8] = match form {
                Form::Long => &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf8],
                Form::Int => &[0xff, 0xff, 0xff, 0xf8],
                Form::Text => b"-8",
            };
            assert_eq!(client.get(&path).await.unwrap().0, expected);
            counter.set(i64::from(i32::MAX)).await.unwrap();
            let above = counter.add(1).await;
            assert_eq!(above.is_err(), form == Form::Int, "{above:?}");
        }
        client.set("/counters/Long", b"abc", None).await.unwrap();
        let spoiled = Counter::new(&client, "/counters/Long");
        assert_eq!(spoiled.add(1).await, Err(Error::BadArguments));
        assert_eq!(Counter::new(&client, "/missing").value().await, Ok(0));
    });
}

#[test]
fn an_unanswered_addition_is_made_once_or_said_to_be_unknown() {
    with_server("counter-unanswered", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let (one, two) = (connected(&proxy.address).await, server.client().await);
        let (mine, theirs) = (Counter::new(&one, "/counter"), Counter::new(&two, "/counter"));
        theirs.set(10).await.unwrap();
        proxy.cut();
        assert_eq!(mine.add(1).await, Ok(11));

        // It was made and the answer did not come: nobody can tell it from another's.
        let (_, stat) = two.get("/counter").await.unwrap();
        let shared = Arc::clone(&proxy.shared);
        let adding = tokio::spawn(async move {
            let plus_one = |value| {
                shared.swallows.store(true, Ordering::SeqCst);
                value + 1
            };
            mine.update(plus_one).await
        });
        let (_, changed, watch) = two.get_and_watch("/counter").await.unwrap();
        if changed.version == stat.version {
            watch.await;
        }
        proxy.swallow(false);
        proxy.cut();
        assert_eq!(adding.await.unwrap(), Err(Error::ConnectionLoss));
        assert_eq!(theirs.value().await, Ok(12));
    });
}

#[test]
fn an_exact_counter_knows_of_each_addition() {
    with_server("counter-exact", |server| async move {
        let proxy = Proxy::start(&server.0.address);
        let (one, two) = (connected(&proxy.address).await, server.client().await);
        let exact = Counter::new(&one, "/counters/exact").exact();
        let plain = Counter::new(&two, "/counters/exact");
        let mut adding = Vec::new();
        for _ in 0..4 {
            let exact = exact.clone();
            adding.push(tokio::spawn(async move {
                for _ in 0..10 {
                    exact.add(1).await.unwrap();
                }
            }));
        }
        let mut others = 0;
        while adding.iter().any(|one| !one.is_finished()) {
            // Another's change at the same time, and answers that do not come.
            plain.add(1).await.unwrap();
            others += 1;
            proxy.swallow(others % 2 == 0);
            plain.add(1).await.unwrap();
            others += 1;
            proxy.cut();
            proxy.swallow(false);
            // What was answered while this session had no connection must be read on a new one.
            one.exists("/").await.ok();
        }
        for one in adding {
            one.await.unwrap();
        }
        assert_eq!(plain.value().await, Ok(40 + others));
    });
}

#[test]
fn everybody_sees_a_shared_value_change() {
    with_server("shared-value", |server| async move {
        let (one, two) = (server.client().await, server.client().await);
        let mut mine = SharedValue::open(&one, "/shared/motto", "first").await.unwrap();
        let mut theirs = SharedValue::open(&two, "/shared/motto", "another").await.unwrap();
        assert_eq!(theirs.value().data, b"first");
        let before = theirs.value();
        mine.set("second").await.unwrap();
        assert_eq!(mine.value().data, b"second");
        assert_eq!(theirs.changed().await.unwrap().data, b"second");
        assert!(!theirs.try_set(&before, "third").await.unwrap());
        assert!(theirs.try_set(&theirs.value(), "third").await.unwrap());
        while mine.changed().await.unwrap().data != b"third" {}

        one.delete("/shared/motto", None).await.unwrap();
        one.create("/shared/motto", b"fourth", &CreateOptions::persistent()).await.unwrap();
        while theirs.changed().await.unwrap().data != b"fourth" {}

        let mut count = SharedCount::open(&two, "/shared/count", 7).await.unwrap();
        Counter::new(&one, "/shared/count").form(Form::Int).add(-9).await.unwrap();
        assert_eq!(count.changed().await, Ok(-2));
        let (now, seen) = count.count().unwrap();
        assert!(count.try_set(&seen, now + 1).await.unwrap());
        server.end_session(&two);
        while theirs.changed().await.is_ok() {}
        assert_eq!(theirs.changed().await, Err(Error::SessionExpired));
    });
}

/// A server and what tests ask of it.
struct TestServer(Server);

impl TestServer {
    /// A client with a session of its own.
    async fn client(&self) -> Client {
        connected(&self.0.address).await
    }

    /// Ends a client's session behind its back.
    fn end_session(&self, client: &Client) {
        let (session, password) = client.session().expect("it is connected");
        let last_zxid = Zxid::default();
        let request = SessionRequest { timeout_ms: 20_000, session, password, last_zxid };
        // The client comes back when its session is taken over, and may be faster.
        while let Some(session) = RawClient::resume(&*self.0.address, &request).unwrap() {
            if session.close_session().is_ok() {
                return;
            }
        }
    }
}

/// Runs a test against a server of its own, and not for ever.
fn with_server<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Arc<TestServer>) -> F) {
    let dir = TestDir::new(name);
    let server = Arc::new(TestServer(Server::start(&dir, &[])));
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("threads can be started");
    runtime.block_on(async {
        let ended = tokio::time::timeout(PATIENCE, test(Arc::clone(&server))).await;
        ended.expect("the test comes to an end");
    });
    runtime.shutdown_background();
    drop(server);
}

async fn connected(address: &str) -> Client {
    let builder = Client::builder().session_timeout(Duration::from_secs(20));
    builder.connect(address).await.expect("the server serves")
}

/// Waits until a node has so many children.
async fn settled(client: &Client, path: &str, count: usize) {
    loop {
        let (children, watch) = match client.children_and_watch(path).await {
            Ok((children, _, watch)) => (children, watch),
            Err(Error::NoNode) if count == 0 => return,
            Err(Error::NoNode) => {
                let (stat, watch) = client.exists_and_watch(path).await.unwrap();
                if stat.is_none() {
                    watch.await;
                }
                continue;
            }
            Err(error) => panic!("{path}: {error}"),
        };
        if children.len() == count {
            return;
        }
        watch.await;
    }
}

/// Polls a future once, which sends what it asks for first, and leaves it.
fn poll_once<F: Future>(future: Pin<&mut F>) {
    let _ = future.poll(&mut Context::from_waker(Waker::noop()));
}

/// Between a client and the server: can keep answers from the client, and cut connections.
struct Proxy {
    address: String,
    shared: Arc<ProxyShared>,
}

struct ProxyShared {
    server: String,
    swallows: AtomicBool,
    refuses: AtomicBool,
    open: StdMutex<Vec<TcpStream>>,
}

impl Proxy {
    fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(ProxyShared {
            server: server.to_owned(),
            swallows: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            open: StdMutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        // It ends with the process of the test.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.serve(client);
            }
        });
        Self { address, shared }
    }

    /// Whether answers of the server are thrown away.
    fn swallow(&self, swallows: bool) {
        self.shared.swallows.store(swallows, Ordering::SeqCst);
    }

    /// Whether new connections are closed at once.
    fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Cuts all connections.
    fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl ProxyShared {
    fn serve(self: &Arc<Self>, client: TcpStream) {
        if self.refuses.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let ends = [&client, &server].map(|stream| stream.try_clone().unwrap());
        self.open.lock().unwrap().extend(ends);
        let answers = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let shared = Arc::clone(self);
        thread::spawn(move || pump(answers.0, answers.1, || !shared.is_swallowing()));
        thread::spawn(move || pump(client, server, || true));
    }

    fn is_swallowing(&self) -> bool {
        self.swallows.load(Ordering::SeqCst)
    }
}

/// Copies what may pass until one side ends.
fn pump(mut from: TcpStream, mut to: TcpStream, passes: impl Fn() -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if passes() && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
