//! Wills: when a client that is gone without a word is spoken for.

use super::*;

#[test]
fn will_is_published_after_its_delay_unless_the_client_is_back() {
    let will = || {
        Some(ordinary(
            "ann",
            "wills/ann",
            "gone",
            Qos::AtLeastOnce,
            false,
        ))
    };
    let mut world = World::new();
    let (ann, _) = world.connect_with("ann", false, u32::MAX, will(), 10);
    world.close(&ann, true);
    world.pass(9_000);
    assert!(world.broadcasts.is_empty());
    let (ann, _) = world.connect_with("ann", false, u32::MAX, will(), 10);
    world.pass(60_000);
    assert!(world.broadcasts.is_empty());
    world.close(&ann, true);
    world.pass(10_000);
    assert_eq!(
        world
            .broadcasts
            .iter()
            .map(|m| m.topic().to_owned())
            .collect::<Vec<_>>(),
        ["wills/ann"]
    );
}
