//! The signals by which a program is asked to stop.

/// Is done at the first SIGTERM or SIGINT; from then on a second one ends the program at once.
///
/// ```no_run
/// # async fn f(worker: hallward::agent::RoomWorker) -> Result<(), hallward::agent::Error> {
/// worker.run_until(hallward::agent::shutdown_signal()).await
/// # }
/// ```
pub async fn shutdown_signal() {
    let number = signalled().await;
    tracing::info!(signal = number, "finishing what is in hand");
    tokio::spawn(async {
        let number = signalled().await;
        std::process::exit(128 + number);
    });
}

#[cfg(unix)]
async fn signalled() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| tracing::error!(%error, "no signals"));
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(not(unix))]
async fn signalled() -> i32 {
    const SIGINT: i32 = 2;
    match tokio::signal::ctrl_c().await {
        Ok(()) => SIGINT,
        Err(error) => {
            tracing::error!(%error, "no signals");
            std::future::pending().await
        }
    }
}
