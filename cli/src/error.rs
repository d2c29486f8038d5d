//! How a command fails: what was wrong, what to do, and where to read on.

use std::{error::Error, fmt, io, path::Path, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{duration, tls::ConnectError};

/// The domain of the reasons that have a page.
const DOMAIN: &str = "slipway.v1";

/// Why a command ends without having done what it was asked to do.
#[derive(Debug)]
pub enum Failure {
    /// Something was refused or went wrong.
    Refused(Box<Refusal>),
    /// The command worked and its result is bad (a rollout that failed): exit code 1, no message.
    BadOutcome,
    /// Whoever reads stdout went away, as `head` does: nothing to say, exit code 0.
    OutputClosed,
}

/// What was wrong, for people and for programs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong and where; may have several lines.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The page in `docs/errors`.
    pub reason: Option<String>,
}

impl Failure {
    /// A failure of this side.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { message: message.into(), ..Refusal::default() }))
    }

    /// A file or directory that could not be used; a full disk is named as such.
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(format!("cannot {what} {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure
                .reason("STORAGE_FULL")
                .hint("free some space and run the command again; what was there before is untouched"),
            io::ErrorKind::PermissionDenied => {
                failure.hint("check who owns it, and whether you run as the right user")
            }
            io::ErrorKind::NotFound => failure.hint("check the path, and the folder that you are in"),
            _ => failure,
        }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.hint = Some(hint.into());
        }
        self
    }

    /// With the page that explains it.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        if let Self::Refused(refusal) = &mut self {
            refusal.reason = Some(reason.into());
        }
        self
    }

    /// The stable reason, if it has one.
    pub fn reason_code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.reason.as_deref(),
            Self::BadOutcome | Self::OutputClosed => None,
        }
    }

    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::BadOutcome => 1,
            Self::OutputClosed => 0,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Refused(refusal) = self else { return Ok(()) };
        write!(f, "error: {}", refusal.message.trim_end())?;
        if let Some(hint) = &refusal.hint {
            write!(f, "\nhint: {hint}")?;
        }
        if let Some(reason) = &refusal.reason {
            write!(f, "\nsee docs/errors/{reason}.md")?;
        }
        Ok(())
    }
}

impl Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(cause) = source_of::<ConnectError>(&status) {
            return cause.clone().into();
        }
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let mut refusal = Refusal { message: message_of(&status, info.is_some()), ..Refusal::default() };
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        for violation in
            violations.iter().filter(|v| !refusal.message.contains(&v.description)).collect::<Vec<_>>()
        {
            refusal.message.push_str(&format!("\n  {}: {}", violation.field, violation.description));
        }
        if let Some(info) = info {
            refusal.reason = is_reason(&info.reason).then(|| info.reason.clone());
            refusal.hint = info.metadata.get("hint").cloned();
        }
        if refusal.hint.is_none() {
            refusal.hint = default_hint(&status).map(str::to_owned);
        }
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay).filter(|d| !d.is_zero()) {
            let wait = format!("try again in {}", duration::show(delay.max(Duration::from_secs(1))));
            refusal.hint = Some(refusal.hint.map_or(wait.clone(), |hint| format!("{hint}; {wait}")));
        }
        Self::Refused(Box::new(refusal))
    }
}

/// The reason of a refusal, if the server gave one.
pub fn reason_of(status: &Status) -> Option<String> {
    status
        .get_error_details()
        .error_info()
        .filter(|info| info.domain == DOMAIN)
        .map(|info| info.reason.clone())
}

/// Whether the connection broke, or the server is away for a moment: the same call may work later.
pub fn is_transient(status: &Status) -> bool {
    let broken = matches!(status.code(), Code::Unknown | Code::Internal | Code::Cancelled);
    status.code() == Code::Unavailable || broken && reason_of(status).is_none() && status.source().is_some()
}

/// The first error of type `T` in the chain of causes.
pub fn source_of<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A page name comes from the server and goes into a path that people open.
fn is_reason(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn message_of(status: &Status, explained: bool) -> String {
    let said = status.message();
    match status.code() {
        _ if explained && !said.is_empty() => said.to_owned(),
        Code::Unavailable => format!("the server is not available: {said}"),
        Code::Unimplemented => "the server does not know this call".into(),
        Code::DeadlineExceeded => "the server did not answer in time".into(),
        code if said.is_empty() => format!("the server answered {code:?}"),
        Code::Unknown | Code::Internal => format!("the call failed: {said}"),
        _ => said.to_owned(),
    }
}

fn default_hint(status: &Status) -> Option<&'static str> {
    match status.code() {
        Code::Unavailable => Some("is slipwayd still running? look at its log and run the command again"),
        Code::Unimplemented => Some("use a slipway and a slipwayd of the same version"),
        Code::Internal => Some("the server's log says more, under the same moment"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn a_refusal_of_the_server_shows_message_hint_and_page() {
        let mut details = ErrorDetails::with_error_info(
            "FILTER_INVALID",
            "slipway.v1",
            HashMap::from([("hint".to_owned(), "fields are id, product, hardware".to_owned())]),
        );
        details.add_bad_request_violation("filter", "no field `colour`");
        let status = Status::with_error_details(
            Code::InvalidArgument,
            "no field `colour`\n  colour = \"red\"\n  ^^^^^^",
            details,
        );
        assert_eq!(
            Failure::from(status).to_string(),
            "error: no field `colour`\n  colour = \"red\"\n  ^^^^^^\n\
             hint: fields are id, product, hardware\n\
             see docs/errors/FILTER_INVALID.md"
        );
    }

    #[test]
    fn field_violations_and_retry_times_are_told() {
        let mut details = ErrorDetails::with_bad_request_violation("token.scope", "a client needs a scope");
        details.set_retry_info(Some(Duration::from_secs(90)));
        let status = Status::with_error_details(Code::InvalidArgument, "the token is not valid", details);
        assert_eq!(
            Failure::from(status).to_string(),
            "error: the token is not valid\n  token.scope: a client needs a scope\nhint: try again in 1m 30s"
        );
    }

    #[test]
    fn a_bare_status_is_still_explained() {
        assert_eq!(
            Failure::from(Status::unimplemented("")).to_string(),
            "error: the server does not know this call\nhint: use a slipway and a slipwayd of the same version"
        );
        assert_eq!(Failure::from(Status::not_found("")).to_string(), "error: the server answered NotFound");
    }

    #[test]
    fn a_reason_that_is_no_page_name_is_not_shown_as_one() {
        let details = ErrorDetails::with_error_info("../../x", "slipway.v1", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "no", details);
        assert_eq!(Failure::from(status).to_string(), "error: no");
    }
}
