//! A client that asks for more than it reads, behind a write that holds everything back.

use ostler_node::limits::{MULTI_READ_ANSWER_MAX_BYTES, Settings, UNSENT_PER_CONNECTION_MAX_BYTES};
use ostler_wire::error::ErrorCode;
use ostler_wire::request::{CreateRequest, Request};

use crate::common::answer::{Answer, Frame};
use crate::common::client::Client;
use crate::common::{Held, World};

const BIG_BYTES: usize = 600_000;

#[test]
fn long_answers_wait_for_room_and_show_what_was_there_in_their_turn() {
    let (mut world, mut writer, mut reader) = scene();
    reader.send(&mut world, &set("/other", b"x"));
    for at in 0..60 {
        let watch = at == 30;
        reader.send(&mut world, &Request::GetData { path: "/big".into(), watch });
        reader.send(&mut world, &Request::Exists { path: "/other".into(), watch });
    }
    // The reader's write is ordered before the writer's, which therefore no read may show.
    world.settle_but(&Held { log: true, ..Held::default() });
    let new = vec![b'2'; BIG_BYTES];
    writer.send(&mut world, &set("/big", &new));
    writer.send(&mut world, &set("/big", b"3"));
    world.settle_but(&Held { output: true, ..Held::default() });
    let unsent = world.unsent(reader.link);
    assert!(unsent < UNSENT_PER_CONNECTION_MAX_BYTES + 2 * BIG_BYTES, "{unsent}");

    world.settle();
    let mut frames = reader.receive(&world).into_iter();
    assert!(matches!(frames.next(), Some(Frame::Reply { outcome: Ok(Answer::Stat(_)), .. })));
    for _ in 0..60 {
        let Some(Frame::Reply { outcome: Ok(Answer::Data(data, _)), .. }) = frames.next() else {
            panic!("not the data")
        };
        assert!(data == Some(vec![b'1'; BIG_BYTES]), "not what was there");
        assert!(matches!(frames.next(), Some(Frame::Reply { outcome: Ok(Answer::Stat(_)), .. })));
    }
    assert!(matches!(frames.next(), Some(Frame::Event { .. })));
    assert_eq!(frames.next(), None);
    reader.send(&mut world, &Request::Ping);
    assert!(matches!(reader.one_reply(&mut world), Frame::Reply { .. }));
    // The other watch goes with its connection, as if nothing had been put off.
    assert_eq!(world.shards[0].report(true).watch_counts, (1, 0));
    world.hang_up(reader.link);
    world.settle();
    assert_eq!(world.shards[0].report(true).watch_counts, (0, 0));
}

#[test]
fn a_multi_read_that_repeats_itself_is_refused_when_its_answer_grows_too_long() {
    let (mut world, _writer, mut reader) = scene();
    let part = Request::GetData { path: "/big".into(), watch: false };
    let fitting = MULTI_READ_ANSWER_MAX_BYTES / BIG_BYTES - 1;
    reader.send(&mut world, &Request::MultiRead(vec![part.clone(); fitting]));
    let Frame::Reply { outcome: Ok(Answer::Multi(parts)), .. } = reader.one_reply(&mut world)
    else {
        panic!("not the parts")
    };
    assert_eq!(parts.len(), fitting);
    reader.send(&mut world, &Request::MultiRead(vec![part; fitting + 2]));
    let Frame::Reply { outcome, .. } = reader.one_reply(&mut world) else { panic!("no reply") };
    assert_eq!(outcome, Err(ErrorCode::SYSTEM_ERROR));
}

/// A world with much data in `/big` and little in `/other`.
fn scene() -> (World, Client, Client) {
    let mut world = World::new(1, Settings::default(), 1);
    let mut writer = Client::open(&mut world, 0, 30_000);
    let mut reader = Client::open(&mut world, 0, 30_000);
    world.settle();
    let data = vec![b'1'; BIG_BYTES];
    for (path, data) in [("/big", &*data), ("/other", b"")] {
        let create = CreateRequest {
            path: path.into(),
            data: Some(data),
            acl: Some(open_acl()),
            flags: 0,
            ttl_ms: -1,
        };
        writer.send(&mut world, &Request::Create(create));
    }
    world.settle();
    writer.receive(&world);
    reader.receive(&world);
    (world, writer, reader)
}

fn open_acl() -> Vec<ostler_wire::acl::AclEntry<'static>> {
    let (scheme, id) = (Some("world".into()), Some("anyone".into()));
    vec![ostler_wire::acl::AclEntry { perms: ostler_wire::acl::Perms::ALL, scheme, id }]
}

fn set<'a>(path: &'a str, data: &'a [u8]) -> Request<'a> {
    Request::SetData { path: path.into(), data: Some(data), version: -1 }
}
