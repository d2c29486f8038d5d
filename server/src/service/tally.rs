//! How often something happened lately, by whom; in memory, and lost with the process.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::model::time::Timestamp;

/// Whom is kept count of at once; with more, all counts begin again. Whoever has so many addresses is not
/// to be kept out by counting.
const KEPT: usize = 65_536;

/// Counts of what happened within a span.
#[derive(Clone, Debug)]
pub struct Tally<K> {
    limit: usize,
    within: Duration,
    times: Arc<Mutex<HashMap<K, VecDeque<Timestamp>>>>,
}

impl<K: Eq + Hash> Tally<K> {
    /// Allows `limit` within any span of this length.
    pub fn new(limit: usize, within: Duration) -> Self {
        Tally { limit, within, times: Arc::default() }
    }

    /// The error is how long it takes until `who` may again.
    pub fn check(&self, who: &K, now: Timestamp) -> Result<(), Duration> {
        let all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.before(self.within);
        let times = all.get(who).into_iter().flatten().filter(|at| **at > since);
        match times.clone().next() {
            Some(first) if times.count() >= self.limit => Err(first.after(self.within).since(now)),
            _ => Ok(()),
        }
    }

    /// Counts one more; true when it was the last that is allowed.
    pub fn note(&self, who: K, now: Timestamp) -> bool {
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.before(self.within);
        let is_recent = |at: &Timestamp| *at > since;
        // As many as there were lately, not as many as there are.
        all.retain(|_, times| times.back().is_some_and(is_recent));
        if all.len() >= KEPT {
            all.clear();
        }
        let times = all.entry(who).or_default();
        times.retain(is_recent);
        times.push_back(now);
        times.len() == self.limit
    }

    /// Counts one more, or says how long it takes until it may be.
    pub fn count(&self, who: K, now: Timestamp) -> Result<(), Duration> {
        self.check(&who, now)?;
        self.note(who, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_in_a_span() {
        let tally = Tally::new(2, Duration::from_secs(60));
        let at = Timestamp::from_seconds;
        assert_eq!((tally.count("a", at(0)), tally.count("a", at(10))), (Ok(()), Ok(())));
        assert_eq!(tally.count("a", at(30)), Err(Duration::from_secs(30)));
        assert_eq!(tally.count("b", at(30)), Ok(()), "another one");
        assert_eq!(tally.count("a", at(60)), Ok(()), "the first is forgotten");
        assert_eq!(tally.check(&"a", at(60)), Err(Duration::from_secs(10)));
        assert!(tally.note("b", at(61)) && !tally.note("b", at(62)), "the last that is allowed");
    }
}
