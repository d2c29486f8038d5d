//! The authorities in the data directory: read, completed, and never made a second time.
//!
//! The devices' authority is `keys/device-ca.pem` and `device-ca.pem`. Generation 1 of the server's own has
//! its key in `keys/server-ca.pem`; each later one has `keys/server-ca-N.pem` and, beside it, the cross
//! certificate by the one before, `keys/server-ca-N.cross.pem`. `server-ca.pem` holds the certificates of the
//! generations that are in use: those whose keys are there. An older key is needed for nothing once its
//! cross certificate is made, so a generation goes out of use by losing it.

use std::fs;

use slipway_trust::Sha256;

use super::{DataDir, DataDirError, check_clock, not_before};
use crate::{
    chain::chain,
    model::time::Timestamp,
    pki::{
        AuthorityPem, BACK_DATED, Below, DEVICE_CA, GENERATIONS, Generations, Pki, PkiError, SERVER_CA,
        generation_name, generation_title, is_signed_by, split_pem, starts,
    },
    service::known_keys::KnownKeys,
};

/// What clients pin.
const PINNED: &str = "server-ca.pem";

impl DataDir {
    /// All authorities, made where they are missing and nobody relies on the `known` ones.
    pub fn pki(&mut self, now: Timestamp, known: &KnownKeys) -> Result<Pki, DataDirError> {
        let devices = self.authority(DEVICE_CA, "Slipway device CA", Below::Leaves, now, known)?;
        let server = self.generations(now, known)?;
        Pki::new(&devices, &server).map_err(|error| self.damaged("keys", &error))
    }

    /// Makes the next generation of the server's authority; the next start uses it. Returns its number.
    ///
    /// Refused when the clock shows a time before the one that is followed: its successor would hold for less
    /// than it, or at no time.
    pub fn next_generation(&mut self, now: Timestamp) -> Result<u32, DataDirError> {
        check_clock(now)?;
        let newest = self.newest_stored()?;
        // What was cut off after the key is finished, and no other begun: there are not many.
        if newest > 1 && !self.path(&cross_file(newest)).exists() {
            self.generations(now, &KnownKeys::default())?;
            return Ok(newest);
        }
        if newest == GENERATIONS {
            let problem = format!(
                "generation {newest} is the last one: TLS libraries follow no more cross certificates"
            );
            return Err(DataDirError::Generation { problem });
        }
        // What is there has to be in order before something is built on it. The key is written first: the
        // rest can be completed, also by the next start.
        let known = KnownKeys::default();
        let stored = self.generations(now, &known)?;
        let begins = starts(&stored.newest.certificate).map_err(|error| self.damaged(PINNED, &error))?;
        not_before(
            now,
            begins,
            "when the CA in server-ca.pem begins, which the next generation is to follow",
        )?;
        let next = newest + 1;
        if self.path(&cross_file(next)).exists() {
            return Err(DataDirError::KeyGone {
                path: self.path(&key_file(next)),
                expected: format!("that {} names", self.path(&cross_file(next)).display()),
            });
        }
        let title = generation_title(next);
        self.secret(&key_file(next), &format!("key of the {title}"), AuthorityPem::new_key)?
            .map_err(|error| self.damaged(&key_file(next), &error))?;
        self.generations(now, &known)?;
        Ok(next)
    }

    /// Takes a generation out of use: its key is removed, and clients are no longer told to pin it. Those
    /// that did go on following its cross certificate.
    pub fn retire_generation(&mut self, number: u32, now: Timestamp) -> Result<(), DataDirError> {
        check_clock(now)?;
        let newest = self.newest_stored()?;
        let (file, refuse) = (key_file(number), |problem: String| Err(DataDirError::Generation { problem }));
        if number == newest {
            return refuse(format!("generation {number} is the newest: it signs the server's certificate"));
        }
        if number == 0 || number > newest || !self.path(&file).exists() {
            return refuse(format!("there is no generation {number} in use; the newest is {newest}"));
        }
        // Only what its key signed may be left of it.
        self.generations(now, &KnownKeys::default())?;
        let path = self.path(&file);
        fs::remove_file(&path).map_err(|source| DataDirError::Io { action: "remove", path, source })?;
        self.generations(now, &KnownKeys::default()).map(drop)
    }

    fn newest_stored(&self) -> Result<u32, DataDirError> {
        let newest = (1..=GENERATIONS).rev().find(|number| self.path(&key_file(*number)).exists());
        newest.ok_or_else(|| DataDirError::NoServer { path: self.path("") })
    }

