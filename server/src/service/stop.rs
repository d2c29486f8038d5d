//! The end of the process, as something one can wait for.

use tokio::sync::watch;

/// Raises the stop; kept by whoever runs the server.
#[derive(Debug)]
pub struct StopHandle(watch::Sender<bool>);

/// Tells whether the server is stopping. Dropping the handle stops too.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl StopHandle {
    /// A handle and what it raises.
    pub fn new() -> (StopHandle, Stop) {
        let (sender, receiver) = watch::channel(false);
        (StopHandle(sender), Stop(receiver))
    }

    /// Says that the server stops; cannot be taken back.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it stops.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when it stops.
    pub async fn raised(&self) {
        // An error means that the handle is gone: the same.
        let _ = self.0.clone().wait_for(|raised| *raised).await;
    }
}
