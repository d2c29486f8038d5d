//! The search for a target through the delegations: pre-order, depth first.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::limits;
use crate::set::{TARGETS, TrustedSet};
use crate::targets::{Target, target_path};

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The first role that may speak for the path and lists it.
    Found {
        /// Its name.
        role: &'a str,
        /// What it lists.
        target: &'a Target,
    },
    /// Nobody lists it.
    NotFound,
    /// The search has to look into a role that is not held: offer it with
    /// [`TrustedSet::update_delegated`] and search again.
    Needs {
        /// Who delegates to it.
        delegator: &'a str,
        /// The role.
        role: &'a str,
    },
}

impl TrustedSet {
    /// Searches for `path`. Says nothing about freshness.
    pub fn find(&self, path: &str) -> Result<Lookup<'_>, Error> {
        target_path(path)?;
        let Some(top) = &self.targets else {
            return Err(Error::Missing { document: format!("target {path}"), needs: TARGETS.to_owned() });
        };
        let mut visited = BTreeSet::new();
        let mut stack = vec![("root", TARGETS)];
        while let Some((delegator, role)) = stack.pop() {
            if visited.contains(role) {
                continue;
            }
            if visited.len() == limits::DELEGATIONS + 1 {
                return Err(Error::TooManyDelegations { path: path.to_owned(), limit: limits::DELEGATIONS });
            }
            let held = match role {
                TARGETS => top,
                _ => match self.delegated.get(&(delegator.to_owned(), role.to_owned())) {
                    Some(held) => held,
                    None => return Ok(Lookup::Needs { delegator, role }),
                },
            };
            visited.insert(role);
            if let Some(target) = held.body.targets.get(path) {
                return Ok(Lookup::Found { role, target });
            }
            let mut next = Vec::new();
            for delegated in held.body.delegations.roles.iter().filter(|d| d.paths.matches(path)) {
                next.push((role, delegated.name.as_str()));
                if delegated.terminating {
                    // Who terminates has the last word: nobody after it, here or further up.
                    stack.clear();
                    break;
                }
            }
            stack.extend(next.into_iter().rev());
        }
        Ok(Lookup::NotFound)
    }
}
