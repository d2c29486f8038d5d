//! How many streams run at once. Each holds memory for as long as its reader takes his time, and who reads nothing takes
//! for ever: without a bound one token could fill the server's memory with answers that it never fetches.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::token_cache::TokenCaller;
use crate::model::refusal::{Reason, Refusal};

/// When it is worth to ask again: most streams that end take a few seconds.
const AGAIN: Duration = Duration::from_secs(10);

/// Places for streams of one sort.
#[derive(Clone, Debug)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What they are called, in the plural.
    what: &'static str,
    of_token: usize,
    in_all: usize,
    /// Those that are taken, by the id of the token.
    taken: Mutex<HashMap<String, usize>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    token: String,
}

impl Places {
    /// So many for one token, and so many in all.
    pub fn new(what: &'static str, of_token: usize, in_all: usize) -> Self {
        Places(Arc::new(Shared { what, of_token, in_all, taken: Mutex::default() }))
    }

    /// Takes one. Refused at once with `TOO_MANY_STREAMS`: nobody waits in a queue that others can fill.
    ///
    /// A quarter of all is left to those without a scope: the clients together do not keep the operators out.
    pub fn take(&self, caller: &TokenCaller) -> Result<Place, Refusal> {
        let Shared { what, of_token, in_all, .. } = &*self.0;
        let most = if caller.token.role.has_scope() { in_all - in_all / 4 } else { *in_all };
        let mut taken = self.0.taken();
        let own = taken.get(&caller.token.id).copied().unwrap_or(0);
        let problem = if own >= *of_token {
            format!("this token has {own} {what} under way, as many as one token may have")
        } else if taken.values().sum::<usize>() >= most {
            format!("as many {what} are under way as this server has room for")
        } else {
            taken.insert(caller.token.id.clone(), own + 1);
            return Ok(Place { shared: self.0.clone(), token: caller.token.id.clone() });
        };
        let hint = "read one to its end or close it, then try again";
        Err(Refusal::new(Reason::TooManyStreams, problem, hint).retry_after(AGAIN))
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        match taken.get_mut(&self.token) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::token::Role,
        service::{Context, alert_testing::caller},
    };

    #[tokio::test]
    async fn a_token_and_all_clients_have_their_share_and_a_place_is_free_when_it_is_left() {
        let ctx = Context::for_test().await;
        let mut clients = Vec::new();
        for id in ["aa", "bb", "cc", "dd"] {
            clients.push(caller(&ctx, id, Role::Client, "labels.site = \"north\"").await);
        }
        let operator = caller(&ctx, "ee", Role::Operator, "").await;
        let places = Places::new("exports", 2, 8);
        let mut held = Vec::new();
        for client in &clients[..3] {
            held.extend([places.take(client).unwrap(), places.take(client).unwrap()]);
        }
        let refusal = places.take(&clients[0]).unwrap_err();
        assert_eq!((refusal.reason, refusal.retry_after), (Reason::TooManyStreams, Some(AGAIN)));
        assert!(refusal.message.starts_with("this token has 2 exports under way"), "{refusal}");
        // The fourth has none yet, and finds what is left kept for others.
        let refusal = places.take(&clients[3]).unwrap_err();
        assert!(refusal.message.starts_with("as many exports are under way"), "{refusal}");
        held.extend([places.take(&operator).unwrap(), places.take(&operator).unwrap()]);
        drop(held.remove(0));
        assert!(places.take(&clients[3]).is_err());
        held.truncate(4);
        assert!(places.take(&clients[3]).is_ok() && places.take(&clients[0]).is_ok());
        drop(held);
        assert!(places.0.taken().is_empty());
    }
}
