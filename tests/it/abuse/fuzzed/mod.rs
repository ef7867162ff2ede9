//! Whole sessions without sockets: the real door and the real desk over pipes in memory, on one
//! thread, driven by a [`Script`].
//!
//! Hostile clients do what the script says; two bystanders must notice nothing. The fuzz target
//! `session` includes these files as they are; the tests below it run the same on random scripts,
//! and on those that once broke something.

use super::packets;

mod peer;
mod plane;
mod script;
mod world;

use arbitrary::{Arbitrary, Unstructured};

use script::{Script, Step};
use world::World;

/// Runs one script made of these bytes.
///
/// # Panics
/// If the gateway breaks a promise.
pub(crate) fn run(data: &[u8]) {
    // Whoever knows a bystander's name may be the bystander.
    let names = data
        .windows(world::NAME.len())
        .any(|part| part == world::NAME);
    let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    if names {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new().await;
        for step in script.steps.into_iter().take(world::MAX_STEPS) {
            world.step(step).await;
        }
        world.end().await;
    });
}
