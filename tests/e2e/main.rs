//! Stories, each on a real server: one file a story.

mod access;
mod audit;
mod bad_input;
mod bundles;
mod by_hand;
mod by_mistake;
mod ceremonies;
mod edges;
mod full_disk;
mod help;
mod identity;
mod keys_document;
mod lost_keys;
mod lying;
mod quiet;
mod rollback;
mod rotations;
mod scale_out;
mod scopes;
mod steps;
mod tampering;
mod wire;
mod withdrawals;
