//! QoS 2, both ways, across crashes.

use super::*;

#[test]
fn qos_2_inbound_is_taken_once_across_a_crash() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::ExactlyOnce);
    let (mut publisher, _) = world.connect("pub", false, u32::MAX);
    let message = ordinary("pub", "a", "once", Qos::ExactlyOnce, false);
    let packet_id = world.publish(&mut publisher, message.clone());
    world.commit();
    world.crash();
    let (mut publisher, _) = world.connect("pub", false, u32::MAX);
    publisher.packet_id = packet_id - 1;
    world.publish(&mut publisher, message);
    world.commit();
    assert_eq!(publisher.verdict(packet_id), Some(Ok(())));
    world.handle(Request::Release {
        connection: publisher.connection,
        packet_id,
    });
    assert!(
        publisher.next().is_none(),
        "PUBCOMP waits until the id is free on disk"
    );
    world.commit();
    assert!(matches!(publisher.next(), Some(Response::Released { .. })));
    assert_eq!(world.rows(Space::Inbound), 0);
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    assert_eq!(sub.payloads(), ["once"]);
}

#[test]
fn qos_2_outbound_is_never_sent_again_after_pubrec() {
    let mut world = World::new();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    world.subscribe(&mut sub, "a", Qos::ExactlyOnce);
    let (mut publisher, _) = world.connect("pub", true, 0);
    world.publish(
        &mut publisher,
        ordinary("pub", "a", "x", Qos::ExactlyOnce, false),
    );
    world.commit();
    let seq = sub.deliveries()[0].seq;
    world.acknowledge(&sub, seq, Stage::Received);
    assert!(sub.next().is_none(), "PUBREL waits until PUBREC is on disk");
    world.commit();
    assert!(matches!(
        sub.next(),
        Some(Response::Release {
            packet_id: Some(1),
            ..
        })
    ));
    world.crash();
    let (mut sub, _) = world.connect("sub", false, u32::MAX);
    assert!(matches!(
        sub.next(),
        Some(Response::Release {
            packet_id: Some(1),
            ..
        })
    ));
    assert!(sub.payloads().is_empty());
    world.acknowledge(&sub, seq, Stage::Completed);
    world.pass(100);
    assert_eq!(world.rows(Space::Outbox), 0);
}
