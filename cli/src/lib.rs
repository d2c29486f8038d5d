//! The operator's and publisher's command line of Slipway.
//!
//! [`args`] is the whole command tree. Each noun has one file in [`commands`]: it calls the server
//! and shows the answer. What publishing does on this machine is in [`publish`] (image, upload,
//! signatures) and [`keys`] (the key directory). [`output`] and [`error`] say what people read.

pub mod args;
pub mod bundle;
pub mod chart;
pub mod clock;
pub mod commands;
pub mod connect;
pub mod csv;
pub mod draft;
pub mod duration;
pub mod error;
pub mod human;
pub mod input;
pub mod json;
pub mod keys;
pub mod moment;
pub mod names;
pub mod output;
pub mod passphrase;
pub mod private_file;
pub mod profile;
pub mod progress;
pub mod publish;
pub mod registrations;
pub mod retry;
pub mod rng;
pub mod server_ca;
pub mod specification;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod wave;
pub mod wear;

use crate::{args::Args, error::Failure, output::Console};

/// Runs one command to its end and returns the exit code. Says on the console's stderr why, if it failed.
pub async fn run(args: Args, console: &Console) -> u8 {
    match commands::run(args, console).await {
        Ok(()) => 0,
        Err(failure) => {
            if let Failure::Refused(_) = &failure {
                console.say(&failure.to_string());
            }
            failure.exit_code()
        }
    }
}