    /// The server's authority in its generations.
    fn generations(&mut self, now: Timestamp, known: &KnownKeys) -> Result<Generations, DataDirError> {
        let exists =
            |number: &u32| self.path(&key_file(*number)).exists() || known.names(&generation_name(*number));
        let newest = (1..=GENERATIONS).rev().find(exists).unwrap_or(1);
        if newest == 1 {
            let first = self.authority(SERVER_CA, &generation_title(1), Below::Authorities, now, known)?;
            return Generations::first(first).map_err(|error| self.damaged(PINNED, &error));
        }
        let held = self.read(PINNED)?.unwrap_or_default();
        let certificates = split_pem(&held).map_err(|error| self.damaged(PINNED, &error))?;
        let (mut cross, mut pinned, mut in_use, mut ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut before: Option<AuthorityPem> = None;
        for number in 1..=newest {
            let file = key_file(number);
            let key = self.read(&file)?;
            let id = key.as_deref().map(AuthorityPem::key_id).transpose();
            let id = id.map_err(|error| self.damaged(&file, &error))?;
            if id.is_some() || number == newest {
                let id = id.map(|id| id.to_string());
                known.check(&generation_name(number), &self.path(&file), id.as_deref())?;
            }
            let mut begins = now.before(BACK_DATED);
            if number > 1 {
                let certificate =
                    self.cross_certificate(number, key.as_deref().zip(id), before.take(), now, known)?;
                begins = starts(&certificate).map_err(|error| self.damaged(&cross_file(number), &error))?;
                cross.insert(0, certificate);
            }
            ids.splice(0..0, id.map_or_else(|| known.of_authority(&generation_name(number)), |id| vec![id]));
            let (Some(key), Some(id)) = (key, id) else { continue };
            let certificate = certificates.iter().find(|(of, _)| *of == id).map(|(_, pem)| pem.clone());
            let authority = match certificate {
                Some(certificate) => AuthorityPem { key, certificate },
                None => {
                    let title = generation_title(number);
                    AuthorityPem::from_key(key, &title, Below::Authorities, begins, now)
                        .map_err(|error| self.damaged(&file, &error))?
                }
            };
            in_use.push((generation_name(number), id));
            pinned.insert(0, authority.certificate.clone());
            before = Some(authority);
        }
        let Some(newest) = before else {
            // A record without a key is refused above; without either there is no second generation.
            return Err(DataDirError::NoServer { path: self.path("") });
        };
        let text = pinned.concat();
        if text != held {
            self.write(PINNED, text.as_bytes(), 0o644)?;
            self.note_made(PINNED, &format!("certificates of {} generations", pinned.len()));
        }
        Ok(Generations { newest, cross, pinned, in_use, ids })
    }

    /// The certificate of generation `number` by the one before; made while the keys of both are there.
    fn cross_certificate(
        &mut self,
        number: u32,
        own: Option<(&str, Sha256)>,
        before: Option<AuthorityPem>,
        now: Timestamp,
        known: &KnownKeys,
    ) -> Result<String, DataDirError> {
        let file = cross_file(number);
        if let Some(certificate) = self.read(&file)? {
            let damaged = |error: PkiError| self.damaged(&file, &error);
            let found = AuthorityPem::certificate_id(&certificate).map_err(damaged)?;
            if let Some((_, expected)) = own.filter(|(_, expected)| *expected != found) {
                let (expected, found) = (expected.to_string(), found.to_string());
                return Err(DataDirError::KeyReplaced { path: self.path(&file), expected, found });
            }
            if let Some(before) = &before
                && !is_signed_by(&certificate, &before.certificate).map_err(damaged)?
            {
                let problem = format!("it is not signed by generation {}", number - 1);
                return Err(DataDirError::Damaged { path: self.path(&file), problem });
            }
            return Ok(certificate);
        }
        let (Some((key, _)), Some(before)) = (own, before) else {
            let ids = known.of_authority(&generation_name(number - 1));
            let signer =
                ids.first().map_or_else(|| format!("of generation {}", number - 1), Sha256::to_string);
            return Err(DataDirError::KeyGone {
                path: self.path(&file),
                expected: format!("{signer}, which signed it and is not there either"),
            });
        };
        let certificate = before
            .cross_sign(key, &generation_title(number), now)
            .map_err(|error| self.damaged(&key_file(number), &error))?;
        self.write(&file, certificate.as_bytes(), 0o644)?;
        self.note_made(&file, &format!("generation {number} by generation {}", number - 1));
        Ok(certificate)
    }

    fn authority(
        &mut self,
        name: &str,
        title: &str,
        below: Below,
        now: Timestamp,
        known: &KnownKeys,
    ) -> Result<AuthorityPem, DataDirError> {
        let key_file = format!("keys/{name}.pem");
        let certificate_file = format!("{name}.pem");
        let certificate = self.read(&certificate_file)?;
        if self.read(&key_file)?.is_none() {
            known.check(name, &self.path(&key_file), None)?;
            // The key is written first: a key without its certificate can be completed, not the reverse.
            if let Some(certificate) = &certificate {
                let id = AuthorityPem::certificate_id(certificate);
                let expected = id.map_err(|error| self.damaged(&certificate_file, &error))?.to_string();
                return Err(DataDirError::KeyGone { path: self.path(&key_file), expected });
            }
        }
        let key = self
            .secret(&key_file, &format!("key of the {title}"), AuthorityPem::new_key)?
            .map_err(|error| self.damaged(&key_file, &error))?;
        let id = AuthorityPem::key_id(&key).map_err(|error| self.damaged(&key_file, &error))?;
        known.check(name, &self.path(&key_file), Some(&id.to_string()))?;
        if let Some(certificate) = certificate {
            let found = AuthorityPem::certificate_id(&certificate)
                .map_err(|error| self.damaged(&certificate_file, &error))?;
            if found != id {
                // Which of the two is the wrong one is not known here, unless the key is on record.
                let path = self.path(&certificate_file);
                let (expected, found) = (id.to_string(), found.to_string());
                return Err(DataDirError::KeyReplaced { path, expected, found });
            }
            return Ok(AuthorityPem { key, certificate });
        }
        let pem = AuthorityPem::from_key(key, title, below, now.before(BACK_DATED), now)
            .map_err(|error| self.damaged(&key_file, &error))?;
        self.write(&certificate_file, pem.certificate.as_bytes(), 0o644)?;
        self.note_made(&certificate_file, title);
        Ok(pem)
    }

    fn damaged(&self, name: &str, error: &PkiError) -> DataDirError {
        DataDirError::Damaged { path: self.path(name), problem: chain(error) }
    }
}

fn key_file(number: u32) -> String {
    format!("keys/{}.pem", generation_name(number))
}

fn cross_file(number: u32) -> String {
    format!("keys/{}.cross.pem", generation_name(number))
}
