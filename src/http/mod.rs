//! Health and metrics over HTTP/1.1: `/livez`, `/readyz`, `/metrics`.
//!
//! It asks whoever runs the gateway how it is and shows the numbers that others register; it knows
//! nothing of MQTT, rooms or disks and changes nothing. Clients are bounded in number, in request
//! size and in time. `runtime` calls [`serve`].

mod bounded_listener;
mod config;
mod format;
mod metrics;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use bounded_listener::BoundedListener;
pub use config::HttpConfig;
pub use format::Format;
pub use metrics::MetricsRegistry;

/// How long answers that are under way may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// Whether the gateway can take traffic.
pub trait Health: Send + Sync + 'static {
    /// What an operator should look at before it cannot any more.
    ///
    /// # Errors
    /// Why it cannot, in words for an operator.
    fn readiness(&self) -> Result<Vec<String>, String>;
}

impl<F> Health for F
where
    F: Fn() -> Result<Vec<String>, String> + Send + Sync + 'static,
{
    fn readiness(&self) -> Result<Vec<String>, String> {
        self()
    }
}

/// Answers requests until `stop` resolves, then lets answers that are under way finish for a
/// moment.
///
/// # Errors
/// Only if the listener fails for good; failed connections are their clients' affair.
pub async fn serve(
    listener: TcpListener,
    limits: HttpConfig,
    health: Arc<dyn Health>,
    metrics: Arc<MetricsRegistry>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (halt, halted) = oneshot::channel::<()>();
    let server = axum::serve(
        BoundedListener::new(listener, &limits),
        router(health, metrics),
    )
    .with_graceful_shutdown(async move {
        // The sender is never used, only dropped.
        let _ = halted.await;
    })
    .into_future();
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result,
        () = stop => {}
    }
    drop(halt);
    tokio::time::timeout(DRAIN, server).await.unwrap_or(Ok(()))
}

/// The routes; [`serve`] adds the sockets and their bounds.
pub fn router(health: Arc<dyn Health>, metrics: Arc<MetricsRegistry>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(scrape).with_state(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(only_get)
}

async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(health): State<Arc<dyn Health>>) -> Response {
    match health.readiness() {
        Ok(warnings) => {
            let warnings = warnings.iter().map(|words| format!("warning: {words}\n"));
            format!("ready\n{}", warnings.collect::<String>()).into_response()
        }
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        )
            .into_response(),
    }
}

async fn scrape(State(metrics): State<Arc<MetricsRegistry>>, headers: HeaderMap) -> Response {
    let format = Format::negotiate(&headers);
    // A disk that stands still must not take a thread with it that clients need.
    let encoded = tokio::task::spawn_blocking(move || metrics.encode(format)).await;
    let error = match encoded {
        Ok(Ok(text)) => {
            let kind = (CONTENT_TYPE, format.content_type());
            return ([kind, (VARY, ACCEPT.as_str())], text).into_response();
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let words = format!("metrics could not be written: {error}\n");
    (StatusCode::INTERNAL_SERVER_ERROR, words).into_response()
}

async fn not_found(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    let words = format!("nothing at {path}: there is /livez, /readyz and /metrics\n");
    (StatusCode::NOT_FOUND, words).into_response()
}

async fn only_get(method: Method) -> Response {
    let method: String = method.as_str().chars().take(20).collect();
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(ALLOW, "GET, HEAD")],
        format!("{method} is not for this address: only GET is\n"),
    )
        .into_response()
}

#[cfg(test)]
mod tests;
