//! The way from the desk to one session.
//!
//! Responses travel in boxes: a channel keeps room for 32 entries however idle it is, and most connections are idle.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::port::Response;

/// The session is gone; nobody will read this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is gone")]
pub struct SessionGone;

/// The desk's end.
#[derive(Debug, Clone)]
pub struct ResponseSender(mpsc::UnboundedSender<Box<Response>>);

/// The session's end.
#[derive(Debug)]
pub struct ResponseReceiver(mpsc::UnboundedReceiver<Box<Response>>);

/// A way for the responses to one connection.
pub fn responses() -> (ResponseSender, ResponseReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ResponseSender(sender), ResponseReceiver(receiver))
}

impl ResponseSender {
    /// Sends without waiting.
    ///
    /// # Errors
    /// If the session is gone.
    pub fn send(&self, response: Response) -> Result<(), SessionGone> {
        self.0.send(Box::new(response)).map_err(|_| SessionGone)
    }
}

impl ResponseReceiver {
    /// The next response; `None` once the desk has let go of the connection.
    pub async fn recv(&mut self) -> Option<Response> {
        self.0.recv().await.map(|response| *response)
    }

    /// The next response that is there already.
    ///
    /// # Errors
    /// If there is none.
    pub fn try_recv(&mut self) -> Result<Response, TryRecvError> {
        self.0.try_recv().map(|response| *response)
    }
}
