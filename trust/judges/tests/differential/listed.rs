//! Every difference between the two verifiers that was met, and why ours is as it is.

use std::fmt;

use crate::pair::Outcome;

/// A difference, found by words of the one that refuses.
pub struct Divergence {
    side: Side,
    /// Part of what is wrong with the input; empty for anything.
    what: &'static str,
    /// Part of the refusal's text.
    says: &'static str,
    /// Why the two differ.
    why: &'static str,
}

enum Side {
    Ours,
    Theirs,
}

impl Divergence {
    /// Whether exactly the side that it names refuses, in these words.
    pub fn explains(&self, what: &str, ours: &Outcome, theirs: &Outcome) -> bool {
        match (&self.side, ours, theirs) {
            (Side::Ours, Err(text), Ok(())) | (Side::Theirs, Ok(()), Err(text)) => {
                text.contains(self.says) && what.contains(self.what)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.side {
            Side::Ours => "ours",
            Side::Theirs => "theirs",
        };
        write!(f, "only {who} refuses {:?} with {:?}: {}", self.what, self.says, self.why)
    }
}

const fn ours(what: &'static str, says: &'static str, why: &'static str) -> Divergence {
    Divergence { side: Side::Ours, what, says, why }
}

const fn theirs(what: &'static str, says: &'static str, why: &'static str) -> Divergence {
    Divergence { side: Side::Theirs, what, says, why }
}

const TOO_LARGE: &str = "beyond 2^53 - 1: another implementation would read another number";
const UNCHECKABLE: &str =
    "a file that could never be checked is refused when it is named, not when it is needed";
const EARLY: &str = "a document that breaks the format is refused whole, not when the broken part is needed";
const UNREAD: &str =
    "what nothing is verified by is not read: other files, other roles, keys of an unknown kind";
const ONE_SPELLING: &str = "hex has one spelling here, in lower case";

/// All of them. One that is never met fails the test: it has become untrue.
pub const LISTED: &[Divergence] = &[
    // ---- JSON --------------------------------------------------------------------------------------
    ours("", "appears twice", "two readers take different members of a pair with one key"),
    ours("", "beyond 2^53 - 1", TOO_LARGE),
    ours("", "is not an integer of at most", "no floats anywhere, also outside of what is signed"),
    // ---- dates -------------------------------------------------------------------------------------
    ours(
        "",
        "a date is written YYYY-MM-DDTHH:MM:SSZ",
        "the specification has this one form, theirs takes all of RFC 3339",
    ),
    ours(
        "",
        "METADATA_EXPIRED",
        "at the very second of its date a document has expired: the date has to be later than now",
    ),
    ours(
        "",
        "METADATA_ISSUED_TOO_LATE",
        "`x-issued` sets a device's clock, so it is bounded; theirs does not know it",
    ),
    ours("x-issued", "METADATA_FIELD_INVALID", "`x-issued` is read here"),
    // ---- keys and signatures -----------------------------------------------------------------------
    ours("in upper case", "", ONE_SPELLING),
    ours("keys", "is not a key of that kind", EARLY),
    ours(
        "keyids",
        "names a key twice",
        "one key is listed once; theirs counts ids, so it does no harm there",
    ),
    ours("threshold", "THRESHOLD_INVALID", EARLY),
    ours(
        "/keytype",
        "ROOT_NOT_SIGNED_BY_ITSELF",
        "a key is of a known kind when its keytype and its scheme are; theirs goes by the scheme alone",
    ),
    // ---- named files -------------------------------------------------------------------------------
    ours("", "sha256 is missing", UNCHECKABLE),
    ours("", "sha256 is no digest", UNCHECKABLE),
    ours("", "hashes is not an object", UNCHECKABLE),
    ours("", "length is not a whole number", "null is no length"),
    ours("", "meta.snapshot.json is missing", UNCHECKABLE),
    ours("", "does not end in .json", EARLY),
    // ---- roles -------------------------------------------------------------------------------------
    ours("roles", "is missing", EARLY),
    ours("delegations", "is missing", EARLY),
    ours("delegations", "exactly one has to be there", "which of two lists of paths counts is nowhere said"),
    ours("delegations", "paths is not a list", EARLY),
    ours("delegations", "delegates to", "two delegations of one name leave open whose keys count"),
    ours("delegations", "is not the name of a delegated role", EARLY),
    ours("spec_version", "is not 1.x", "a version has more than one part"),
    // ---- what nothing is verified by ---------------------------------------------------------------
    theirs("/meta", "failed to parse JSON", UNREAD),
    theirs("/roles", "failed to parse JSON", UNREAD),
    theirs("/keys", "failed to parse JSON", UNREAD),
    theirs("/expires", "failed to parse JSON", "their dates end before the last day of the year 9999"),
];
