//! Keeps the device able to talk: a certificate that holds, a time to judge it by, and the authorities that the
//! server's own comes from.
//!
//! The fleet knows a device by its key. The certificate is a ticket, and one that has ended is not lost: the
//! device signs a challenge with its key and is given another. So nothing here ends the agent.

use rand::{Rng, RngExt as _, rngs::StdRng};
use slipway_proto::v1::{Inventory, Reading, RenewRequest};
use slipway_trust::Sha256;

use crate::{
    aside::Aside,
    authorities::{self, Authorities},
    certificate::Facts,
    clock::Clock,
    config::{ATTRIBUTES, Config, StateDir},
    identity::{self, IdentityError, Papers},
    keystore::{Key, KeyStore as _, Keys},
    link::{self, Link, chain},
    machine::Reason,
    schedule, signed_time,
    tls::Dates,
    verify::TrustStore,
};

/// What a device signs to renew without a certificate begins with this.
const RENEWAL: &[u8] = b"slipway-renew/v1\n";
/// An answer to what time it is holds for so long, in milliseconds: in doubt it is asked again.
const TIME_AGAIN: i64 = 3600 * 1000;
/// Authorities that could not be had are asked for again after so long, in milliseconds.
const FOLLOW_AGAIN: i64 = 3600 * 1000;
/// A connection can break off for many reasons, so a certificate is not replaced for it more often than this,
/// in milliseconds.
const REPLACE_AGAIN: i64 = 3600 * 1000;
/// After a renewal that failed while the certificate still holds; doubled for every further failure.
const PAUSE: i64 = 60 * 1000;
/// Longest pause between such renewals. A certificate is renewed in the last half of its life: months.
const PAUSE_LIMIT: i64 = 6 * 3600 * 1000;

/// The attribute that says by which set of CAs the device knows its server.
pub const SERVER_CA_ATTRIBUTE: &str = "server-ca";

/// What the server says to a device that an operator has to let in again: it asks seldom.
pub const SHUT_OUT: [&str; 2] = ["DEVICE_REVOKED", "RENEWAL_NEEDS_APPROVAL"];
const UNKNOWN: &str = "DEVICE_UNKNOWN";
const NOT_PROVED: &str = "RENEWAL_REFUSED";

/// See the module.
pub struct Passport {
    keys: Keys,
    device_id: String,
    new_key_at_renewal: bool,
    /// SHA-256 of the file of the server's authorities.
    pinned: Option<Sha256>,
    /// When the owners' file of them was asked for in vain, in ticks.
    followed_at: Option<i64>,
    link: Link,
    clock: Clock,
    rng: StdRng,
    papers: Papers,
    /// What the device changes to. Shown once there is a certificate, and adopted with the first answer.
    next: Option<Papers>,
    /// When the certificate is renewed, in milliseconds of trusted time.
    due_at: i64,
    /// When the next try may be, in ticks, and how many failed.
    rest_until: i64,
    failures: u32,
    /// When the server said what time it is, in ticks.
    asked_at: Option<i64>,
    /// When a certificate that holds was replaced because it did not seem to help, in ticks.
    replaced_at: Option<i64>,
}

impl Passport {
    /// The identity of the device in `state`, shown on `link` from now on; and what was wrong with its files.
    ///
    /// # Errors
    /// Without the key there is no device.
    pub fn open(
        state: &StateDir,
        config: &Config,
        link: &Link,
        clock: &Clock,
        rng: StdRng,
    ) -> Result<(Self, Vec<Reason>), IdentityError> {
        // First: it may finish a change of keys.
        let keys = Keys::open(state, config)?;
        let next = identity::load_next(&keys)?;
        let (papers, wrong) = identity::load(&keys)?;
        let mut passport = Self {
            pinned: authorities::digest(state),
            followed_at: None,
            keys,
            device_id: config.device_id.clone(),
            new_key_at_renewal: config.new_key_at_renewal,
            link: link.clone(),
            clock: clock.clone(),
            rng,
            papers,
            next,
            due_at: i64::MAX,
            rest_until: i64::MIN,
            failures: 0,
            asked_at: None,
            replaced_at: None,
        };
        let mut remarks = Vec::new();
        if let Some(error) = wrong {
            let text = format!("{}; the device asks for a new certificate", chain(&error));
            remarks.push(Reason::new("STATE_DAMAGED", text));
        }
        if let Err(reason) = passport.show() {
            remarks.push(reason);
        }
        Ok((passport, remarks))
    }

