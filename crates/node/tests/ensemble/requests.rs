//! Requests through each server: answered like those of a server that is alone.

use ostler_node::status::Mode;
use ostler_wire::error::ErrorCode;
use ostler_wire::ids::Zxid;
use ostler_wire::op::OpCode;
use ostler_wire::reply::OpResult;
use ostler_wire::request::Request;

use super::*;

#[test]
fn three_servers_elect_and_replicate() {
    let mut world = three();
    assert_eq!([0, 1, 2].map(|i| world.mode(i)), [Mode::Follower, Mode::Follower, Mode::Leader]);
    for i in 0..3 {
        let mut client = open(&mut world, i);
        assert_eq!(client.session.0 >> 56, i64::try_from(i + 1).unwrap(), "made by its server");
        let path = format!("/from-{i}");
        client.send(&mut world, &create(&path));
        client.send(&mut world, &exists(&path, false));
        world.settle();
        let frames = client.receive(&world);
        let answers: Vec<_> = frames.iter().map(outcome).collect();
        assert!(matches!(&answers[0], Ok(Answer::Path(made)) if *made == path), "{answers:?}");
        assert!(matches!(&answers[1], Ok(Answer::Stat(_))), "it sees its own write: {answers:?}");
    }
    for i in 0..3 {
        assert!((0..3).all(|j| exists_at(&world, i, &format!("/from-{j}"))));
    }
    world.assert_alike();
}

#[test]
fn the_first_transaction_of_a_reign_is_number_one() {
    let mut world = three();
    let mut client = open(&mut world, 0);
    assert_eq!(ok(&mut world, &mut client, &create("/a")), Zxid(1 << 32 | 2));
    assert_eq!(world.ensemble(2).accepted_epoch.0, 1);
}

#[test]
fn everything_is_answered_in_the_order_in_which_it_was_asked() {
    let mut world = three();
    for server in 0..3 {
        let mut client = open(&mut world, server);
        let path = format!("/{server}");
        client.send(&mut world, &create(&path));
        client.send_raw(&mut world, OpCode::SetData.number(), b"nonsense");
        client.send(&mut world, &sync());
        client.send(&mut world, &create(&path));
        client.send(&mut world, &exists("/none", false));
        client.send(&mut world, &sync());
        client.send_raw(&mut world, OpCode::Delete.number(), &[0, 0, 0, 9]);
        client.send(&mut world, &Request::Delete { path: (&*path).into(), version: 7 });
        world.settle();
        // That the order is right is asserted by the client.
        let frames = client.receive(&world);
        let errors: Vec<_> = frames.iter().map(|frame| outcome(frame).err()).collect();
        assert_eq!(
            errors,
            [
                None,
                Some(ErrorCode::MARSHALLING_ERROR),
                None,
                Some(ErrorCode::NODE_EXISTS),
                Some(ErrorCode::NO_NODE),
                None,
                Some(ErrorCode::MARSHALLING_ERROR),
                Some(ErrorCode::BAD_VERSION),
            ],
            "at server {server}"
        );
    }
    world.assert_alike();
}

#[test]
fn reads_see_what_was_asked_before_them_and_nothing_more() {
    for whole_turns in [false, true] {
        let mut world = three();
        world.whole_turns = whole_turns;
        for server in 0..3 {
            let mut client = open(&mut world, server);
            let mut other = open(&mut world, (server + 1) % 3);
            let path = format!("/{server}");
            let delete = Request::Delete { path: (&*path).into(), version: -1 };
            for round in 0..4 {
                client.send(&mut world, &create(&path));
                client.send(&mut world, &exists(&path, round % 2 == 0));
                client.send_raw(&mut world, OpCode::SetData.number(), b"nonsense");
                client.send(&mut world, &exists(&path, false));
                client.send(&mut world, &delete);
                client.send(&mut world, &exists(&path, false));
                client.send(&mut world, &sync());
                client.send(&mut world, &exists(&path, false));
                other.send(&mut world, &create_as("/n-", 2));
                other.send(&mut world, &exists("/n-0000000000", true));
            }
            world.settle();
            let frames = client.receive(&world);
            let is_reply = |frame: &&Frame| matches!(frame, Frame::Reply { .. });
            let errors = frames.iter().filter(is_reply).map(|frame| outcome(frame).err());
            let none = Some(ErrorCode::NO_NODE);
            let bad = Some(ErrorCode::MARSHALLING_ERROR);
            let expected = [None, None, bad, None, None, none, None, none].repeat(4);
            assert_eq!(errors.collect::<Vec<_>>(), expected, "at server {server}");
            assert_eq!(other.receive(&world).iter().filter(is_reply).count(), 8);
        }
        world.assert_alike();
    }
}

#[test]
fn a_multi_says_what_failed_wherever_it_was_asked() {
    let mut world = three();
    for server in 0..3 {
        let mut client = open(&mut world, server);
        let path = format!("/{server}");
        let good = Request::Multi(vec![
            create(&path),
            Request::SetData { path: (&*path).into(), data: Some(b"y"), version: 0 },
        ]);
        let Ok(Answer::Multi(results)) = ask(&mut world, &mut client, &good).1 else { panic!() };
        assert!(matches!(&results[..], [OpResult::Created { .. }, OpResult::DataSet(_)]));
        let undone = format!("/{server}-b");
        let bad = Request::Multi(vec![
            create(&undone),
            create(&path),
            Request::Delete { path: (&*path).into(), version: -1 },
        ]);
        let Ok(Answer::Multi(results)) = ask(&mut world, &mut client, &bad).1 else { panic!() };
        assert_eq!(
            results,
            [ErrorCode::OK, ErrorCode::NODE_EXISTS, ErrorCode::RUNTIME_INCONSISTENCY]
                .map(OpResult::Error)
        );
        assert!(!exists_at(&world, 2, &undone));
    }
    world.assert_alike();
}

