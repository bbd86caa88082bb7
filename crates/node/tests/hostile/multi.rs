//! A multi whose record would be far longer than what was sent.

use ostler_node::limits::Settings;
use ostler_wire::acl::{AclEntry, Perms};
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Xid;
use ostler_wire::jute::Put as _;
use ostler_wire::op::OpCode;
use ostler_wire::reply::OpResult;
use ostler_wire::request::{CreateRequest, Request};

use crate::common::World;
use crate::common::answer::{Answer, Frame};
use crate::common::client::Client;

#[test]
fn auth_in_the_parts_of_a_multi_is_bounded_for_all_of_them_together() {
    let mut world = World::new(1, Settings::default(), 1);
    let mut client = Client::open(&mut world, 0, 30_000);
    for user in 0..100 {
        let mut body = Vec::new();
        body.put_int(0);
        body.put_string("digest");
        body.put_buffer(Some(format!("user{user}:secret").as_bytes()));
        client.send_numbered(&mut world, Xid::AUTH, OpCode::Auth.number(), &body);
    }
    world.settle();
    client.receive(&world);
    let results = create(&mut world, &mut client, 100);
    assert!(results.iter().all(|result| matches!(result, OpResult::Created { .. })), "{results:?}");
    let results = create(&mut world, &mut client, 5000);
    let refused = |result: &&OpResult| **result == OpResult::Error(ErrorCode::INVALID_ACL);
    assert_eq!(results.iter().filter(refused).count(), 1);
    assert!(!results.iter().any(|result| matches!(result, OpResult::Created { .. })));
}

/// Creates so many znodes in one multi, each for all that the client has shown.
fn create(world: &mut World, client: &mut Client, count: usize) -> Vec<OpResult> {
    let (scheme, id) = (Some("auth".into()), Some("".into()));
    let acl = Some(vec![AclEntry { perms: Perms::ALL, scheme, id }]);
    let (path, data) = ("/in-order-".into(), None);
    let part = Request::Create(CreateRequest { path, data, acl, flags: 2, ttl_ms: -1 });
    client.send(world, &Request::Multi(vec![part; count]));
    match client.one_reply(world) {
        Frame::Reply { outcome: Ok(Answer::Multi(results)), .. } => results,
        other => panic!("{other:?}"),
    }
}