    /// Sees to it, before a round, that the device can show a certificate. What went wrong without
    /// keeping it from that is the answer.
    ///
    /// # Errors
    /// Why it cannot talk to the server as this device.
    pub async fn prepare(&mut self, trust: &mut TrustStore) -> Result<Option<Reason>, Reason> {
        let mut remark = None;
        if self.is_in_doubt(trust) && self.may_ask() {
            remark = self.ask_time(trust).await.err();
        }
        let now = self.clock.now();
        if !self.shown().is_some_and(|facts| facts.holds_at(now)) {
            return match self.recover().await {
                Ok(()) => Ok(remark),
                // By a clock that is wrong it may have ended; the server knows better.
                Err(reason) if self.shown().is_some() && !is_final(&reason) => Ok(Some(reason)),
                Err(reason) => Err(reason),
            };
        }
        if now >= self.due_at && self.clock.ticks() >= self.rest_until {
            match self.renew().await {
                Ok(()) => self.failures = 0,
                Err(reason) => {
                    self.failures = self.failures.saturating_add(1);
                    let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_LIMIT);
                    self.rest_until = self.clock.ticks() + self.rng.random_range(pause / 2..=pause);
                    remark = Some(reason);
                }
            }
        }
        Ok(remark)
    }

    /// Sees to it, before readings are handed over, that the times in them can be told.
    ///
    /// # Errors
    /// The clock is far ahead of the server's, and the server did not sign what time it is.
    pub async fn check_clock(&mut self, trust: &mut TrustStore) -> Result<(), Reason> {
        if self.clock.is_far_ahead() && self.may_ask() {
            self.ask_time(trust).await?;
        }
        if self.clock.is_far_ahead() {
            let detail = "this device's clock is more than a day ahead of the server's; readings are kept until it is set";
            return Err(Reason::new("CLOCK_AHEAD", detail));
        }
        Ok(())
    }

    /// Readings that were taken while the clock was ahead, with the times at which they were.
    pub fn set_right(&self, readings: &mut [Reading]) {
        self.clock.set_right(readings.iter_mut().filter_map(|reading| reading.time.as_mut()));
    }

    /// After a round that failed: whether what was done about it makes another try worth while.
    pub async fn cure(&mut self, trouble: &Reason, trust: &mut TrustStore) -> bool {
        match trouble.code.as_str() {
            "SERVER_CERTIFICATE" => self.may_ask() && self.ask_time(trust).await.is_ok(),
            // Nothing says that it was because of the certificate. When the server is away this fails too.
            link::REFUSED | link::UNREACHABLE if self.link.is_turned_away() && self.may_replace() => {
                self.replaced_at = Some(self.clock.ticks());
                self.recover().await.is_ok()
            }
            // The server was set back to a time before it knew the new key, or has gone over to it already.
            UNKNOWN if self.next.as_ref().is_some_and(|next| next.certificate.is_some()) => {
                self.give_up_next().is_ok()
            }
            UNKNOWN if self.next.is_some() => self.recover().await.is_ok(),
            _ => false,
        }
    }

    /// The server answered the device as the one that is shown: if that is a new key, it is the only one
    /// from now on; and if the server showed a certificate of new authorities, so are they.
    ///
    /// # Errors
    /// When that cannot be written down; it is tried again after the next answer.
    pub fn answered(&mut self) -> Result<(), Reason> {
        let mut authorities = self.link.authorities();
        if !authorities.before.is_empty() && authorities.is_proved() {
            authorities::settle(self.keys.state())?;
            authorities.before.clear();
            self.link.believe(authorities);
            self.show()?;
        }
        let Some(next) = self.next.take_if(|next| next.certificate.is_some()) else { return Ok(()) };
        if let Err(error) = identity::adopt_next(&self.keys) {
            self.next = Some(next);
            return Err(not_kept(&error));
        }
        self.papers = next;
        Ok(())
    }

    /// Goes over to the authorities that the owners signed, when they are others than the device keeps. What
    /// was there before counts too until the server was reached with the new ones.
    ///
    /// # Errors
    /// Why it did not; nothing changed, and it is tried again after a while.
    pub async fn follow(&mut self, trust: &TrustStore) -> Result<(), Reason> {
        let Some(wanted) = trust.server_ca().filter(|wanted| wanted.sha256 != self.pinned) else {
            return Ok(());
        };
        let now = self.clock.ticks();
        if self.followed_at.is_some_and(|last| now - last < FOLLOW_AGAIN) {
            return Ok(());
        }
        self.followed_at = Some(now);
        let pem = authorities::fetch(&self.link, wanted).await?;
        authorities::store(self.keys.state(), &pem)?;
        (self.pinned, self.followed_at) = (wanted.sha256, None);
        let not_read = |error: IdentityError| not_kept(&error);
        let (authorities, _) = Authorities::load(self.keys.state()).map_err(not_read)?;
        self.link.believe(authorities);
        self.show()
    }

    /// Says in the inventory by which set of CAs the device knows its server: the SHA-256 of their file, so that
    /// people see who has yet to take what the owners signed. It is sent when it changes, and no other time.
    pub fn describe(&self, inventory: &mut Inventory) {
        let has_room = inventory.attributes.len() < ATTRIBUTES;
        if let Some(pinned) = self.pinned.filter(|_| has_room) {
            inventory.attributes.insert(SERVER_CA_ATTRIBUTE.to_owned(), pinned.to_string());
        }
    }

    /// The certificate that is shown.
    fn shown(&self) -> Option<&Facts> {
        let held = self.next.as_ref().and_then(|next| next.certificate.as_ref());
        held.or(self.papers.certificate.as_ref()).map(|held| &held.facts)
    }

    /// Shows it, and plans when it is renewed.
    fn show(&mut self) -> Result<(), Reason> {
        let next = self.next.as_ref().and_then(Papers::identity);
        let identity = next.or_else(|| self.papers.identity());
        let life = self.shown().map(|facts| (facts.not_before, facts.not_after));
        self.due_at = life.map_or(i64::MAX, |(from, to)| schedule::renewal(from, to, &mut self.rng));
        self.link.show(identity).map_err(|error| Reason::new("STATE_DAMAGED", chain(&error)))
    }

    /// Whether the machine's clock may be why something does not hold.
    fn is_in_doubt(&self, trust: &TrustStore) -> bool {
        let now = self.clock.now();
        let certificate_holds = self.shown().is_none_or(|facts| facts.holds_at(now));
        self.clock.is_in_doubt() || !certificate_holds || trust.stale().is_some()
    }

    fn may_ask(&self) -> bool {
        self.asked_at.is_none_or(|asked| self.clock.ticks() - asked >= TIME_AGAIN)
    }

    fn may_replace(&self) -> bool {
        self.replaced_at.is_none_or(|replaced| self.clock.ticks() - replaced >= REPLACE_AGAIN)
    }

    async fn ask_time(&mut self, trust: &mut TrustStore) -> Result<(), Reason> {
        let aside = self.aside(Dates::Ignored)?;
        let mut nonce = [0; 16];
        self.rng.fill_bytes(&mut nonce);
        let answered = signed_time::ask(&aside, trust, nonce).await;
        // Who was not reached is asked again with the next round.
        if answered.as_ref().err().is_none_or(|reason| reason.code != link::UNREACHABLE) {
            self.asked_at = Some(self.clock.ticks());
        }
        answered
    }

    fn aside(&self, dates: Dates) -> Result<Aside, Reason> {
        self.link.aside(dates).map_err(|error| Reason::new("STATE_DAMAGED", chain(&error)))
    }

    /// A new certificate while the old one holds, for the same key or for the next one.
    async fn renew(&mut self) -> Result<(), Reason> {
        let changes = self.next.is_some() || self.new_key_at_renewal;
        let fresh = match changes {
            true => Some(self.keys.load_or_make_next().map_err(|error| not_kept(&error))?),
            false => None,
        };
        let key = fresh.as_ref().unwrap_or(&self.papers.key);
        let csr_der = self.request(key)?;
        let request = RenewRequest { device_id: self.device_id.clone(), csr_der, ..RenewRequest::default() };
        let answer = self.link.enrollment().renew(request).await;
        let chain = answer.map_err(|status| link::reason(&status))?.into_inner().certificate_chain_der;
        let chain = for_key(chain, key)?;
        let stored = match fresh {
            Some(_) => identity::store_next_certificate(self.keys.state(), &chain),
            None => identity::store_certificate(self.keys.state(), &chain),
        };
        stored.map_err(|error| not_kept(&error))?;
        self.reread()
    }

    /// A new certificate when there is none to show: the key signs a challenge. In the middle of a change of
    /// keys the device does not know which one the server goes by, so it tries both.
    async fn recover(&mut self) -> Result<(), Reason> {
        let doubtful = self.clock.is_in_doubt();
        let aside = self.aside(if doubtful { Dates::Ignored } else { Dates::Count })?;
        let first = self.prove(&aside, &self.papers.key).await;
        match (first, &self.next) {
            (Ok(chain), _) => {
                identity::store_certificate(self.keys.state(), &chain).map_err(|error| not_kept(&error))?;
                // The server goes by the old key, and has forgotten the new one.
                identity::forget_next(&self.keys).map_err(|error| not_kept(&error))?;
            }
            (Err(reason), Some(next)) if reason.code == NOT_PROVED => {
                let chain = self.prove(&aside, &next.key).await?;
                identity::store_next_certificate(self.keys.state(), &chain)
                    .map_err(|error| not_kept(&error))?;
                identity::adopt_next(&self.keys).map_err(|error| not_kept(&error))?;
            }
            (Err(reason), _) => return Err(reason),
        }
        self.reread()
    }

    /// Renews by a signature of `key`.
    async fn prove(&self, aside: &Aside, key: &Key) -> Result<Vec<Vec<u8>>, Reason> {
        let csr_der = self.request(key)?;
        let mut last = Reason::new(NOT_PROVED, "server-ca.pem holds no certificate that can be read");
        // Which of the authorities signed the server's certificate is not asked: the answer would come from
        // whoever is there.
        for server in self.link.authorities().ids() {
            let nonce = aside.challenge(&self.device_id).await?;
            let message = identity::proof(RENEWAL, &server, &nonce, &csr_der);
            let signature = key.sign(&message).map_err(|error| not_kept(&error))?;
            let request = RenewRequest {
                device_id: self.device_id.clone(),
                csr_der: csr_der.clone(),
                nonce,
                signature,
                signer_spki_der: Vec::new(),
            };
            match aside.renew(request).await {
                Ok(answer) => return for_key(answer.certificate_chain_der, key),
                Err(reason) if reason.code == NOT_PROVED => last = reason,
                Err(reason) => return Err(reason),
            }
        }
        Err(last)
    }

    fn request(&self, key: &Key) -> Result<Vec<u8>, Reason> {
        identity::signing_request(key, &self.device_id).map_err(|error| not_kept(&error))
    }

    fn give_up_next(&mut self) -> Result<(), Reason> {
        identity::forget_next(&self.keys).map_err(|error| not_kept(&error))?;
        self.next = None;
        self.show()
    }

    /// Takes over what is in the files now, and shows it.
    fn reread(&mut self) -> Result<(), Reason> {
        self.next = identity::load_next(&self.keys).map_err(|error| not_kept(&error))?;
        self.papers = identity::load(&self.keys).map_err(|error| not_kept(&error))?.0;
        self.show()
    }
}

/// An operator has the last word.
fn is_final(reason: &Reason) -> bool {
    SHUT_OUT.contains(&reason.code.as_str())
}

/// A chain that the device can show with this key; one that it cannot must not take the place of one that it can.
fn for_key(chain: Vec<Vec<u8>>, key: &Key) -> Result<Vec<Vec<u8>>, Reason> {
    match identity::is_chain_for(&chain, &key.public()) {
        true => Ok(chain),
        false => Err(Reason::new(
            "DEVICE_CERTIFICATE_REQUIRED",
            "what the server gave instead of a new certificate is none, or for another key",
        )),
    }
}

fn not_kept(error: &IdentityError) -> Reason {
    Reason::new(error.code(), chain(error))
}
