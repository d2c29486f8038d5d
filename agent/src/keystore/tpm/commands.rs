//! What a TPM is asked for: to make a key, and to sign with one. Whatever is loaded for it is flushed again,
//! also after an error, because not every TPM has somebody who cleans up.
//!
//! No session is opened. Neither the storage key nor the device's has a password, which a session would keep
//! from whoever listens on the way to the chip, and what is sent (a digest) and answered (a signature) goes
//! on to the server in the open.

use tpm2_protocol::{
    TpmError as Malformed, TpmWriter,
    basic::TpmHandle,
    constant::TPM_MAX_COMMAND_SIZE,
    data::{
        Tpm2bDigest, Tpm2bPublic, Tpm2bSensitiveCreate, TpmAlgId, TpmEccCurve, TpmRcBase, TpmRh, TpmSt,
        TpmaObject, TpmsAuthCommand, TpmsEccParms, TpmsSchemeHash, TpmtEccScheme, TpmtPublic, TpmtSigScheme,
        TpmtSymDef, TpmtTkHashcheck, TpmuAsymScheme, TpmuPublicId, TpmuPublicParms, TpmuSigScheme,
        TpmuSignature, TpmuSymKeyBits, TpmuSymMode,
    },
    frame::{
        TpmCreateCommand, TpmCreatePrimaryCommand, TpmCreatePrimaryResponse, TpmCreateResponse,
        TpmFlushContextCommand, TpmFlushContextResponse, TpmFrame, TpmLoadCommand, TpmLoadResponse,
        TpmResponse, TpmSignCommand, TpmSignResponse, TpmUnmarshalBody, tpm_marshal_command,
    },
};

use super::{
    Address, TpmError,
    file::{Blobs, signature},
    stream::Stream,
};

const STORAGE: &str = "make its storage key";
const CREATE: &str = "make a key";
/// The answer to this one says whether it is the TPM that made the key.
pub const LOAD: &str = "load the key";
const SIGN: &str = "sign";
const FLUSH: &str = "forget a key";

/// A TPM, opened when it is first asked for something.
pub struct Tpm<'a> {
    address: &'a Address,
    stream: Option<Stream>,
}

impl<'a> Tpm<'a> {
    pub fn open(address: &'a Address) -> Self {
        Self { address, stream: None }
    }

    /// A new signing key, which only this TPM can use.
    pub fn create(&mut self) -> Result<Blobs, TpmError> {
        self.with_storage_key(|tpm, parent| {
            let command = TpmCreateCommand {
                handles: [parent],
                in_sensitive: Tpm2bSensitiveCreate::default(),
                in_public: Tpm2bPublic { inner: signing_key() },
                outside_info: Default::default(),
                creation_pcr: Default::default(),
            };
            let made: TpmCreateResponse = tpm.ask(CREATE, &command, true)?;
            Ok(Blobs { public: made.out_public, private: made.out_private })
        })
    }

    /// An ECDSA signature of `digest`, DER.
    pub fn sign(&mut self, blobs: &Blobs, digest: &[u8; 32]) -> Result<Vec<u8>, TpmError> {
        self.with_storage_key(|tpm, parent| {
            let (in_private, in_public) = (blobs.private, blobs.public.clone());
            let command = TpmLoadCommand { handles: [parent], in_private, in_public };
            let loaded: TpmLoadResponse = tpm.ask(LOAD, &command, true)?;
            tpm.with_loaded(loaded.handles[0], |tpm, key| {
                let command = TpmSignCommand {
                    handles: [key],
                    digest: Tpm2bDigest::try_from(digest.as_slice())
                        .map_err(|error| tpm.malformed(&error))?,
                    in_scheme: TpmtSigScheme {
                        scheme: TpmAlgId::Ecdsa,
                        details: TpmuSigScheme::Hash(sha256()),
                    },
                    // No proof that the TPM hashed it: only a restricted key asks for one.
                    validation: TpmtTkHashcheck {
                        tag: TpmSt::HashCheck,
                        hierarchy: TpmRh::Null,
                        digest: Tpm2bDigest::default(),
                    },
                };
                let signed: TpmSignResponse = tpm.ask(SIGN, &command, true)?;
                match &signed.signature.signature {
                    TpmuSignature::Ecdsa(made) => Ok(signature(&made.signature_r, &made.signature_s)),
                    _ => {
                        Err(TpmError::unavailable(tpm.address, "its signature is not of the kind asked for"))
                    }
                }
            })
        })
    }

