//! The store's contract: the same cases on SQLite and on PostgreSQL.

mod alerts;
mod archive;
mod assignments;
mod audit;
mod authorities;
mod backend;
mod changes;
mod claims;
mod cohorts;
mod devices;
mod inbox;
mod limits;
mod manufacturers;
mod metadata;
mod objects;
mod presence;
mod releases;
mod reports;
mod requests;
mod rollouts;
mod series;
mod tokens;
mod transactions;
mod wear;
mod webhooks;
