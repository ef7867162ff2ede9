//! The gateway of the demo: this same program as a process of its own, so that it can be killed and restarted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::super::Failure;
use super::PATIENCE;

/// A gateway process, ended when dropped.
pub(super) struct GatewayProcess {
    mqtt: SocketAddr,
    http: SocketAddr,
    data: PathBuf,
    child: Child,
}

impl GatewayProcess {
    /// Starts one on the usual port, or on another where that is taken, with a data directory of its own.
    pub(super) async fn start() -> Result<GatewayProcess, Failure> {
        let data = std::env::temp_dir().join(format!("hallward-demo-{}", std::process::id()));
        let mut preferred = 1883;
        loop {
            let mqtt = free_address(preferred)?;
            let http = free_address(0)?;
            match spawn(mqtt, http, &data).await {
                Ok(child) => {
                    return Ok(GatewayProcess {
                        mqtt,
                        http,
                        data,
                        child,
                    });
                }
                // Somebody else may have taken the usual port since it was found free.
                Err(_) if mqtt.port() == preferred => preferred = 0,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Where MQTT clients connect.
    pub(super) fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Kills it as a power cut would, and starts it again on the same data.
    pub(super) async fn crash(&mut self) -> Result<(), Failure> {
        self.child
            .kill()
            .await
            .map_err(|error| Failure::runtime(format!("cannot kill the gateway: {error}")))?;
        self.child = spawn(self.mqtt, self.http, &self.data).await?;
        Ok(())
    }

    /// Ends it and removes its data.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.child
            .kill()
            .await
            .map_err(|error| Failure::runtime(format!("cannot stop the gateway: {error}")))?;
        // The data is the demo's own; what cannot be removed is left to the system's clean-up.
        let _ = std::fs::remove_dir_all(&self.data);
        Ok(())
    }
}

/// Starts the process and waits until it says that it listens.
async fn spawn(
    mqtt: SocketAddr,
    http: SocketAddr,
    data: &std::path::Path,
) -> Result<Child, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::runtime(format!("cannot find this program's file: {error}")))?;
    let mut child = Command::new(program)
        .args([
            "serve",
            "--mqtt",
            &mqtt.to_string(),
            "--http",
            &http.to_string(),
            "--data",
        ])
        .arg(data)
        // A worker that is gone should be missed within the demo's time.
        .env("HALLWARD__ROOMS__RECONNECT_GRACE", "2s")
        .env("HALLWARD__LOG__LEVEL", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::runtime(format!("cannot start the gateway: {error}")))?;
    match tokio::time::timeout(PATIENCE, first_line(&mut child)).await {
        Ok(Some(())) => Ok(child),
        Ok(None) => Err(Failure::runtime(format!(
            "the gateway did not start: {}",
            last_words(&mut child).await
        ))),
        Err(_) => Err(Failure::runtime(format!(
            "the gateway did not start within {PATIENCE:?}"
        ))),
    }
}

/// The banner comes when the gateway listens; the rest of its output is read on, so that it never waits for us.
async fn first_line(child: &mut Child) -> Option<()> {
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let first = lines.next_line().await.ok().flatten().map(drop);
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    if first.is_some()
        && let Some(stderr) = child.stderr.take()
    {
        let mut lines = BufReader::new(stderr).lines();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    }
    first
}

async fn last_words(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(stderr) = &mut child.stderr {
        // Whatever could be read is better than nothing.
        let _ = stderr.read_to_string(&mut text).await;
    }
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// The preferred port of the loopback interface if it is free, or any.
fn free_address(preferred: u16) -> Result<SocketAddr, Failure> {
    let bind = |port| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr())
    };
    bind(preferred)
        .or_else(|_| bind(0))
        .map_err(|error| Failure::try_again(format!("no free port on 127.0.0.1: {error}")))
}
