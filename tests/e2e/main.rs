//! Stories, each on a real server: one file a story.

mod access;
mod by_hand;
mod lying;
mod quiet;
mod rollback;
mod scopes;
mod steps;
mod tampering;
mod wire;
