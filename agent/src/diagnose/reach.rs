//! The way to the server, step by step: name, address, port, TLS, and whether it lets this device in.

use std::{net::SocketAddr, time::Duration};

use http::Uri;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::Notes;
use crate::{
    authorities::Authorities,
    clock::Clock,
    config::{Config, StateDir},
    first_word::FirstWord,
    identity::Papers,
    link::chain,
    tls::{ConnectError, Dates, Door, io_words},
};

const AREA: &str = "server";
/// What answers at all answers within this.
const DEADLINE: Duration = Duration::from_secs(5);
/// Of the addresses of one name.
const ADDRESSES: usize = 8;

pub(super) async fn server(
    state: &StateDir,
    config: &Config,
    papers: Option<Papers>,
    clock: &Clock,
    notes: &mut Notes,
) {
    let Some((host, port)) = host_and_port(&config.server) else {
        let what = format!("{:?} is not the address of a server", config.server);
        notes.problem(AREA, what, "correct `server` in agent.toml: https://HOST or https://HOST:PORT");
        return;
    };
    let Some(addresses) = find(&host, port, notes).await else { return };
    if !connect(&host, &addresses, notes).await {
        return;
    }
    let authorities = match Authorities::load(state) {
        Ok((authorities, None)) => authorities,
        Ok((authorities, Some(reason))) => {
            notes.warn("server CA", &reason.detail, "nothing: the agent gets it again").reason(&reason.code);
            authorities
        }
        Err(error) => {
            let hint = "restore `server-ca.pem` from a copy, or enrol this machine again with a new claim";
            notes.problem("server CA", chain(&error), hint);
            return;
        }
    };
    let identity = papers.as_ref().and_then(Papers::identity);
    let shows = identity.is_some();
    let first_word = FirstWord::default();
    let door =
        Door::new(&config.server, (&host, port), &authorities, identity, clock, Dates::Count, &first_word);
    let opened = match door {
        Ok(door) => door.open().await,
        Err(error) => {
            notes.problem(AREA, chain(&error), "see the findings above");
            return;
        }
    };
    let mut stream = match opened {
        Ok(stream) => stream.into_inner(),
        Err(error) => {
            let hint = match &error {
                ConnectError::Unreachable { .. } => {
                    "look whether slipwayd is what listens there, or something in between"
                }
                ConnectError::Untrusted { .. } => "see above; the device talks to nobody else",
                ConnectError::Key { .. } => "look at the TPM",
            };
            notes.problem(AREA, error.to_string(), hint).reason(error.code());
            return;
        }
    };
    if !shows {
        notes.ok(AREA, format!("{} is the server of this device", config.server));
        return;
    }
    // A server that takes a certificate begins to speak at once; see `first_word`.
    match timeout(DEADLINE, stream.read_u8()).await {
        Ok(Ok(_)) => notes.ok(AREA, format!("{} is the server of this device and lets it in", config.server)),
        Ok(Err(_)) => {
            let what = format!("{} does not take the certificate of this device", config.server);
            let hint = "if it was revoked, an operator can say; what has only ended is renewed by the agent";
            notes.problem(AREA, what, hint).reason("CERTIFICATE_REFUSED");
        }
        Err(_) => {
            let what = format!("{} took the connection and says nothing", config.server);
            notes
                .problem(AREA, what, "look at the server, and at what stands before it")
                .reason("SERVER_UNREACHABLE");
        }
    }
}

fn host_and_port(server: &str) -> Option<(String, u16)> {
    let uri: Uri = server.parse().ok()?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https"))?;
    Some((host.trim_matches(['[', ']']).to_owned(), uri.port_u16().unwrap_or(443)))
}

async fn find(host: &str, port: u16, notes: &mut Notes) -> Option<Vec<SocketAddr>> {
    let found = timeout(DEADLINE, lookup_host((host, port))).await;
    let hint = "look at the network (`ip address`, the cable) and at /etc/resolv.conf; `getent hosts NAME` asks the same";
    let what = match found {
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.take(ADDRESSES).collect();
            if !addresses.is_empty() {
                return Some(addresses);
            }
            format!("the name {host} has no address")
        }
        Ok(Err(error)) => format!("the name {host} cannot be resolved: {}", io_words(&error)),
        Err(_) => format!("nobody says what address {host} has, for {} s", DEADLINE.as_secs()),
    };
    notes.problem("DNS", what, hint).reason("SERVER_UNREACHABLE");
    None
}

/// Whether somebody listens at one of the addresses.
async fn connect(host: &str, addresses: &[SocketAddr], notes: &mut Notes) -> bool {
    let mut tried = Vec::new();
    for address in addresses {
        let what = match timeout(DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                notes.ok("network", format!("{host} is {address}, where somebody listens"));
                return true;
            }
            Ok(Err(error)) => io_words(&error),
            Err(_) => format!("no answer within {} s", DEADLINE.as_secs()),
        };
        tried.push(format!("{address}: {what}"));
    }
    let hint = "look whether the server runs, at the default route (`ip route`) and at firewalls in between";
    let what = format!("cannot connect to {host}: {}", tried.join("; "));
    notes.problem("network", what, hint).reason("SERVER_UNREACHABLE");
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_as_the_agent_does() {
        let of = |server| host_and_port(server).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("https://fleet.example").as_deref(), Some("fleet.example 443"));
        assert_eq!(of("https://[::1]:7443").as_deref(), Some("::1 7443"));
        assert_eq!([of("http://fleet.example"), of("fleet.example"), of("")], [None, None, None]);
    }
}
