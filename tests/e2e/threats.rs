//! What attackers try that takes a whole server and real agents to see, a file an attacker. `docs/THREATS.md` is
//! the table of all rows; `trust/tests/threats` has those of the verifier.

mod database;
mod object_store;