    fn with_storage_key<T>(
        &mut self,
        work: impl FnOnce(&mut Self, TpmHandle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let command = TpmCreatePrimaryCommand {
            handles: [TpmHandle::new(TpmRh::Owner as u32)],
            in_sensitive: Tpm2bSensitiveCreate::default(),
            in_public: Tpm2bPublic { inner: storage_key() },
            outside_info: Default::default(),
            creation_pcr: Default::default(),
        };
        let made: TpmCreatePrimaryResponse = self.ask(STORAGE, &command, true)?;
        self.with_loaded(made.handles[0], work)
    }

    fn with_loaded<T>(
        &mut self,
        handle: TpmHandle,
        work: impl FnOnce(&mut Self, TpmHandle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let done = work(self, handle);
        // If it is not flushed, what was done is done all the same. The next one may find the TPM without room,
        // and says so.
        let command = TpmFlushContextCommand { handles: [], flush_handle: handle };
        let _ = self.ask::<TpmFlushContextResponse>(FLUSH, &command, false);
        done
    }

    /// Has one command done. With `password`, the empty one of its only handle.
    fn ask<R: TpmUnmarshalBody>(
        &mut self,
        action: &'static str,
        command: &impl TpmFrame,
        password: bool,
    ) -> Result<R, TpmError> {
        let empty =
            [TpmsAuthCommand { session_handle: TpmHandle::new(TpmRh::Pw as u32), ..Default::default() }];
        let (tag, sessions) = match password {
            true => (TpmSt::Sessions, empty.as_slice()),
            false => (TpmSt::NoSessions, [].as_slice()),
        };
        let mut buffer = [0; TPM_MAX_COMMAND_SIZE];
        let mut writer = TpmWriter::new(&mut buffer);
        tpm_marshal_command(command, tag, sessions, &mut writer).map_err(|error| self.malformed(&error))?;
        let answer = self.exchange(writer.as_bytes())?;
        let answer = TpmResponse::cast(&answer).map_err(|error| self.malformed(&error))?;
        let code = answer.rc().map_err(|error| self.malformed(&error))?;
        if code.base() != TpmRcBase::Success {
            return Err(TpmError::of_answer(self.address, action, code));
        }
        answer.unmarshal().map_err(|error| self.malformed(&error))
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, TpmError> {
        let failed = |error| TpmError::of_io(self.address, &error);
        // A stream that failed is not used again, so what has to be flushed after that is flushed on a new one.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => Stream::open(self.address).map_err(failed)?,
        };
        let answer = stream.ask(command).map_err(failed)?;
        self.stream = Some(stream);
        Ok(answer)
    }

    fn malformed(&self, error: &Malformed) -> TpmError {
        TpmError::unavailable(self.address, &format!("its answer is none of a TPM 2.0 ({error})"))
    }
}

/// What every key here is: made in the TPM, not to leave it, usable without a password, and so exempt from the
/// lockout that guards passwords: nobody can lock the device out of it by guessing.
fn of_this_tpm() -> TpmaObject {
    TpmaObject::FIXED_TPM
        | TpmaObject::FIXED_PARENT
        | TpmaObject::SENSITIVE_DATA_ORIGIN
        | TpmaObject::USER_WITH_AUTH
        | TpmaObject::NO_DA
}

/// The template of the TCG (EK Credential Profile, H-2), so that the same key comes out of the same seed each
/// time, and other programs can use the file.
fn storage_key() -> TpmtPublic {
    let cipher = TpmtSymDef {
        algorithm: TpmAlgId::Aes,
        key_bits: TpmuSymKeyBits::Aes(128.into()),
        mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
    };
    p256(of_this_tpm() | TpmaObject::RESTRICTED | TpmaObject::DECRYPT, cipher, TpmtEccScheme::default())
}

/// The key of a device: not restricted, because what TLS has signed was hashed outside.
pub fn signing_key() -> TpmtPublic {
    let none = TpmtSymDef { algorithm: TpmAlgId::Null, ..TpmtSymDef::default() };
    let scheme = TpmtEccScheme { scheme: TpmAlgId::Ecdsa, details: TpmuAsymScheme::Hash(sha256()) };
    p256(of_this_tpm() | TpmaObject::SIGN_ENCRYPT, none, scheme)
}

fn p256(object_attributes: TpmaObject, symmetric: TpmtSymDef, scheme: TpmtEccScheme) -> TpmtPublic {
    TpmtPublic {
        object_type: TpmAlgId::Ecc,
        name_alg: TpmAlgId::Sha256,
        object_attributes,
        auth_policy: Tpm2bDigest::default(),
        parameters: TpmuPublicParms::Ecc(TpmsEccParms {
            symmetric,
            scheme,
            curve_id: TpmEccCurve::NistP256,
            ..TpmsEccParms::default()
        }),
        unique: TpmuPublicId::Ecc(Default::default()),
    }
}

fn sha256() -> TpmsSchemeHash {
    TpmsSchemeHash { hash_alg: TpmAlgId::Sha256 }
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn whatever_answers_nothing_is_believed_that_is_not_whole() {
        let address: Address = "/dev/null".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(20);
        for round in 0..20_000 {
            // A success of either form, with anything in it.
            let mut body = vec![0; rng.random_range(0..120)];
            rng.fill_bytes(&mut body);
            let claimed = u32::try_from(body.len()).unwrap().saturating_sub(rng.random_range(0..12));
            if round % 2 == 0 && body.len() > 8 {
                body[4..8].copy_from_slice(&claimed.to_be_bytes());
            }
            let length = u32::try_from(10 + body.len()).unwrap().to_be_bytes();
            let tag = [0x80, 1 + (round % 3 != 0) as u8];
            let answer = [&tag[..], &length, &[0; 4], &body].concat();
            let mut tpm = Tpm { address: &address, stream: Some(Stream::saying(answer)) };
            assert_eq!(tpm.create().unwrap_err().code(), "TPM_UNAVAILABLE", "round {round}");
        }
    }
}
