//! mosquitto as the other broker.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::until;
use crate::harness::{Client, Connect, free_address};
use crate::tools::Tools;

/// Where distributions put it.
const PATH: &str =
    "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:/opt/homebrew/sbin";

/// One that runs, or was killed and can be started again at the same address.
pub(super) struct Mosquitto {
    pub(super) address: SocketAddr,
    child: Option<Child>,
    directory: TempDir,
}

impl Mosquitto {
    /// One that is not started yet; `more` are lines of its configuration.
    pub(super) fn prepared(more: &str) -> Mosquitto {
        Tools::get();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = free_address();
        let port = address.port();
        let lines = format!("listener {port} 127.0.0.1\nuser root\n{more}\n");
        std::fs::write(directory.path().join("mosquitto.conf"), lines).expect("writable");
        Mosquitto {
            address,
            child: None,
            directory,
        }
    }

    /// One that lets everybody in.
    pub(super) fn start() -> Mosquitto {
        let mut mosquitto = Mosquitto::prepared("allow_anonymous true");
        mosquitto.launch();
        mosquitto
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn launch(&mut self) {
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(self.directory.path().join("mosquitto.conf"))
            .env("PATH", PATH)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        self.child = Some(child);
        let address = self.address;
        until("mosquitto", || TcpStream::connect(address).is_ok());
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; either way it is gone after `wait`.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Somebody who gets everything below `site` as mosquitto takes it: at QoS 0 it is written to
    /// the socket before the publisher is acknowledged.
    pub(super) fn recorder(&self) -> Client {
        let mut recorder = Client::connect(self.address, Connect::v311("recorder"));
        recorder.subscribe(&[("site/#", 0)]);
        recorder
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
