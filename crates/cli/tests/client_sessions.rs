//! The client's session against real servers: lost and found connections, and its end.

mod client_common;
mod common;

use std::time::Duration;

use client_common::{Proxy, connect, patiently, reach, run, start};
use common::ensemble::Ensemble;
use common::{Server, TestDir, free_port};
use ostler_client::{Client, CreateOptions, Error, EventKind, Retry, State};
use rustix::process::Signal;

/// Short sessions: servers grant two ticks at least.
const SHORT: &str = "tickTime=200";

fn short() -> ostler_client::Builder {
    Client::builder().session_timeout(Duration::from_millis(600))
}

async fn next(states: &mut ostler_client::States) -> Option<State> {
    patiently("the state changes", states.next()).await
}

#[test]
fn a_session_outlives_its_connection() {
    let dir = TestDir::new("client-cut");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let client = start(Client::builder().auth("digest", b"u:p"), &proxy.address).await;
        let session = client.session();
        let mut states = client.states();
        assert_eq!(next(&mut states).await, Some(State::Connected));
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        proxy.close();
        assert_eq!(next(&mut states).await, Some(State::Suspended));
        assert_eq!(client.server(), None);
        // Not sent yet, so it waits.
        let waiting = client.get("/e");
        proxy.open();
        assert_eq!(next(&mut states).await, Some(State::Connected));
        assert!(waiting.await.is_ok());
        assert_eq!(client.session(), session);
        // Credentials were given to the new connection too.
        let names = client.whoami().await.unwrap();
        assert!(names.contains(&("digest".to_owned(), "u".to_owned())), "{names:?}");
        client.close().await.unwrap();
        assert_eq!(next(&mut states).await, Some(State::Closed));
        assert_eq!(next(&mut states).await, None);
        assert_eq!(connect(&server).await.exists("/e").await, Ok(None));
    });
}

#[test]
fn what_was_on_its_way_is_lost_with_the_connection() {
    let dir = TestDir::new("client-loss");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let client = start(Client::builder(), &proxy.address).await;
        proxy.hold(true);
        let before = client.create("/p", "", &CreateOptions::persistent());
        let other = connect(&server).await;
        let retry = Retry::forever(Duration::from_millis(2));
        let done = async || match other.exists("/p").await {
            Ok(None) => Err(Error::Timeout),
            outcome => outcome,
        };
        patiently("it is done", retry.run(&other, done)).await.unwrap();
        proxy.cut();
        assert_eq!(before.await, Err(Error::ConnectionLoss));
        proxy.hold(false);
        reach(&client, State::Connected).await;
        assert!(client.get("/p").await.is_ok());
    });
}

#[test]
fn a_session_that_expires_is_lost() {
    let dir = TestDir::new("client-expiry");
    let server = Server::start(&dir, &[SHORT]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let client = start(short(), &proxy.address).await;
        assert_eq!(client.session_timeout(), Duration::from_millis(600));
        let mut states = client.states();
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        let (_, _, watch) = client.get_and_watch("/e").await.unwrap();
        let other = connect(&server).await;
        let (_, gone) = other.exists_and_watch("/e").await.unwrap();
        proxy.close();
        assert_eq!(patiently("it expires", gone).await.kind, EventKind::Deleted);
        let waiting = client.get("/");
        proxy.open();
        assert_eq!(waiting.await, Err(Error::SessionExpired));
        for state in [State::Connected, State::Suspended, State::Lost] {
            assert_eq!(next(&mut states).await, Some(state));
        }
        assert_eq!(next(&mut states).await, None);
        assert_eq!(patiently("it ends", watch).await.kind, EventKind::SessionLost);
        assert_eq!(client.get("/").await, Err(Error::SessionExpired));
        assert_eq!(client.close().await, Ok(()));
        let again = patiently("there is another", client.reopen()).await.unwrap();
        assert_ne!(again.session(), client.session());
        assert!(again.get("/").await.is_ok());
    });
}

#[test]
fn an_idle_session_is_kept_alive() {
    let dir = TestDir::new("client-idle");
    let server = Server::start(&dir, &[SHORT]);
    run(async {
        let client = start(short(), &server.address).await;
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        let mut states = client.states();
        assert_eq!(next(&mut states).await, Some(State::Connected));
        // Several timeouts without a word from the user.
        let idle = tokio::time::timeout(Duration::from_secs(3), states.next()).await;
        assert!(idle.is_err(), "{idle:?}");
        assert!(client.exists("/e").await.unwrap().is_some());
    });
}

