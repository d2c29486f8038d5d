//! Why a TPM did not do what it was asked.

use std::io;

use tpm2_protocol::data::{TpmRc, TpmRcBase};

use super::Address;
use crate::tls::io_words;

/// Why a TPM did not do what it was asked. Each has a page in `docs/errors/`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    /// It is not there, or does not work.
    #[error("the TPM at {tpm} cannot be used: {what}")]
    Unavailable {
        /// As configured.
        tpm: String,
        /// What happened.
        what: String,
    },
    /// Somebody else is using it.
    #[error("the TPM at {tpm} is busy: {what}")]
    Busy {
        /// As configured.
        tpm: String,
        /// What happened.
        what: String,
    },
    /// It is not the one that made the key, or not any more.
    #[error("the TPM at {tpm} does not know the key of this device: it was cleared, or is another one")]
    KeyLost {
        /// As configured.
        tpm: String,
    },
    /// It said no.
    #[error("the TPM at {tpm} refused to {action}: {code}")]
    Refused {
        /// As configured.
        tpm: String,
        /// What was asked.
        action: &'static str,
        /// Its response code.
        code: String,
    },
}

impl TpmError {
    /// Stable code for reports.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "TPM_UNAVAILABLE",
            Self::Busy { .. } => "TPM_BUSY",
            Self::KeyLost { .. } => "TPM_KEY_LOST",
            Self::Refused { .. } => "TPM_REFUSED",
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => {
                "`ls -l /dev/tpm*` shows whether the kernel has one and who may use it (mostly the group tss); \
                 `tpm` in agent.toml has to name it"
            }
            Self::Busy { .. } => {
                "/dev/tpmrm0 can be used by several programs at once, /dev/tpm0 and a software TPM only by one"
            }
            Self::KeyLost { .. } => {
                "give the device back the TPM that it was enrolled with; if that was cleared, enrol this machine \
                 under a new id in a new state folder"
            }
            Self::Refused { .. } => {
                "the owner hierarchy of the TPM has to be switched on, without a password, and P-256 be \
                 implemented"
            }
        }
    }

    /// What happened and what to do, in one sentence.
    pub fn in_full(&self) -> String {
        format!("{self}; {}", self.hint())
    }

    pub(super) fn unavailable(tpm: &Address, what: &str) -> Self {
        Self::Unavailable { tpm: tpm.to_string(), what: what.to_owned() }
    }

    pub(super) fn of_io(tpm: &Address, error: &io::Error) -> Self {
        let busy = |what: &str| Self::Busy { tpm: tpm.to_string(), what: what.to_owned() };
        match error.kind() {
            io::ErrorKind::ResourceBusy => busy("another program has it open"),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => busy("it does not answer"),
            _ => Self::unavailable(tpm, &io_words(error)),
        }
    }

    /// Of what it answered when asked to `action`.
    pub(super) fn of_answer(tpm: &Address, action: &'static str, code: TpmRc) -> Self {
        use TpmRcBase as Rc;
        let refused = || Self::Refused { tpm: tpm.to_string(), action, code: code.to_string() };
        match code.base() {
            Rc::ObjectMemory | Rc::ObjectHandles | Rc::SessionMemory | Rc::SessionHandles | Rc::Memory => {
                let what = format!("it has no room left ({code})");
                Self::Busy { tpm: tpm.to_string(), what }
            }
            Rc::Retry | Rc::Yielded | Rc::Testing | Rc::Canceled | Rc::NvRate => {
                Self::Busy { tpm: tpm.to_string(), what: code.to_string() }
            }
            Rc::Initialize | Rc::Failure | Rc::NeedsTest | Rc::Reboot | Rc::Upgrade => {
                Self::unavailable(tpm, &format!("it is not in working order ({code})"))
            }
            // The private part was not encrypted by the storage key that it has now.
            Rc::Integrity if action == super::commands::LOAD => Self::KeyLost { tpm: tpm.to_string() },
            _ => refused(),
        }
    }
}
