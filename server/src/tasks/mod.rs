//! Reconcilers: take no input, wake by signal and timer, read all state, idempotent, safe on every replica at once.