#[test]
fn a_silent_server_is_left() {
    let dir = TestDir::new("client-silent");
    let (port, other_port) = (free_port(), free_port());
    let server = Server::start_on(&dir, port, &[SHORT]);
    let other_dir = TestDir::new("client-silent-other");
    let other = Server::start_on(&other_dir, other_port, &[SHORT]);
    run(async {
        let servers = format!("{},{}", server.address, other.address);
        let client = start(short().shuffle(false), &servers).await;
        assert_eq!(client.server().as_deref(), Some(&*server.address));
        server.signal(Signal::STOP);
        // Another ensemble, which does not know the session: enough to see that it was asked.
        reach(&client, State::Lost).await;
        server.signal(Signal::CONT);
        // Unknown hosts and closed ports are no obstacle.
        let servers = format!("no.such.host.invalid,127.0.0.1:{},{servers}", free_port());
        let client = start(Client::builder().shuffle(false), &servers).await;
        assert_eq!(client.server().as_deref(), Some(&*server.address));
    });
}

#[test]
fn a_killed_server_is_found_again() {
    let dir = TestDir::new("client-kill");
    let port = free_port();
    let mut server = Server::start_on(&dir, port, &[]);
    run(async {
        let client = connect(&server).await;
        let session = client.session();
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        server.kill();
        reach(&client, State::Suspended).await;
        let waiting = client.get("/e");
        server = Server::start_on(&dir, port, &[]);
        assert!(patiently("it is answered", waiting).await.is_ok());
        assert_eq!(client.session(), session);
    });
}

#[test]
fn a_session_can_be_handed_over() {
    let dir = TestDir::new("client-resume");
    let server = Server::start(&dir, &[]);
    run(async {
        let first = connect(&server).await;
        first.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        let (id, password) = first.session().unwrap();
        let second = start(Client::builder().resume(id, password), &server.address).await;
        assert_eq!(second.session(), Some((id, password)));
        assert_eq!(second.ephemerals("/").await.unwrap(), ["/e"]);
        let wrong = Client::builder().resume(id, [7; 16]).connect(&server.address).await;
        assert_eq!(wrong.unwrap_err(), Error::SessionExpired);
    });
}

#[test]
fn the_last_handle_closes_the_session() {
    let dir = TestDir::new("client-last");
    let server = Server::start(&dir, &[]);
    run(async {
        let observer = connect(&server).await;
        let client = connect(&server).await;
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        let (_, _, keeps) = client.get_and_watch("/e").await.unwrap();
        let clone = client.clone();
        drop((client, clone));
        observer.sync("/").await.unwrap();
        let (stat, gone) = observer.exists_and_watch("/e").await.unwrap();
        assert!(stat.is_some());
        drop(keeps);
        assert_eq!(patiently("it goes", gone).await.kind, EventKind::Deleted);
        // What was called before the end is done.
        let client = connect(&server).await;
        let last = client.create("/last", "", &CreateOptions::persistent());
        drop(client);
        assert!(last.await.is_ok());
    });
}

#[test]
fn a_call_can_have_a_limit_in_time() {
    let dir = TestDir::new("client-timeout");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let limit = Duration::from_millis(200);
        let client = start(Client::builder().request_timeout(limit), &proxy.address).await;
        proxy.hold(true);
        let (first, second) = (client.get("/"), client.exists_and_watch("/x"));
        assert_eq!(first.await, Err(Error::RequestTimeout));
        assert_eq!(second.await.unwrap_err(), Error::RequestTimeout);
        proxy.hold(false);
        // The late answers are taken and the order is kept.
        assert!(client.get("/").await.is_ok());
        proxy.close();
        reach(&client, State::Suspended).await;
        assert_eq!(client.get("/").await, Err(Error::RequestTimeout));
    });
}

#[test]
fn nobody_waits_for_a_server_that_is_not_there() {
    run(async {
        let servers = format!("127.0.0.1:{}", free_port());
        let builder = Client::builder().connect_timeout(Duration::from_millis(300));
        let Err(Error::Unreachable { why, .. }) = builder.connect(&servers).await else {
            panic!("there is none");
        };
        assert!(why.contains("refused"), "{why}");
        let client = Client::builder().start(&servers).unwrap();
        let waiting = client.get("/");
        client.close().await.unwrap();
        assert_eq!(waiting.await, Err(Error::Closed));
    });
}

