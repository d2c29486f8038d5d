//! What a server of this process writes into its log about calls, in their order.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::runtime::{Builder, Runtime};
use tracing::{
    Dispatch, Event, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
    subscriber::{Interest, NoSubscriber},
};

/// The target of a call's line; `docs/LOGGING.md` describes it.
const TARGET: &str = "slipwayd::call";

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// `Service/Method`, or the first part of an HTTP path.
    pub method: String,
    /// `tokens/ID`, `devices/ID`, or `anyone`.
    pub caller: String,
    /// How it ended.
    pub code: String,
}

/// The lines so far. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CallLog(Arc<Mutex<Vec<Call>>>);

impl CallLog {
    /// A runtime whose threads write here, and nowhere else: other tests of the process are not heard.
    ///
    /// # Panics
    ///
    /// When the system gives no threads.
    pub fn runtime(&self) -> Runtime {
        let dispatch = Dispatch::new(self.clone());
        // With one subscriber alone, a place in the code that a thread without any comes to first would be
        // switched off for all threads.
        let second = Dispatch::new(NoSubscriber::default());
        let listen = move || {
            let _both = &second;
            std::mem::forget(dispatcher::set_default(&dispatch));
        };
        let runtime =
            Builder::new_multi_thread().worker_threads(2).on_thread_start(listen).enable_all().build();
        runtime.expect("a runtime")
    }

    /// Takes the lines out.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for CallLog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut call = Call::default();
        event.record(&mut call);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Call {
    fn record_str(&mut self, field: &Field, value: &str) {
        let into = match field.name() {
            "method" => &mut self.method,
            "caller" => &mut self.caller,
            "code" => &mut self.code,
            _ => return,
        };
        value.clone_into(into);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say() {
        tracing::debug!(target: "slipwayd::call", method = "A/B", caller = "anyone", code = "OK", "call");
    }

    #[test]
    fn only_the_threads_of_the_runtime_are_heard_whoever_speaks_first() {
        let log = CallLog::default();
        let runtime = log.runtime();
        std::thread::spawn(say).join().unwrap();
        runtime.block_on(async { tokio::spawn(async { say() }).await.unwrap() });
        let heard = log.take();
        assert_eq!((heard.len(), heard[0].method.as_str()), (1, "A/B"));
    }
}
