//! Signals without content: "look again". Correctness never rests on one arriving.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// Wakes the reconciler of rollouts and whoever watches one.
#[derive(Clone, Debug)]
pub struct Wake {
    reconciler: Arc<Notify>,
    watchers: watch::Sender<()>,
}

impl Wake {
    /// Nobody was woken yet.
    pub fn new() -> Self {
        Wake { reconciler: Arc::default(), watchers: watch::Sender::new(()) }
    }

    /// Something about a rollout or its updates changed. Signals that come faster than they are
    /// looked at are one signal.
    pub fn rollouts(&self) {
        self.reconciler.notify_one();
        self.watchers.send_replace(());
    }

    /// Only those who watch have to look again.
    pub fn watchers(&self) {
        self.watchers.send_replace(());
    }

    /// What the reconciler waits for.
    pub fn reconciler(&self) -> Arc<Notify> {
        self.reconciler.clone()
    }

    /// What a watcher waits for.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.watchers.subscribe()
    }
}

impl Default for Wake {
    fn default() -> Self {
        Wake::new()
    }
}
