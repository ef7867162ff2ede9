//! The router under the live plane dies on purpose, and no client notices.
//!
//! The gateway runs in this process here, because nothing from outside can make its router die.

use std::net::SocketAddr;
use std::time::Instant;

use hallward::config::Config;
use hallward::live::LivePlane;
use hallward::runtime::Gateway;
use tokio::sync::oneshot;

use crate::harness::{Client, Connect, DEADLINE, Publish, free_address};

/// A gateway in a thread of this process; dropping it drains it.
struct InProcess {
    mqtt: SocketAddr,
    plane: LivePlane,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _data: tempfile::TempDir,
}

impl InProcess {
    fn start() -> InProcess {
        let data = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.mqtt.listen.0 = Some(free_address());
        config.http.listen.0 = free_address();
        config.data.dir = data.path().to_owned();
        let (started, up) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let gateway = Gateway::start(config).await.expect("it starts");
                let told = started.send((
                    gateway.places().mqtt.tcp.expect("it listens"),
                    gateway.live_plane(),
                ));
                told.expect("the test waits");
                let stop = async { drop(stopped.await) };
                gateway.run(stop).await.expect("it drains");
            });
        });
        let (mqtt, plane) = up.recv_timeout(DEADLINE).expect("it starts in time");
        InProcess {
            mqtt,
            plane,
            stop: Some(stop),
            thread: Some(thread),
            _data: data,
        }
    }

    /// Kills the router and waits until the gateway has seen it die.
    fn crash_router(&self) {
        let died = self.plane.stats().routers_died.value();
        let begun = Instant::now();
        self.plane.crash_router();
        while self.plane.stats().routers_died.value() == died {
            assert!(begun.elapsed() < DEADLINE, "the router is still alive");
            std::thread::yield_now();
        }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(Err(panic)) = self.thread.take().map(std::thread::JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn no_client_notices_that_the_router_died() {
    let gateway = InProcess::start();
    let mut publisher = Client::connect(gateway.mqtt, Connect::v5("publisher"));
    let mut subscribers: Vec<Client> = (0..20)
        .map(|n| Client::connect(gateway.mqtt, Connect::v311(&format!("subscriber-{n}"))))
        .collect();
    for (n, subscriber) in subscribers.iter_mut().enumerate() {
        let filter = if n % 2 == 0 { "news/#" } else { "news/+" };
        assert_eq!(
            subscriber.subscribe(&[(filter, u8::try_from(n % 3).expect("small"))]),
            [u8::try_from(n % 3).expect("small")]
        );
    }
    for round in 0..5 {
        publisher.publish(Publish::new("news/today", format!("before {round}"), 2));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.message().text(), format!("before {round}"));
        }
        gateway.crash_router();
        publisher.publish(Publish::new("news/today", format!("after {round}"), 1));
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.message().text(), format!("after {round}"));
        }
    }
    assert_eq!(gateway.plane.stats().routers_died.value(), 5);
}
