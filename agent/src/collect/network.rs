//! What network cards lost.

use super::{
    Sink, Sysroot,
    dictionary::{NETWORK_CARRIER, NETWORK_DROPPED, NETWORK_ERRORS},
};

/// Cards only: bridges, tunnels and the loopback have no hardware that could fail.
pub(super) fn read(root: &Sysroot, sink: &mut Sink) {
    for card in root.names("sys/class/net") {
        let folder = format!("sys/class/net/{card}");
        if !root.exists(&format!("{folder}/device")) {
            continue;
        }
        let both = |what: &str| {
            let one = |way: &str| root.number(&format!("{folder}/statistics/{way}_{what}"));
            Some(one("rx")? + one("tx")?)
        };
        sink.take_some(&card, NETWORK_ERRORS, both("errors"));
        sink.take_some(&card, NETWORK_DROPPED, both("dropped"));
        sink.take_some(&card, NETWORK_CARRIER, root.number(&format!("{folder}/carrier_changes")));
    }
}
