//! Snapshots: what they list may not change behind the timestamp's back, and may not go back.

use crate::world::attacks;

attacks! {
    /// Row 20.
    of_another_length: "snapshot of another length",
    /// Row 20.
    with_a_flipped_bit: "snapshot with a flipped bit",
    /// Row 21.
    drops_a_role: "snapshot drops a role",
    /// Row 22.
    lists_an_older_role: "snapshot lists an older role",
    /// Row 17, one document down.
    expired: "snapshot expired",
    /// Row 1, one document down.
    signed_by_a_stranger: "snapshot of a stranger",
}
