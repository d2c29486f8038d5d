//! The store's contract: the same cases on SQLite and on PostgreSQL.

mod audit;
mod backend;
mod changes;
mod claims;
mod devices;
mod presence;
mod requests;
mod tokens;
mod transactions;
