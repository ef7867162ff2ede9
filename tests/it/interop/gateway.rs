//! The gateway as a process, on loopback and a temporary directory.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use super::DEADLINE;

/// A running gateway; dropping it kills it, and shows what it said if the test is failing.
pub(super) struct Gateway {
    pub(super) mqtt: SocketAddr,
    child: Child,
    stderr: Option<JoinHandle<String>>,
    _data: tempfile::TempDir,
}

impl Gateway {
    /// Starts one and waits for its banner.
    pub(super) fn start() -> Gateway {
        let data = tempfile::tempdir().expect("a temporary directory");
        let (mqtt, http) = (free_address(), free_address());
        let mut child = Command::new(env!("CARGO_BIN_EXE_hallward"))
            .arg("serve")
            .arg("--data")
            .arg(data.path())
            .args(["--mqtt", &mqtt.to_string(), "--http", &http.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let (stdout, mut stderr) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let stderr = std::thread::spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        });
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let gateway = Gateway {
            mqtt,
            child,
            stderr: Some(stderr),
            _data: data,
        };
        while !told
            .recv_timeout(DEADLINE)
            .expect("a banner in time")
            .contains("Ctrl-C")
        {}
        gateway
    }

    /// The MQTT port, as command lines want it.
    pub(super) fn port(&self) -> String {
        self.mqtt.port().to_string()
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

impl Drop for Gateway {
    #[expect(
        clippy::print_stderr,
        reason = "a test that fails shows what the gateway said"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.stderr.take().and_then(|reader| reader.join().ok());
        if std::thread::panicking() {
            let said = said.unwrap_or_default();
            let tail: Vec<&str> = said.lines().rev().take(60).collect();
            eprintln!("the gateway said last:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
