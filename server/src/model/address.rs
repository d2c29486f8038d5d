//! Where a webhook may lead: to the Internet, and nowhere near the server unless its configuration says so.
//!
//! Whoever may set an address that this server then calls could otherwise make it call the cloud's metadata service,
//! a database beside it, or itself. What counts is the address that is connected to, not the name that led there.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// What the configuration allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Also `http://`: what is sent can be read on the way.
    pub http: bool,
    /// Networks that are called although they are not public.
    pub networks: Vec<Network>,
}

impl AddressPolicy {
    /// Whether an address may be called; the word that says what it is instead.
    pub fn check(&self, ip: IpAddr) -> Result<(), &'static str> {
        if self.networks.iter().any(|network| network.contains(ip)) {
            return Ok(());
        }
        match special(ip) {
            Some(what) => Err(what),
            None => Ok(()),
        }
    }
}

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: IpAddr,
    bits: u32,
}

impl Network {
    const fn v4(base: [u8; 4], bits: u32) -> Self {
        let [a, b, c, d] = base;
        Network { base: IpAddr::V4(std::net::Ipv4Addr::new(a, b, c, d)), bits }
    }

    const fn v6(base: [u16; 3], bits: u32) -> Self {
        let [a, b, c] = base;
        Network { base: IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), bits }
    }

    /// Whether the address is one of it. An IPv4 address in the clothes of IPv6 is in no IPv4 network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                u64::from(base.to_bits() ^ ip.to_bits()) >> (32 - self.bits) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                // A shift by all 128 bits is none that a processor knows.
                (base.to_bits() ^ ip.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `10.1.0.0/16`, `fd00::/8`, or a single address.
    fn from_str(text: &str) -> Result<Self, String> {
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr =
            base.parse().map_err(|_| format!("{text:?} is no network, such as 10.1.0.0/16"))?;
        let all = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => all,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= all)
                .ok_or_else(|| format!("{text:?} does not end in 0 to {all} bits"))?,
        };
        Ok(Network { base, bits })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// IANA's registries of special-purpose addresses: what is not a place on the Internet.
const SPECIAL_V4: &[(Network, &str)] = &[
    (Network::v4([0, 0, 0, 0], 8), "this host"),
    (Network::v4([10, 0, 0, 0], 8), "private"),
    (Network::v4([100, 64, 0, 0], 10), "shared by a carrier (CGNAT)"),
    (Network::v4([127, 0, 0, 0], 8), "loopback"),
    (Network::v4([169, 254, 0, 0], 16), "link-local"),
    (Network::v4([172, 16, 0, 0], 12), "private"),
    (Network::v4([192, 0, 0, 0], 24), "reserved"),
    (Network::v4([192, 0, 2, 0], 24), "for documentation"),
    (Network::v4([192, 88, 99, 0], 24), "a relay of 6to4"),
    (Network::v4([192, 168, 0, 0], 16), "private"),
    (Network::v4([198, 18, 0, 0], 15), "for benchmarks"),
    (Network::v4([198, 51, 100, 0], 24), "for documentation"),
    (Network::v4([203, 0, 113, 0], 24), "for documentation"),
    (Network::v4([224, 0, 0, 0], 4), "multicast"),
    (Network::v4([240, 0, 0, 0], 4), "reserved"),
];

/// Of IPv6 only 2000::/3 is handed out; of that, what is not a place either. Whatever carries an IPv4 address inside
/// is refused as a whole: nobody has to publish one, and each is a way around the table above.
const SPECIAL_V6: &[(Network, &str)] = &[
    (Network::v6([0x2001, 0, 0], 23), "reserved, or a tunnel (Teredo)"),
    (Network::v6([0x2001, 0xdb8, 0], 32), "for documentation"),
    (Network::v6([0x2002, 0, 0], 16), "IPv4 inside of IPv6 (6to4)"),
    (Network::v6([0x3fff, 0, 0], 20), "for documentation"),
];
const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0], 3);
const UNIQUE_LOCAL: Network = Network::v6([0xfc00, 0, 0], 7);
const LINK_LOCAL: Network = Network::v6([0xfe80, 0, 0], 10);

fn special(ip: IpAddr) -> Option<&'static str> {
    let named = |table: &[(Network, &'static str)]| {
        table.iter().find(|(network, _)| network.contains(ip)).map(|(_, what)| *what)
    };
    match ip {
        IpAddr::V4(_) => named(SPECIAL_V4),
        IpAddr::V6(v6) if v6.is_loopback() => Some("loopback"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("multicast"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("IPv4 inside of IPv6 (mapped)"),
        IpAddr::V6(_) if UNIQUE_LOCAL.contains(ip) => Some("private"),
        IpAddr::V6(_) if LINK_LOCAL.contains(ip) => Some("link-local"),
        IpAddr::V6(_) if !GLOBAL_V6.contains(ip) => Some("reserved"),
        IpAddr::V6(_) => named(SPECIAL_V6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 73: addresses that a webhook must not lead to, each as an attacker would write it.
    const REFUSED: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "3fff:fff::1",
        "5f00::1",
        "fc00::1",
        "fd00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::a9fe:a9fe",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ];

    const TAKEN: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
    ];

    #[test]
    fn row_73_addresses_that_are_no_place_on_the_internet_are_refused() {
        let policy = AddressPolicy::default();
        for ip in REFUSED {
            assert!(policy.check(ip.parse().unwrap()).is_err(), "{ip}");
        }
        for ip in TAKEN {
            assert_eq!(policy.check(ip.parse().unwrap()), Ok(()), "{ip}");
        }
    }

    #[test]
    fn a_network_is_allowed_by_configuration_and_nothing_beside_it() {
        let networks = ["10.1.0.0/16", "fd00::/8", "127.0.0.1"].map(|text| text.parse().unwrap());
        let policy = AddressPolicy { http: false, networks: networks.into() };
        for (ip, is_taken) in [
            ("10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fc00::1", false),
            ("::ffff:10.1.2.3", false),
        ] {
            assert_eq!(policy.check(ip.parse().unwrap()).is_ok(), is_taken, "{ip}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("127.0.0.1".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert!("::/0".parse::<Network>().unwrap().contains("::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "fd00::/129", "10.0.0/8", "example.com", "10.0.0.0/-1", "1.2.3.4/x"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert_eq!("10.1.0.0/16".parse::<Network>().unwrap().to_string(), "10.1.0.0/16");
    }
}
