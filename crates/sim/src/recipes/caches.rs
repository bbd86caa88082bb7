//! Tasks that follow what others change: tree cache, node cache, group.

use std::collections::BTreeMap;
use std::sync::Arc;

use ostler_client::recipes::{
    CacheEvent, CacheEvents, CacheOptions, Group, Node, NodeCache, TreeCache,
};
use ostler_client::runtime::{Either, race};
use ostler_client::{Client, CreateOptions, Error, Result, Zxid};

use super::actor::Actor;
use super::ledger::{Phase, Picture, Shown};

/// The tree that the caches follow.
pub(crate) const TREE: &str = "/tree";

pub(crate) async fn tree(actor: Actor) {
    let cache = TreeCache::new(&actor.sessions, TREE, &CacheOptions::new());
    let watcher = watch(&actor, cache.events());
    let writer = actor.rounds("tree-cache", |client| change(&actor, client));
    assert!(matches!(race(writer, watcher).await, Either::Left(())), "a cache has ended");
    finish(&actor, "tree-cache", TREE, || {
        cache.is_current().then(|| picture(cache.nodes().iter()))
    })
    .await;
}

/// The one znode that node caches follow.
pub(crate) const NODE: &str = "/tree/b";

pub(crate) async fn node(actor: Actor) {
    let cache = NodeCache::new(&actor.sessions, NODE);
    let watcher = watch(&actor, cache.events());
    let writer = actor.rounds("node-cache", |client| change(&actor, client));
    assert!(matches!(race(writer, watcher).await, Either::Left(())), "a cache has ended");
    finish(&actor, "node-cache", NODE, || cache.is_current().then(|| picture(cache.get().iter())))
        .await;
}

fn picture<'n>(nodes: impl Iterator<Item = &'n Arc<Node>>) -> Picture {
    nodes.map(|node| (node.path.clone(), node.data.clone())).collect()
}

/// Tells, once nobody changes anything any more, what is seen.
async fn finish(actor: &Actor, task: &str, path: &str, look: impl Fn() -> Option<Picture>) {
    actor.ledger.begun(Phase::Quiet).await;
    let picture = loop {
        match look() {
            Some(picture) => break picture,
            None => actor.pause(10, 20).await,
        }
    };
    actor.ledger.book().pictures.insert((actor.index, path.to_owned()), picture);
    actor.ledger.reached(actor.index, task, Phase::Quiet).await;
}

/// Changes the tree in one place.
async fn change(actor: &Actor, client: Client) -> Result<bool> {
    const PATHS: &[&str] =
        &[TREE, "/tree/a", NODE, "/tree/a/x", "/tree/a/y", "/tree/b/x", "/tree/a/x/1"];
    let path = PATHS[usize::try_from(actor.below(PATHS.len() as u64)).unwrap_or(0)];
    let data = actor.below(1_000_000).to_string();
    let persistent = CreateOptions::persistent();
    let outcome = match actor.below(8) {
        0..4 => client.create(path, data.as_str(), &persistent).await.map(drop),
        4..6 => client.set(path, data.as_str(), None).await.map(drop),
        6 => client.delete(path, None).await,
        _ => {
            let multi = client.multi().delete(path, None).create(path, data.as_str(), &persistent);
            multi.send().await.map(drop)
        }
    };
    match outcome {
        Err(Error::SessionExpired) => Err(Error::SessionExpired),
        // Whether there is such a node, nobody knows beforehand.
        Err(Error::ConnectionLoss) => Ok(false),
        _ => Ok(true),
    }
}

/// Sees to it that nothing older follows, and notes what was shown.
async fn watch(actor: &Actor, mut events: CacheEvents) {
    let mut last: BTreeMap<String, Zxid> = BTreeMap::new();
    while let Some(event) = events.next().await {
        let node = match event {
            CacheEvent::Created(node) => {
                let before = last.get(&node.path).copied().unwrap_or_default();
                assert!(node.stat.czxid > before, "{} comes back older", node.path);
                node
            }
            CacheEvent::Changed { old, new } => {
                let before = last.get(&new.path).copied().unwrap_or_default();
                assert_eq!(before, old.stat.mzxid, "{} changes from what was shown", new.path);
                assert!(new.stat.mzxid > before, "{} is older than before", new.path);
                new
            }
            CacheEvent::Deleted(node) => {
                let before = last.get(&node.path).copied().unwrap_or_default();
                assert_eq!(before, node.stat.mzxid, "{} goes as it was shown", node.path);
                actor.note(format_args!("cache: {} is gone", node.path));
                continue;
            }
            CacheEvent::Current | CacheEvent::Stale => {
                actor.note(format_args!("cache: {event:?}"));
                continue;
            }
        };
        actor.note(format_args!("cache: {} of {}", node.path, node.stat.mzxid));
        last.insert(node.path.clone(), node.stat.mzxid);
        let mut book = actor.ledger.book();
        book.deeds += 1;
        book.shown.push(Shown {
            actor: actor.index,
            path: node.path.clone(),
            data: node.data.clone(),
            mzxid: node.stat.mzxid,
        });
    }
}

/// Who is there.
pub(crate) const GROUP: &str = "/group";

pub(crate) async fn group(actor: Actor) {
    let group = Group::new(&actor.sessions, GROUP);
    let data = || actor.start.to_string();
    let mut member = None;
    let mut rounds = 0;
    while rounds < 2 {
        let is_healed = actor.phase() >= Phase::Healed;
        let joined = match member.take() {
            Some(member) => member,
            None => group.join(&actor.index.to_string(), data()).expect("a good name"),
        };
        match race(joined.joined(), actor.pause(2_000, 5_000)).await {
            Either::Left(Ok(())) => rounds += u64::from(is_healed),
            Either::Left(Err(error)) => panic!("c{} cannot join: {error:?}", actor.index),
            Either::Right(()) => {}
        }
        actor.pause(10, 500).await;
        if rounds < 2 && actor.one_in(2) {
            match joined.leave().await {
                Ok(()) | Err(Error::SessionExpired) => {}
                Err(error) => panic!("c{} cannot leave: {error:?}", actor.index),
            }
        } else {
            member = Some(joined);
        }
    }
    actor.ledger.reached(actor.index, "group", Phase::Healed).await;
    // All are in it by now, and stay.
    finish(&actor, "group", GROUP, || {
        let is_whole = group.is_current() && group.members().len() == actor.actors;
        let member = |(id, data)| (format!("{GROUP}/{id}"), data);
        let above = (GROUP.to_owned(), Vec::new());
        is_whole.then(|| group.members().into_iter().map(member).chain([above]).collect())
    })
    .await;
    drop(member);
}
