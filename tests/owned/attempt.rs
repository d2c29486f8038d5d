//! One attempt on one device: what is said to it, how it takes that, and how it is brought back.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream};
use slipway_proto::v1::{CheckInResponse, MetadataVersions, TrustDelta, UpdateOffer, UpdateState};

use crate::{
    forge::Forge,
    owner::{Answer, CHECK_IN, Call, Lie},
    victim::Victim,
};

/// What every device runs before it is lied to.
pub const BASE: &str = "3.0.0";

/// One attempt.
pub struct Attempt {
    /// In the words of the table.
    pub name: &'static str,
    pub lie: fn(&Forge, &Aim) -> Lie,
    /// How the device says it.
    pub says: Says,
    /// What comes of it.
    pub outcome: &'static str,
    /// What runs afterwards.
    pub runs: &'static str,
    pub after: After,
}

/// Whom it is about.
pub struct Aim {
    pub id: String,
    /// What the device holds.
    pub have: MetadataVersions,
}

/// How a device says what it thinks of a lie.
#[derive(Clone, Copy, Debug)]
pub enum Says {
    /// It refuses the update, for this reason.
    Rejects(&'static str),
    /// It began with the update and gave it up.
    GivesUp(&'static str),
    /// It says that it installs nothing, and why.
    Blocked(&'static str),
    /// It notes what went wrong; that is all.
    Notes(&'static str),
    /// The update succeeded.
    Succeeds,
    /// Nothing is wrong that it could see.
    Nothing,
}

/// How the device is brought back to what the honest server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// With the next honest answer.
    Truth,
    /// The same, at the hour that the lie set for it or when it is switched on again.
    Restart,
    /// The owners replace the keys that the thief had, which makes the device forget what was signed with them.
    Rotation,
    /// The publishers sign anew what has ended.
    Signing,
}

impl Says {
    /// Whether the device has said so.
    pub fn is_heard(self, victim: &Victim) -> bool {
        let is = |state: UpdateState, code: &str| {
            victim.end_of_lie().is_some_and(|(end, reason)| {
                end == state && reason.map_or(code.is_empty(), |reason| reason.code == code)
            })
        };
        match self {
            Self::Rejects(code) => is(UpdateState::Rejected, code),
            Self::GivesUp(code) => is(UpdateState::Failed, code),
            Self::Succeeds => is(UpdateState::Succeeded, "") && victim.status().state == "idle",
            Self::Blocked(code) => victim.blocked().is_some_and(|reason| reason.code == code),
            Self::Notes(code) => victim.last_error().is_some_and(|reason| reason.code == code),
            Self::Nothing => victim.owner.heard(|heard| heard.lied > 0),
        }
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejects(code) => write!(f, "rejects the update: `{code}`"),
            Self::GivesUp(code) => write!(f, "gives the update up: `{code}`"),
            Self::Blocked(code) => write!(f, "is blocked: `{code}`"),
            Self::Notes(code) => write!(f, "notes an error: `{code}`"),
            Self::Succeeds => f.write_str("the update succeeded"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truth => "the truth",
            Self::Restart => "the truth, when it next asks",
            Self::Rotation => "new keys",
            Self::Signing => "the publishers' signatures",
        })
    }
}

/// Devices come back as soon as they may.
pub fn soon() -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 })
}

/// What is said at paths that begin like this.
pub fn at(path: &'static str, answer: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static) -> Lie {
    Arc::new(move |call| if call.path.starts_with(path) { answer(call) } else { None })
}

/// One lie, and where it says nothing another.
pub fn either(one: Lie, other: Lie) -> Lie {
    Arc::new(move |call| one(call).or_else(|| other(call)))
}

/// The same at every check-in.
pub fn always(answer: CheckInResponse) -> Lie {
    at(CHECK_IN, move |_| Answer::of(&answer))
}

/// This metadata at every check-in, and nothing to install.
pub fn brings(trust: TrustDelta) -> Lie {
    always(CheckInResponse { trust: Some(trust), next_check_in: soon(), ..CheckInResponse::default() })
}

/// An update of that name.
pub fn update(name: String) -> Option<UpdateOffer> {
    Some(UpdateOffer { update: name, ..UpdateOffer::default() })
}

/// An update of this device, and the metadata for it.
pub fn offers(aim: &Aim, trust: TrustDelta) -> Lie {
    always(CheckInResponse {
        trust: Some(trust),
        offer: update(format!("devices/{}/updates/lie", aim.id)),
        next_check_in: soon(),
        ..CheckInResponse::default()
    })
}

/// An answer that begins like this and never ends.
pub fn endless(beginning: &'static [u8]) -> Body {
    const MORE: Bytes = Bytes::from_static(&[0; 16 << 10]);
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(beginning))]);
    Body::from_stream(first.chain(stream::repeat_with(|| Ok(MORE))))
}

/// An answer that begins like this and goes on with a byte a second.
pub fn slow(beginning: &'static [u8]) -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(beginning))]);
    Body::from_stream(first.chain(stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    })))
}
