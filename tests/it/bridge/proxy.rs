//! The network between: it passes, refuses, cuts, and swallows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::harness::free_address;

#[derive(Default)]
struct Ways {
    refuses: AtomicBool,
    open: Mutex<Vec<Way>>,
}

/// One connection through it.
struct Way {
    ends: [TcpStream; 2],
    swallows: Arc<AtomicBool>,
}

/// Passes connections on to another address.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    ways: Arc<Ways>,
}

impl Proxy {
    pub(super) fn to(target: SocketAddr) -> Proxy {
        let address = free_address();
        let listener = TcpListener::bind(address).expect("a free address");
        let ways = Arc::<Ways>::default();
        let shared = ways.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if shared.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                if let Ok(far) = TcpStream::connect(target) {
                    connect(near, far, &shared);
                }
            }
        });
        Proxy { address, ways }
    }

    /// Closes new connections at once, or passes them on again.
    pub(super) fn refuse(&self, refuses: bool) {
        self.ways.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Closes all connections.
    pub(super) fn cut(&self) {
        for way in self.take() {
            for end in way.ends {
                // It may be closed already.
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// From now on the connections that there are pass nothing on, and stay.
    pub(super) fn swallow(&self) {
        for way in self.open().iter() {
            way.swallows.store(true, Ordering::SeqCst);
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Vec<Way>> {
        self.ways
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Way> {
        std::mem::take(&mut *self.open())
    }
}

fn connect(near: TcpStream, far: TcpStream, ways: &Ways) {
    let swallows = Arc::<AtomicBool>::default();
    let clone = |stream: &TcpStream| stream.try_clone().expect("a socket");
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (mut from, mut to, swallows) = (clone(from), clone(to), swallows.clone());
        std::thread::spawn(move || {
            let mut chunk = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                if !swallows.load(Ordering::SeqCst) && to.write_all(&chunk[..count]).is_err() {
                    break;
                }
            }
            // It may be closed already.
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    let mut open = ways.open.lock().unwrap_or_else(PoisonError::into_inner);
    open.push(Way {
        ends: [near, far],
        swallows,
    });
}
