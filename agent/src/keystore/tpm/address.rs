//! Where a TPM is.

use std::{fmt, path::PathBuf, str::FromStr};

/// A TPM that runs as a program, at a TCP port: for tests, as whoever listens on the way could answer for it.
const SOFTWARE: &str = "swtpm:";

/// Where a TPM is: `/dev/tpmrm0`, `/dev/tpm0`, the path of a Unix socket, or `swtpm:HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A device of the kernel, or a socket.
    Path(PathBuf),
    /// A software TPM.
    Software {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(place) = text.strip_prefix(SOFTWARE) {
            let parts = place.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            let parts =
                parts.and_then(|(host, port)| Some((host, port.parse().ok().filter(|port| *port > 0)?)));
            let (host, port) =
                parts.ok_or_else(|| format!("tpm is {text:?}; it has to be swtpm:HOST:PORT"))?;
            return Ok(Self::Software { host: host.trim_matches(['[', ']']).to_owned(), port });
        }
        if !text.starts_with('/') {
            let wanted = "an absolute path, as /dev/tpmrm0, or swtpm:HOST:PORT";
            return Err(format!("tpm is {text:?}; it has to be {wanted}"));
        }
        Ok(Self::Path(PathBuf::from(text)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Software { host, port } if host.contains(':') => write!(f, "{SOFTWARE}[{host}]:{port}"),
            Self::Software { host, port } => write!(f, "{SOFTWARE}{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_was_written() {
        for text in ["/dev/tpmrm0", "/run/tpm.sock", "swtpm:127.0.0.1:2321", "swtpm:[::1]:2321"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "tpmrm0", "swtpm:", "swtpm:2321", "swtpm::2321", "swtpm:host:0", "swtpm:host:x"] {
            let wrong = text.parse::<Address>().unwrap_err();
            assert!(wrong.starts_with(&format!("tpm is {text:?}; it has to be")), "{wrong}");
        }
    }
}
