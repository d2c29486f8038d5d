//! Connections of which nobody knows yet whose they are: they have to prove it in time, one address has
//! only so many, and where there is no room left, the oldest of them makes place.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{limits, service::lines::Line};

/// What connections may cost. Tests have smaller ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Open at once.
    pub connections: usize,
    /// Those of one address that proved nothing.
    pub of_address: usize,
    /// How long a connection may prove nothing.
    pub unproved: Duration,
    /// How long one that proved itself by a token may be without a call.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections: limits::CONNECTIONS,
            of_address: limits::STRANGERS_OF_ADDRESS,
            unproved: limits::UNPROVED,
            idle: limits::IDLE,
        }
    }
}

/// The connections that proved nothing yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    of_address: HashMap<IpAddr, usize>,
    /// By number, so the oldest first.
    open: BTreeMap<u64, Arc<Notify>>,
}

/// One of them, until it is dropped: it ended, or proved whose it is.
#[derive(Debug)]
pub(super) struct Stranger {
    all: Strangers,
    number: u64,
    address: IpAddr,
    dismissed: Arc<Notify>,
}

impl Strangers {
    /// The connection of that number; none when its address has `limit` others already.
    pub(super) fn admit(&self, number: u64, from: IpAddr, limit: usize) -> Option<Stranger> {
        let address = network(from);
        let dismissed = Arc::new(Notify::new());
        let mut known = self.lock();
        let count = known.of_address.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        known.open.insert(number, dismissed.clone());
        drop(known);
        Some(Stranger { all: self.clone(), number, address, dismissed })
    }

    /// Ends the oldest, if there is any.
    pub(super) fn dismiss_oldest(&self) {
        if let Some((_, oldest)) = self.lock().open.pop_first() {
            oldest.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// Returns when it has to make place.
    pub(super) async fn dismissed(&self) {
        self.dismissed.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut known = self.all.lock();
        known.open.remove(&self.number);
        if let Some(count) = known.of_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                known.of_address.remove(&self.address);
            }
        }
    }
}

/// How long calls under way may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    /// Not at all.
    None,
    /// So long.
    For(Duration),
    /// As long as they like.
    Unbounded,
}

/// Returns when the connection had its time: nobody proved in time whose it is, it has to make place, or
/// the token that it was proved by has not been used for long. `stranger` is none for a device, which
/// showed its certificate, and becomes none with the first call that was authenticated.
pub(super) async fn overstayed(stranger: &mut Option<Stranger>, line: &Line, bounds: &Bounds) -> Grace {
    let Some(unknown) = stranger else { return std::future::pending().await };
    let mut calls = line.calls();
    tokio::select! {
        // The sender lives as long as the line.
        _ = calls.changed() => *stranger = None,
        () = unknown.dismissed() => return Grace::None,
        () = sleep(bounds.unproved) => return Grace::For(limits::LAST_CALLS),
    }
    while timeout(bounds.idle, calls.changed()).await.is_ok() {}
    Grace::Unbounded
}

/// What counts as one address: whoever has one of IPv6 has the other 2^64 of its network.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_address_and_who_leaves_makes_room() {
        let strangers = Strangers::default();
        let admit = |number, address: &str| strangers.admit(number, address.parse().unwrap(), 2);
        let first = admit(1, "2001:db8::1").unwrap();
        let second = admit(2, "2001:db8::2").unwrap();
        assert!(admit(3, "2001:db8::3").is_none());
        let elsewhere = admit(4, "2001:db8:0:1::3").unwrap();
        drop(second);
        let third = admit(5, "2001:db8::3").unwrap();
        let old = [admit(6, "192.0.2.1").unwrap(), admit(7, "::ffff:192.0.2.1").unwrap()];
        assert!(admit(8, "192.0.2.1").is_none());
        drop((first, elsewhere, third, old));
        assert!(strangers.lock().of_address.is_empty() && strangers.lock().open.is_empty());
    }
}
