//! The control socket: what the owner of the data directory may ask of a gateway that runs. For now
//! that is a backup.
//!
//! It is a Unix socket for the user alone who runs the gateway (and root): who may read the files
//! may ask, whether or not MQTT clients must prove who they are, and nobody over a network. A file
//! in the data directory has its name, which is another one at each start. On Linux the socket
//! itself is no file: tools that copy a directory stumble over sockets, and their paths are short.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{
    SocketAddr, UnixListener as BlockingListener, UnixStream as BlockingStream,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::ledger::{Snapshots, copy};

/// Has the socket's name, in the data directory.
const NAME_FILE: &str = "control";
/// What asks for a backup.
const BACKUP: &str = "backup";
const MAX_REQUEST_BYTES: u64 = 64;
/// How long a request may take to come.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long whoever takes rows may pause: the database's own log grows meanwhile.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait after a failed accept: it is the process that has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Asks the gateway that uses `dir` for all rows; `None` if none can be asked.
///
/// # Errors
/// If one listens and cannot be asked.
pub(super) fn ask_for_rows(dir: &Path) -> io::Result<Option<BlockingStream>> {
    let connected = fs::read_to_string(dir.join(NAME_FILE))
        .and_then(|name| BlockingStream::connect_addr(&address(dir, name.trim())?));
    let mut stream = match connected {
        Ok(stream) => stream,
        // Nobody is there, or what is there was left by a process that was killed.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    io::Write::write_all(&mut stream, format!("{BACKUP}\n").as_bytes())?;
    Ok(Some(stream))
}

/// The gateway's side.
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
    snapshots: Snapshots,
    /// One backup at a time: each holds back the database's own log.
    places: Arc<Semaphore>,
}

impl Control {
    /// Listens in `dir`, which this process has locked. Where that cannot be, the gateway runs
    /// without.
    pub(super) fn listen(dir: &Path, snapshots: Snapshots) -> Option<Control> {
        let path = dir.join(NAME_FILE);
        match bind(dir, &path) {
            Ok((listener, owner)) => Some(Control {
                listener,
                path,
                owner,
                snapshots,
                places: Arc::new(Semaphore::new(1)),
            }),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, %path, "no control socket: backups only while the gateway is stopped");
                None
            }
        }
    }

    /// Answers until `stopped`.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = told(&mut stopped) => break,
            };
            match accepted {
                Ok((stream, _)) if self.may(&stream) => self.answer(stream, stopped.clone()),
                Ok(_) => tracing::warn!("somebody else than the owner asked on the control socket"),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // Best effort: the next start writes it anew.
        let _ = fs::remove_file(&self.path);
    }

    fn may(&self, stream: &UnixStream) -> bool {
        let peer = stream.peer_cred();
        peer.is_ok_and(|peer| [0, self.owner].contains(&peer.uid()))
    }

    fn answer(&self, stream: UnixStream, mut stopped: watch::Receiver<bool>) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            if let Ok(stream) = stream.into_std() {
                copy::refuse(stream, "another backup is running");
            }
            return;
        };
        let snapshots = self.snapshots.clone();
        tokio::spawn(async move {
            let Ok((stream, other)) = stream
                .into_std()
                .and_then(|stream| Ok((stream.try_clone()?, stream)))
            else {
                return;
            };
            let mut work = tokio::task::spawn_blocking(move || back_up(stream, &snapshots));
            tokio::select! {
                _ = &mut work => {}
                () = told(&mut stopped) => {
                    // Ends the work at its next write: nothing of a stop waits for a backup.
                    let _ = other.shutdown(Shutdown::Both);
                    let _ = work.await;
                }
            }
            drop(place);
        });
    }
}

/// Waits for the stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good as a stop.
    let _ = stopped.wait_for(|&stopped| stopped).await;
}

fn bind(dir: &Path, path: &Path) -> io::Result<(UnixListener, u32)> {
    let name = format!("hallward-{:016x}{:016x}", super::seed(), super::seed());
    let listener = BlockingListener::bind_addr(&address(dir, &name)?)?;
    listener.set_nonblocking(true)?;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    io::Write::write_all(&mut file, name.as_bytes())?;
    Ok((UnixListener::from_std(listener)?, file.metadata()?.uid()))
}

#[cfg(target_os = "linux")]
fn address(_: &Path, name: &str) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

/// Where there are no sockets without a file; one that is left behind has a name that nobody uses
/// again.
#[cfg(not(target_os = "linux"))]
fn address(dir: &Path, name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(dir.join(name))
}

fn back_up(stream: BlockingStream, snapshots: &Snapshots) {
    match serve(&stream, snapshots) {
        Ok(()) => tracing::info!("backup sent"),
        Err(error) => {
            tracing::warn!(%error, "backup not sent");
            copy::refuse(&stream, &error);
        }
    }
}

fn serve(stream: &BlockingStream, snapshots: &Snapshots) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    stream.set_nonblocking(false).map_err(words)?;
    stream.set_read_timeout(Some(READ_TIMEOUT)).map_err(words)?;
    stream
        .set_write_timeout(Some(WRITE_TIMEOUT))
        .map_err(words)?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream.take(MAX_REQUEST_BYTES));
    reader.read_line(&mut request).map_err(words)?;
    if request.trim_end() != BACKUP {
        return Err(format!("unknown request, expected {BACKUP}"));
    }
    tracing::info!("backup begins");
    let view = snapshots.take().map_err(|error| error.to_string())?;
    copy::send(&*view, snapshots.bytes(), stream).map_err(|error| error.to_string())
}
