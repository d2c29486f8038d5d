//! Connections of devices: which are open, so that they can be closed, and whether two live ones
//! show the same key.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use slipway_trust::Sha256;
use tokio::sync::watch;

/// One connection, for those who may have to end it.
#[derive(Debug)]
pub struct Line {
    /// Later connections have higher numbers.
    number: u64,
    from: IpAddr,
    key: Option<Sha256>,
    closing: watch::Sender<bool>,
    /// Calls with a token that was good.
    calls: watch::Sender<u64>,
}

impl Line {
    /// The connection of that number, from that address, whose certificate has that key.
    pub fn new(number: u64, from: IpAddr, key: Option<Sha256>) -> Self {
        Line { number, from, key, closing: watch::Sender::new(false), calls: watch::Sender::new(0) }
    }

    /// Notes a call whose token was good: whose connection it is, is known.
    pub fn proved(&self) {
        self.calls.send_modify(|calls| *calls = calls.wrapping_add(1));
    }

    /// Changes with each call whose token was good; the calls of before count.
    pub fn calls(&self) -> watch::Receiver<u64> {
        let mut calls = self.calls.subscribe();
        if *calls.borrow() > 0 {
            calls.mark_changed();
        }
        calls
    }

    /// Asks for its end; calls under way may finish within a short time.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns when somebody asked for its end.
    pub async fn closed(&self) {
        // The sender lives as long as the line.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// The connections on which one device called.
#[derive(Debug, Default)]
pub struct Lines {
    /// The one it called on last: number and address.
    last: Option<(u64, IpAddr)>,
    open: Vec<Weak<Line>>,
}

impl Lines {
    /// Notes a call. True when another machine calls with the same key: the device called from another
    /// address already, on a connection that was opened later, and this older one is still in use. A
    /// device that moved to another network leaves its old connection for good.
    pub fn called(&mut self, line: &Arc<Line>) -> bool {
        let before = self.last.replace((line.number, line.from));
        if before.is_none_or(|(number, _)| number != line.number) {
            self.open.retain(|open| open.strong_count() > 0);
            if !self.open.iter().any(|open| std::ptr::eq(open.as_ptr(), Arc::as_ptr(line))) {
                self.open.push(Arc::downgrade(line));
            }
        }
        before.is_some_and(|(number, from)| number > line.number && from != line.from)
    }

    /// Closes those whose key is not good any more.
    pub fn close_unless(&self, is_good: impl Fn(&Sha256) -> bool) {
        for line in self.open.iter().filter_map(Weak::upgrade) {
            if !line.key.as_ref().is_some_and(&is_good) {
                line.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, last_byte: u8) -> Arc<Line> {
        let key = Sha256::of(&[last_byte]);
        Arc::new(Line::new(number, IpAddr::from([192, 0, 2, last_byte]), Some(key)))
    }

    #[test]
    fn who_moves_is_one_and_who_is_in_two_places_is_two() {
        let (home, road, again) = (line(1, 1), line(2, 2), line(3, 1));
        let mut lines = Lines::default();
        assert!(!lines.called(&home) && !lines.called(&home));
        assert!(!lines.called(&road), "it moved");
        assert!(!lines.called(&again), "and came back, on a new connection");
        assert!(lines.called(&road), "the old connection is still in use elsewhere");
        let same_place = line(4, 2);
        assert!(!lines.called(&same_place));
        assert!(!lines.called(&road), "two connections of one address may be one machine");
    }

    #[tokio::test]
    async fn lines_of_a_bad_key_are_closed_and_others_stay() {
        let (bad, good) = (line(1, 1), line(2, 2));
        let mut lines = Lines::default();
        lines.called(&bad);
        lines.called(&good);
        lines.close_unless(|key| *key == Sha256::of(&[2]));
        bad.closed().await;
        assert!(!*good.closing.borrow());
        drop(bad);
        lines.called(&line(3, 3));
        assert_eq!(lines.open.len(), 2, "those that ended are forgotten");
    }
}
