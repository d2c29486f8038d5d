//! Lies that are signed, with every key that the server has.

use slipway_proto::v1::{CheckInResponse, TrustDelta};
use slipway_trust::{
    Signer as _, TARGETS,
    fake::signed_value,
    repo::{Body as _, RoleSpec, RootKeys, lifetime},
};

use crate::{
    attempt::{
        After::{Rotation, Truth},
        Aim, Attempt, BASE,
        Says::{Blocked, Nothing, Rejects},
        Succeeds, always, at, brings, either, offers, soon, update,
    },
    forge::{Forge, LAST, signed},
    owner::{Answer, CHECK_IN, Lie},
};
