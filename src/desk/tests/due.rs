//! What is due is done before whoever asks next is answered, also right after a start.

use super::*;

fn gone(client: &str) -> Option<Publication> {
    let topic = format!("wills/{client}");
    let qos = Qos::AtLeastOnce;
    Some(ordinary(client, &topic, "gone", qos, false))
}

impl World {
    /// Kill -9, and a start after this time; nobody has ticked when the first request comes.
    fn down_for(&mut self, millis: u64) {
        self.now += millis;
        self.crash();
    }

    fn said(&self) -> Vec<&str> {
        let topics = self.broadcasts.iter().map(Message::topic);
        topics.collect()
    }
}

#[test]
fn a_session_that_ended_while_the_gateway_was_down_is_not_resumed_and_leaves_its_will() {
    let mut world = World::new();
    let (mut ann, _) = world.connect_with("ann", false, 1, gone("ann"), 100);
    world.subscribe(&mut ann, "a", Qos::AtLeastOnce);
    world.close(&ann, true);
    world.down_for(2_500);
    let (_, present) = world.connect("ann", false, 100);
    assert!(!present);
    assert_eq!(world.said(), ["wills/ann"]);
}

#[test]
fn a_will_whose_delay_ended_while_the_gateway_was_down_is_not_taken_back_by_a_return() {
    let mut world = World::new();
    let (ann, _) = world.connect_with("ann", false, 600, gone("ann"), 1);
    world.close(&ann, true);
    world.down_for(2_500);
    let (_, present) = world.connect("ann", false, 600);
    assert!(present);
    assert_eq!(world.said(), ["wills/ann"]);
}

#[test]
fn a_session_ends_on_time_even_if_nobody_looked_at_the_clock() {
    let mut world = World::new();
    let (ann, _) = world.connect_with("ann", false, 60, gone("ann"), 100);
    world.close(&ann, true);
    world.now += 60_000;
    let (_, present) = world.connect("ann", false, 60);
    assert!(!present);
    assert_eq!(world.said(), ["wills/ann"]);
}

#[test]
fn mail_that_is_too_old_takes_no_room_from_mail_that_comes() {
    let mut world = World::new();
    let (mut ann, _) = world.connect("ann", true, 0);
    let mut send = |world: &mut World, ttl_ms| {
        let mut letter = to_room("ann", "rooms/lab/inbox/bob/ann", "x");
        if let Route::Engine { mirrors, .. } = &mut letter.route {
            mirrors.ttl_ms = ttl_ms;
        }
        let id = world.publish(&mut ann, letter);
        world.commit();
        ann.verdict(id).expect("answered")
    };
    while send(&mut world, Some(1_000)).is_ok() {}
    world.now += 1_000;
    assert_eq!(send(&mut world, None), Ok(()));
}
