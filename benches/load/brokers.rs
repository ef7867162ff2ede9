//! Starts and ends the servers under test, each run on a fresh directory and free loopback ports,
//! each ended by its own process id when the run drops it. Knows how every server is configured and
//! when it is ready; measures nothing but the process itself (memory, CPU). Called by `main` and,
//! for the process figures, by the scenarios.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;

use crate::client::Client;
use crate::resp::Redis;
use crate::rumqttd_listener;

/// Longest wait for a server to become ready.
const START_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Last bytes of a server's log that an error quotes.
const LOG_TAIL: usize = 600;

/// A server that can be put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Broker {
    Hallward,
    Mosquitto,
    /// Its own listener, in a process of its own that this program makes of itself.
    Rumqttd,
    Redis,
}

/// Whether a run is about durable state. Hallward is always run as shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    Live,
    Durable,
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hallward => "hallward",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
            Self::Redis => "redis",
        })
    }
}

impl Broker {
    fn program(self) -> Result<PathBuf> {
        Ok(match self {
            Self::Hallward => env!("CARGO_BIN_EXE_hallward").into(),
            Self::Mosquitto => "mosquitto".into(),
            Self::Rumqttd => std::env::current_exe()?,
            Self::Redis => "redis-server".into(),
        })
    }

    /// The version that the program prints, or why it cannot be run.
    pub(crate) fn version(self) -> Result<String> {
        let flag = match self {
            Self::Mosquitto => "-h",
            Self::Rumqttd => return Ok(rumqttd_listener::VERSION.to_owned()),
            Self::Hallward | Self::Redis => "--version",
        };
        let output = Command::new(self.program()?)
            .arg(flag)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("{self} is not installed"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .split_whitespace()
            .map(|word| word.trim_start_matches("v="))
            .find(|word| {
                word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
            });
        Ok(version.unwrap_or("of unknown version").to_owned())
    }

    fn command(self, storage: Storage, site: &Site) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        match self {
            Self::Hallward => {
                command.arg("serve").arg("--data").arg(&site.data);
                command.args([
                    "--mqtt",
                    &site.addr.to_string(),
                    "--http",
                    &site.http.to_string(),
                ]);
                if let Some(config) = &site.config {
                    command.arg("--config").arg(config);
                }
            }
            Self::Mosquitto => {
                let config = site.data.join("mosquitto.conf");
                fs::write(&config, mosquitto_config(storage, site))?;
                command.arg("-c").arg(config);
            }
            Self::Rumqttd => {
                command.args(["--bench", "--serve-rumqttd", &site.addr.to_string()]);
            }
            Self::Redis => {
                command.args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &site.addr.port().to_string(),
                    "--save",
                    "",
                ]);
                command.args([
                    "--appendonly",
                    "yes",
                    "--appendfsync",
                    "always",
                    "--auto-aof-rewrite-percentage",
                    "0",
                ]);
                command.arg("--dir").arg(&site.data);
            }
        }
        Ok(command)
    }
}

/// `autosave_interval 1` is mosquitto's most careful setting of its own; it still acknowledges
/// before it saves.
fn mosquitto_config(storage: Storage, site: &Site) -> String {
    let mut config = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_inflight_messages 1000\n\
         max_queued_messages 0\nuser root\nlog_type error\n",
        site.addr.port()
    );
    match storage {
        Storage::Live => config.push_str("persistence false\n"),
        Storage::Durable => config.push_str(&format!(
            "persistence true\nautosave_interval 1\npersistence_location {}/\n",
            site.data.display()
        )),
    }
    config
}

/// Where one run of a server lives.
struct Site {
    data: PathBuf,
    config: Option<PathBuf>,
    addr: SocketAddr,
    http: SocketAddr,
}

/// A running server; dropping it ends the process and removes its directory.
pub(crate) struct Running {
    pub(crate) broker: Broker,
    /// MQTT, or RESP for Redis.
    pub(crate) addr: SocketAddr,
    child: Child,
    dir: TempDir,
}

impl Running {
    /// Starts the server below `parent` and waits until it serves.
    pub(crate) fn start(
        broker: Broker,
        storage: Storage,
        parent: &Path,
        config: Option<&Path>,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("load-")
            .tempdir_in(parent)?;
        let data = dir.path().join("data");
        fs::create_dir(&data)?;
        let (addr, http) = free_ports()?;
        let site = Site {
            data,
            config: config.map(Path::to_owned),
            addr,
            http,
        };
        let log = File::create(dir.path().join("log"))?;
        let child = broker
            .command(storage, &site)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {broker}"))?;
        let mut running = Self {
            broker,
            addr,
            child,
            dir,
        };
        running.wait_until_ready(http)?;
        Ok(running)
    }

    fn wait_until_ready(&mut self, http: SocketAddr) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let tried = match self.broker {
                Broker::Hallward => ready(http),
                Broker::Mosquitto | Broker::Rumqttd => {
                    Client::connect(self.addr, "load-ready", true).map(drop)
                }
                Broker::Redis => Redis::connect(self.addr).and_then(|mut redis| redis.ping()),
            };
            let Err(error) = tried else { return Ok(()) };
            if let Some(death) = self.death() {
                bail!("{death}");
            }
            ensure!(
                Instant::now() < deadline,
                "not ready after {} s: {error:#}",
                START_LIMIT.as_secs()
            );
            pause(POLL);
        }
    }

    /// What the server said last, if it has exited.
    pub(crate) fn death(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        let (broker, log) = (self.broker, self.last_words());
        Some(format!("{broker} ended early ({status}); {log}"))
    }

    /// What the server said last.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.dir.path().join("log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]);
        format!("its log ends with: {:?}", tail.trim())
    }

    /// The run's own directory, on the file system that holds the server's data.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("expected VmRSS in the process status")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// CPU time used so far, user and system. The kernel counts in hundredths of a second.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat
            .rsplit_once(')')
            .context("expected a process name in parentheses")?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = fields
            .get(11..13)
            .context("expected utime and stime in the process status")?;
        let hundredths = ticks
            .iter()
            .map(|tick| tick.parse::<u64>())
            .sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(hundredths * 10))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing of the run is kept, so there is nothing to drain: the process is ended outright.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One `GET /readyz`, which must answer 200.
fn ready(http: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&http, POLL * 10)?;
    stream.set_read_timeout(Some(POLL * 50))?;
    write!(
        stream,
        "GET /readyz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    ensure!(
        &answer[8..] == b" 200",
        "expected 200 from /readyz, came {:?}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<(SocketAddr, SocketAddr)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?, second.local_addr()?))
}

/// Lets time pass: the length of a run is part of its definition.
#[expect(
    clippy::disallowed_methods,
    reason = "a load run lasts a set time; nothing announces its end"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
