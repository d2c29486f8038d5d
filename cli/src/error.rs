//! How a command fails: what was wrong, what to do, and where to read on.

use std::{error::Error, fmt, io, path::Path, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    duration,
    tls::{ConnectError, root_cause},
};

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
    /// The command line itself is wrong.
    pub is_usage: bool,
}

impl Failure {
    /// A failure of this side.
    pub fn new(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { message: message.into(), ..Refusal::default() }))
    }

    /// A command line that asks for what does not fit together: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal { message: message.into(), is_usage: true, ..Refusal::default() }))
    }

    /// A file or directory that could not be used; a full disk is named as such.
    pub fn file(what: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::new(format!("cannot {what} {}: {}", path.display(), io_words(error)));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure
                .hint("free some space and run the command again; what was there before is untouched")
                .reason("STORAGE_FULL"),
            kind => {
                let hint = match kind {
                    io::ErrorKind::PermissionDenied => {
                        "check who owns it, and whether you run as the right user"
                    }
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                        "check the path, and the folder that you are in"
                    }
                    io::ErrorKind::InvalidData => "is it the right file?",
                    _ => "check the path, and the disk that it is on",
                };
                failure.hint(hint).reason("FILE_UNUSABLE")
            }
        }
    }

    /// Something that cannot happen unless this program has a mistake.
    pub fn bug(what: impl fmt::Display) -> Self {
        Self::new(format!("slipway made a mistake: {what}"))
            .hint("run it again; if it stays, report it with the command line and this message")
            .reason("INTERNAL")
    }

    /// The server was never given a root.
    pub fn no_root() -> Self {
        Self::new("the server has no root yet: no device could believe a release")
            .hint("run `slipway trust init --keys DIR` first")
            .reason("TRUST_NOT_INITIALIZED")
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
            Self::Refused(refusal) if refusal.is_usage => 2,
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
        if info.is_none()
            && let Some(broken) = broken(&status)
        {
            return broken;
        }
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

/// What the system said, for people: without numbers, and in words where its own are those of programmers.
pub fn io_words(error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or directory",
        io::ErrorKind::PermissionDenied => "you have no right to",
        io::ErrorKind::StorageFull => "the disk is full",
        io::ErrorKind::QuotaExceeded => "your quota on this disk is spent",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        io::ErrorKind::IsADirectory => "it is a directory",
        io::ErrorKind::NotADirectory => "a part of the path is no directory",
        io::ErrorKind::AlreadyExists => "it exists already",
        io::ErrorKind::InvalidData => "it is not text in UTF-8",
        io::ErrorKind::ConnectionRefused => "nothing listens at that address",
        io::ErrorKind::TimedOut => "it did not answer in time",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way to that network"
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "the other end closed the connection"
        }
        _ => {
            let said = error.to_string();
            if said.starts_with("failed to lookup address information") {
                return "that name is not known here".into();
            }
            return said.split(" (os error").next().unwrap_or_default().to_owned();
        }
    };
    words.to_owned()
}

/// A page name comes from the server and goes into a path that people open.
fn is_reason(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn message_of(status: &Status, explained: bool) -> String {
    let said = status.message();
    match status.code() {
        _ if explained && !said.is_empty() => said.to_owned(),
        Code::Unavailable if said.is_empty() => "the server is not available".into(),
        Code::Unavailable => format!("the server is not available: {said}"),
        Code::Unimplemented => "the server does not know this call".into(),
        Code::DeadlineExceeded => "the server did not answer in time".into(),
        code if said.is_empty() => format!("the server answered {code:?} and did not say why"),
        Code::Unknown | Code::Internal => format!("the server could not answer: {said}"),
        _ => said.to_owned(),
    }
}

/// A call that no server of ours answered: the connection broke, or something else listens there.
fn broken(status: &Status) -> Option<Failure> {
    let foreign = status.message().contains("grpc-status header missing");
    let message = match status.source() {
        _ if foreign => "what answers at the server's address is not slipwayd".to_owned(),
        Some(cause) => format!("the connection to the server broke off: {}", root_cause(cause)),
        None => return None,
    };
    let hint = match foreign {
        true => "compare the address in the profile with the line `slipwayd: ready on …` of the server",
        false => "is slipwayd still running? look at its log and run the command again",
    };
    Some(Failure::new(message).hint(hint).reason("SERVER_UNREACHABLE"))
}

fn default_hint(status: &Status) -> Option<&'static str> {
    match status.code() {
        Code::Unavailable => Some("is slipwayd still running? look at its log and run the command again"),
        Code::Unimplemented => Some("use a slipway and a slipwayd of the same version"),
        Code::Internal | Code::Unknown => Some("the server's log says more, under the same moment"),
        Code::DeadlineExceeded => {
            Some("run the command again; if it stays, look at the server's load and log")
        }
        _ if status.message().is_empty() => Some("use a slipway and a slipwayd of the same version"),
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
        assert_eq!(
            Failure::from(Status::not_found("")).to_string(),
            "error: the server answered NotFound and did not say why\n\
             hint: use a slipway and a slipwayd of the same version"
        );
    }

    #[test]
    fn what_the_transport_says_is_put_into_words() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(
            Failure::from(Status::from_error(Box::new(reset))).to_string(),
            "error: the connection to the server broke off: the other end closed the connection\n\
             hint: is slipwayd still running? look at its log and run the command again\n\
             see docs/errors/SERVER_UNREACHABLE.md"
        );
        let web = Status::unknown("grpc-status header missing, mapped from HTTP status code 404");
        assert_eq!(
            Failure::from(web).to_string(),
            "error: what answers at the server's address is not slipwayd\n\
             hint: compare the address in the profile with the line `slipwayd: ready on …` of the server\n\
             see docs/errors/SERVER_UNREACHABLE.md"
        );
        let missing = io::Error::from_raw_os_error(2);
        assert_eq!(
            Failure::file("read the image", Path::new("a.img"), &missing).to_string(),
            "error: cannot read the image a.img: there is no such file or directory\n\
             hint: check the path, and the folder that you are in\n\
             see docs/errors/FILE_UNUSABLE.md"
        );
        assert_eq!(io_words(&io::Error::from_raw_os_error(40)), "Too many levels of symbolic links");
    }

    #[test]
    fn a_reason_that_is_no_page_name_is_not_shown_as_one() {
        let details = ErrorDetails::with_error_info("../../x", "slipway.v1", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "no", details);
        assert_eq!(Failure::from(status).to_string(), "error: no");
    }
}
