//! Keys from the terminal as they are pressed, without Enter.
//!
//! The terminal is as it was again when this is dropped. Ctrl-C stays a signal.

use std::io::{IsTerminal, Read, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::super::Failure;

/// Whether there is somebody to press a key.
pub(super) fn present() -> bool {
    stdin().is_terminal()
}

pub(super) struct Keys {
    pressed: mpsc::Receiver<u8>,
    before: Termios,
}

impl Keys {
    /// Begins to listen; what was typed before does not count.
    pub(super) fn listen() -> Result<Keys, Failure> {
        let before = tcgetattr(stdin()).map_err(no_terminal)?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(stdin(), OptionalActions::Flush, &modes).map_err(no_terminal)?;
        let (tell, pressed) = mpsc::channel(1);
        // A thread of its own that nobody waits for: nothing but a key ends a read from a terminal.
        std::thread::spawn(move || {
            for key in stdin().lock().bytes().map_while(Result::ok) {
                if tell.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Ok(Keys { pressed, before })
    }

    /// The next key, a byte of it at a time.
    pub(super) async fn next(&mut self) -> Result<u8, Failure> {
        let gone = || Failure::runtime("the terminal is gone, and nobody has decided");
        self.pressed.recv().await.ok_or_else(gone)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

fn no_terminal(error: rustix::io::Errno) -> Failure {
    Failure::runtime(format!("cannot read keys from the terminal: {error}"))
}
