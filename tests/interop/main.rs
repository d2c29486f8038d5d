//! Foreign tools against a running server: whoever knows TUF reads what it serves, and signs what it takes.

mod judges;
mod reading;
mod signing;