#[test]
fn a_learners_reply_carries_the_stat_that_its_transaction_gave() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    ok(&mut world, &mut client, &create("/a"));
    let set = Request::SetData { path: "/a".into(), data: Some(b"long"), version: 0 };
    let (zxid, outcome) = ask(&mut world, &mut client, &set);
    let Ok(Answer::Stat(stat)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((stat.mzxid, stat.version, stat.data_length), (zxid, 1, 4));
}

#[test]
fn acls_are_judged_by_the_ids_that_the_client_has_at_its_server() {
    let mut world = three();
    let mut owner = open(&mut world, 0);
    let auth = Request::Auth { scheme: "digest".into(), auth: Some(b"me:secret") };
    ok(&mut world, &mut owner, &auth);
    let acl =
        [Acl { perms: ostler_wire::acl::Perms::ALL, id: ostler_wire::acl::Id::new("auth", "") }];
    let Request::Create(mine) = create("/mine") else { unreachable!() };
    let mine = CreateRequest { acl: Some(acl_entries(&acl)), ..mine };
    ok(&mut world, &mut owner, &Request::Create(mine));
    let mut other = open(&mut world, 1);
    let set = || Request::SetData { path: "/mine".into(), data: None, version: -1 };
    assert_eq!(ask(&mut world, &mut other, &set()).1, Err(ErrorCode::NO_AUTH));
    ok(&mut world, &mut other, &auth);
    ok(&mut world, &mut other, &set());
}

#[test]
fn a_sync_shows_what_was_written_elsewhere_before() {
    let mut world = three();
    let mut writer = open(&mut world, 2);
    let mut reader = open(&mut world, 0);
    world.servers[0].is_disk_held = true;
    ok(&mut world, &mut writer, &create("/a"));
    reader.send(&mut world, &sync());
    reader.send(&mut world, &exists("/a", false));
    world.settle();
    let frames = reader.receive(&world);
    assert_eq!(frames.len(), 2, "a slow disk of its own delays nobody");
    assert!(frames.iter().all(|frame| outcome(frame).is_ok()), "{frames:?}");
    world.servers[0].is_disk_held = false;
    world.assert_alike();
}

#[test]
fn nothing_is_committed_without_a_quorum() {
    let mut world = three();
    let mut client = open(&mut world, 2);
    world.servers[0].is_disk_held = true;
    world.servers[1].is_disk_held = true;
    client.send(&mut world, &create("/a"));
    world.settle();
    assert_eq!(client.receive(&world), []);
    world.servers[1].is_disk_held = false;
    assert!(outcome(&client.one_reply(&mut world)).is_ok());
    world.servers[0].is_disk_held = false;
    world.assert_alike();
}

#[test]
fn an_observer_serves_and_does_not_count() {
    let mut world = World::new(3, 1, Settings::default());
    assert_eq!(world.until_served(), 2);
    assert_eq!(world.mode(3), Mode::Observer);
    let mut client = open(&mut world, 3);
    ok(&mut world, &mut client, &create("/a"));
    let learners = world.ensemble(2).learners;
    assert_eq!(learners.iter().filter(|learner| learner.observer && !learner.voter).count(), 1);
    assert!(learners.iter().all(|learner| learner.synced));
    world.kill(0);
    ok(&mut world, &mut client, &create("/b"));
    world.kill(1);
    client.send(&mut world, &create("/c"));
    world.advance(20_000);
    assert_eq!(world.leader(), None, "an observer makes no quorum");
    assert!(world.is_closed(client.link));
    world.start(0);
    world.until_served();
    world.assert_alike();
}

#[test]
fn reconfigurations_are_refused_wherever_they_are_asked() {
    let mut world = three();
    for server in 0..3 {
        let mut client = open(&mut world, server);
        let request = Request::Reconfig {
            joining: Some("server.9=h:1:2;3".into()),
            leaving: None,
            members: None,
            config_id: -1,
        };
        let (_, outcome) = ask(&mut world, &mut client, &request);
        assert_eq!(outcome, Err(ErrorCode::RECONFIG_DISABLED));
    }
}

#[test]
fn the_configuration_is_in_its_znode_and_in_no_digest() {
    let mut world = three();
    let mut client = open(&mut world, 1);
    let get = Request::GetData { path: "/zookeeper/config".into(), watch: false };
    let (_, outcome) = ask(&mut world, &mut client, &get);
    let Ok(Answer::Data(Some(data), stat)) = outcome else { panic!("{outcome:?}") };
    let text = String::from_utf8(data).unwrap();
    assert!(text.starts_with("server.1=host0:2888:3888\n"), "{text}");
    assert!(text.ends_with("\nversion=0"), "{text}");
    assert_eq!((stat.version, stat.mzxid), (-1, Zxid(0)));
}

fn outcome(frame: &Frame) -> Result<Answer, ErrorCode> {
    match frame {
        Frame::Reply { outcome, .. } => outcome.clone(),
        other => panic!("{other:?}"),
    }
}
