//! Refusals and failures as `google.rpc.Status`.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

pub use crate::chain::chain;
use crate::{
    model::refusal::{Kind, Reason, Refusal},
    service::Error,
    store::StoreError,
};

/// The domain of every reason this service gives.
pub const DOMAIN: &str = "slipway.v1";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        refused(&answer(error))
    }
}

/// What the caller is told of an error. What is not the caller's business goes to the log.
pub fn answer(error: Error) -> Refusal {
    match error {
        Error::Refused(refusal) => refusal,
        Error::Store(StoreError::Unavailable(source)) => {
            tracing::warn!(error = %source, "the database does not answer");
            Refusal::new(Reason::Unavailable, "the database does not answer", "try again in a moment")
                .retry_after(Duration::from_secs(2))
        }
        Error::Store(StoreError::Inconsistent { table, column, ref id, .. }) => {
            tracing::error!(error = %chain(&error), "a damaged row was asked for");
            Refusal::new(
                Reason::RecordDamaged,
                format!("the record {table}/{id} is damaged: its {column} cannot be read"),
                "put this row of the database right, or restore it from a backup; the server's log has what stands there",
            )
            .fact("record", format!("{table}/{id}"))
            .fact("column", column)
        }
        other => {
            tracing::error!(error = %chain(&other), "a call failed by our own fault");
            Refusal::new(
                Reason::Internal,
                "the server failed; its log has the cause",
                "try again; if it stays, send the log to whoever runs the server",
            )
        }
    }
}

/// A refusal on the wire: code, message, `ErrorInfo` with reason and hint, and what else applies.
pub fn refused(refusal: &Refusal) -> Status {
    let code = match refusal.reason.kind() {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
        Kind::DataLoss => Code::DataLoss,
    };
    let mut facts: HashMap<String, String> =
        refusal.facts.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    facts.insert("hint".to_owned(), refusal.hint.clone());
    let mut details = ErrorDetails::with_error_info(refusal.reason.code(), DOMAIN, facts);
    if let Some(field) = &refusal.field {
        details.add_bad_request_violation(field, &refusal.message);
    }
    for (field, wrong) in &refusal.violations {
        details.add_bad_request_violation(field, wrong);
    }
    if let Some(span) = refusal.retry_after {
        details.set_retry_info(Some(span));
    }
    Status::with_error_details(code, refusal.message.clone(), details)
}
