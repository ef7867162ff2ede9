//! The SDK (`hallward::agent`) with the real gateway: every pattern, both versions of MQTT, both
//! encodings, and what happens when gateways and workers are killed.

mod approve;
mod asking;
mod beside;
mod blackboard;
mod crash;
mod drain;
mod handoff;
mod inbox;
mod observe;
mod packages;
mod page;
mod pipeline;
mod presence;
mod publish;
mod session;
mod tools;
mod worker;

use std::time::Duration;

use hallward::agent::test::TestGateway;
use hallward::agent::{Agent, Feed, Protocol, Room};
use hallward::wire::presence::Encoding;

use super::harness::DEADLINE;

/// What every agent of a scenario speaks.
#[derive(Debug, Clone, Copy)]
struct Speech {
    protocol: Protocol,
    encoding: Encoding,
}

const USUAL: Speech = Speech {
    protocol: Protocol::V5,
    encoding: Encoding::Json,
};

const ALL: [Speech; 4] = [
    USUAL,
    Speech {
        protocol: Protocol::V311,
        encoding: Encoding::Json,
    },
    Speech {
        protocol: Protocol::V5,
        encoding: Encoding::Cbor,
    },
    Speech {
        protocol: Protocol::V311,
        encoding: Encoding::Cbor,
    },
];

/// A gateway of the test's own.
struct Stage {
    gateway: TestGateway,
    speech: Speech,
}

impl Stage {
    async fn set() -> Stage {
        Stage::with(&[]).await
    }

    /// With these settings.
    async fn with(settings: &[(&str, &str)]) -> Stage {
        let builder = TestGateway::builder().program(env!("CARGO_BIN_EXE_hallward"));
        let builder = settings
            .iter()
            .fold(builder, |builder, (key, value)| builder.setting(key, value));
        Stage {
            gateway: builder.start().await.expect("a gateway"),
            speech: USUAL,
        }
    }

    async fn agent(&self, name: &str) -> Agent {
        Agent::builder(self.gateway.url(), name)
            .protocol(self.speech.protocol)
            .encoding(self.speech.encoding)
            .connect()
            .await
            .expect("connected")
    }

    /// An agent in the room of the scenario, `lab`.
    async fn room(&self, name: &str) -> Room {
        self.agent(name).await.join("lab").await.expect("joined")
    }
}

/// Whatever it is, it takes no longer than a test may.
async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work)
        .await
        .expect("within the deadline")
}

/// The next item, which is no error.
async fn next<T>(feed: &mut Feed<T>) -> T {
    let item = within(feed.next()).await.expect("not the end");
    item.expect("no error")
}

/// Items until one is as wanted.
async fn until<T>(feed: &mut Feed<T>, is_it: impl Fn(&T) -> bool) -> T {
    loop {
        let item = next(feed).await;
        if is_it(&item) {
            return item;
        }
    }
}

const SOON: Duration = Duration::from_millis(300);
