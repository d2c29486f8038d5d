//! The way from a machine's certificate upwards, by names alone.
//!
//! Whoever shows a chain chose every certificate in it. Where several have the same subject, there are several
//! ways up, and a verifier tries them all: seven of them are a hundred signatures for one call that proves nothing.
//! So before any signature is checked it has to be clear that there is one way, and where it ends.

use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::ManufacturerError;

/// The one way that there is through a chain.
#[derive(Debug)]
pub struct Path<'a> {
    /// Who issued each certificate on it, the machine's first; names as they are written in DER.
    issuers: Vec<&'a [u8]>,
}

impl<'a> Path<'a> {
    /// Finds the way; refused where a name is there twice, or leads back.
    pub fn of(chain: &'a [Vec<u8>]) -> Result<Self, ManufacturerError> {
        let mut names = Vec::with_capacity(chain.len());
        for der in chain {
            // Of one that cannot be read nobody knows the name.
            let (_, certificate) =
                X509Certificate::from_der(der).map_err(|_| ManufacturerError::NotACertificate)?;
            let (subject, issuer) =
                (certificate.tbs_certificate.subject.as_raw(), certificate.tbs_certificate.issuer.as_raw());
            if names.iter().any(|(other, _)| *other == subject) {
                return Err(ManufacturerError::SameSubject);
            }
            names.push((subject, issuer));
        }
        let mut issuers = Vec::with_capacity(names.len());
        let mut next = names.first();
        while let Some((_, issuer)) = next {
            if issuers.contains(issuer) {
                break;
            }
            issuers.push(*issuer);
            next = names.iter().find(|(subject, _)| subject == issuer);
        }
        Ok(Path { issuers })
    }

    /// Whether the way passes the name of that authority: if not, no signature of its key is on it.
    pub fn may_lead_to(&self, authority: &[u8]) -> bool {
        X509Certificate::from_der(authority)
            .is_ok_and(|(_, authority)| self.issuers.contains(&authority.tbs_certificate.subject.as_raw()))
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