#[test]
fn the_list_of_servers_can_change() {
    let mut ensemble = Ensemble::new("client-hosts", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    run(async {
        let client = start(Client::builder().shuffle(false), &ensemble.address(0)).await;
        let session = client.session();
        client.update_hosts(&format!("{},{}", ensemble.address(1), ensemble.address(2))).unwrap();
        reach(&client, State::Suspended).await;
        reach(&client, State::Connected).await;
        assert_eq!(client.session(), session);
        assert_ne!(client.server(), Some(ensemble.address(0)));
        assert!(client.update_hosts("").is_err());
    });
}

#[test]
fn a_session_moves_when_its_server_dies() {
    let mut ensemble = Ensemble::new("client-ensemble", 3);
    ensemble.start_all();
    ensemble.wait_all_serving();
    let leader = ensemble.leader();
    run(async {
        let mut servers = ensemble.addresses();
        servers.swap(0, leader);
        let client = start(Client::builder().shuffle(false), &servers.join(",")).await;
        let session = client.session();
        client.create("/e", "", &CreateOptions::ephemeral()).await.unwrap();
        let (_, _, watch) = client.get_and_watch("/e").await.unwrap();
        ensemble.kill(leader);
        let retry = Retry::forever(Duration::from_millis(20));
        let set = retry.run(&client, || client.set("/e", "x", None));
        patiently("another leader is there", set).await.unwrap();
        assert_eq!(patiently("it fires", watch).await.kind, EventKind::DataChanged);
        assert_eq!(client.session(), session);
    });
}

#[test]
fn a_server_without_a_quorum_will_do_until_there_is_a_better_one() {
    let mut ensemble = Ensemble::new("client-read-only", 3);
    ensemble.set_flags("-Dreadonlymode.enabled=true");
    ensemble.add_line("localSessionsEnabled=true");
    ensemble.add_line("localSessionsUpgradingEnabled=true");
    ensemble.start(0);
    run(async {
        let servers = ensemble.addresses().join(",");
        let client = Client::builder().read_only(true).start(&servers).unwrap();
        reach(&client, State::ConnectedReadOnly).await;
        assert!(client.get("/").await.is_ok());
        let write = client.create("/w", "", &CreateOptions::persistent()).await;
        assert_eq!(write, Err(Error::NotReadOnly));
        let (_, watch) = client.exists_and_watch("/w").await.unwrap();
        ensemble.start(1);
        ensemble.start(2);
        reach(&client, State::Connected).await;
        let retry = Retry::forever(Duration::from_millis(20));
        let create = || client.create("/w", "", &CreateOptions::persistent());
        patiently("it can write", retry.run(&client, create)).await.unwrap();
        // The watch came along, into another session even.
        assert_eq!(patiently("it fires", watch).await.kind, EventKind::Created);
    });
}

#[test]
fn every_reply_comes_and_tells_the_truth_however_often_it_is_cut() {
    let dir = TestDir::new("client-storm");
    let server = Server::start(&dir, &[]);
    run(async {
        let proxy = Proxy::to(&server.address).await;
        let observer = connect(&server).await;
        observer.create("/s", "", &CreateOptions::persistent()).await.unwrap();
        let writers: Vec<_> = (0..4).map(|_| start(Client::builder(), &proxy.address)).collect();
        let mut tasks = Vec::new();
        for (number, writer) in writers.into_iter().enumerate() {
            tasks.push(tokio::spawn(storm(writer.await, number)));
        }
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(7)).await;
            proxy.cut();
        }
        let mut done = Vec::new();
        for task in tasks {
            done.extend(task.await.expect("no writer panics"));
        }
        let (there, _) = observer.children("/s").await.unwrap();
        let there: std::collections::BTreeSet<_> = there.into_iter().collect();
        for (name, outcome) in &done {
            match outcome {
                Ok(_) => assert!(there.contains(name), "{name} was acknowledged"),
                Err(Error::ConnectionLoss) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
        let lost = done.iter().filter(|(_, outcome)| outcome.is_err()).count();
        assert!(lost < done.len(), "nothing came through");
    });
}

/// Creates with many on the way at once; what became of each.
async fn storm(client: Client, number: usize) -> Vec<(String, Result<(), Error>)> {
    let mut done = Vec::new();
    for batch in 0..40 {
        let create = |at: usize| {
            let name = format!("{number}-{batch}-{at}");
            let reply = client.create(&format!("/s/{name}"), "", &CreateOptions::persistent());
            (name, reply)
        };
        let replies: Vec<_> = (0..50).map(create).collect();
        for (name, reply) in replies {
            let outcome = patiently("the reply comes", reply).await;
            done.push((name, outcome.map(drop)));
        }
    }
    done
}
