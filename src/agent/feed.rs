//! What comes, one after the other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_core::Stream as FuturesStream;
use tokio::sync::mpsc;

use super::error::Error;
use super::link::{LinkHandle, RouteId};
use super::room::Room;

/// Items that may wait to be read, where the window is no bound.
pub(super) const UNREAD: usize = 1_024;
/// For mail: at most so many deliveries can be without an acknowledgement.
pub(super) const WINDOW: usize = u16::MAX as usize;

/// Items as they come, over any number of connections.
///
/// It ends with an error, and never silently: [`Error::SessionTaken`] or [`Error::Disconnected`]
/// when the agent is gone, [`Error::Overflow`] when too much was left unread. Dropping it ends the
/// subscription.
#[derive(Debug)]
pub struct Feed<T> {
    items: mpsc::Receiver<Result<T, Error>>,
    is_full: Arc<AtomicBool>,
    is_over: bool,
    routes: Vec<RouteId>,
    link: LinkHandle,
    /// The room that it is of stays as long.
    room: Option<Room>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct FeedSender<T> {
    items: mpsc::Sender<Result<T, Error>>,
    is_full: Arc<AtomicBool>,
}

impl<T> Clone for FeedSender<T> {
    fn clone(&self) -> FeedSender<T> {
        FeedSender {
            items: self.items.clone(),
            is_full: self.is_full.clone(),
        }
    }
}

impl<T> FeedSender<T> {
    /// Adds an item, unless there are too many: then that is the last that is heard.
    pub(super) fn push(&self, item: Result<T, Error>) {
        if self.is_full.load(Ordering::Acquire) {
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = self.items.try_send(item) {
            self.is_full.store(true, Ordering::Release);
        }
    }

    /// Adds an item, once there is room for it.
    pub(super) async fn send(&self, item: Result<T, Error>) {
        // Who does not read any more need not know.
        let _ = self.items.send(item).await;
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.items.is_closed()
    }

    /// Waits until nobody reads any more.
    pub(super) async fn closed(&self) {
        self.items.closed().await;
    }
}

impl<T> Feed<T> {
    pub(super) fn new(link: &LinkHandle, capacity: usize) -> (FeedSender<T>, Feed<T>) {
        let (sender, items) = mpsc::channel(capacity);
        let is_full = Arc::new(AtomicBool::new(false));
        let sender = FeedSender {
            items: sender,
            is_full: is_full.clone(),
        };
        let feed = Feed {
            items,
            is_full,
            is_over: false,
            routes: Vec::new(),
            link: link.clone(),
            room: None,
        };
        (sender, feed)
    }

    /// Has the subscription last as long as the feed.
    pub(super) fn with(mut self, route: RouteId) -> Feed<T> {
        self.routes.push(route);
        self
    }

    /// Has the room's own subscriptions last as long as the feed.
    pub(super) fn of(mut self, room: &Room) -> Feed<T> {
        self.room = Some(room.clone());
        self
    }

    /// The next item; `None` after an error that ended it.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let error = match self.items.poll_recv(context) {
            Poll::Ready(Some(item)) => return Poll::Ready(Some(item)),
            Poll::Ready(None) => self.link.status().gone(),
            Poll::Pending if self.is_full.load(Ordering::Acquire) => {
                Error::Overflow("too much was left unread")
            }
            Poll::Pending => return Poll::Pending,
        };
        self.is_over = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl<T> FuturesStream for Feed<T> {
    type Item = Result<T, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, Error>>> {
        self.poll_item(context)
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        for route in &self.routes {
            self.link.unsubscribe(route);
        }
    }
}
