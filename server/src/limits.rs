//! Every limit on what comes from outside, with its reason.

use std::time::Duration;

/// Exports of readings and of devices under way at once, with one token and in all. One that nobody reads on holds a group
/// of an archive's file, some 3 MB.
pub const EXPORTS_OF_TOKEN: usize = 4;
/// See [`EXPORTS_OF_TOKEN`].
pub const EXPORTS: usize = 32;

/// Streams of alerts and rollouts at once, with one token and in all. One that nobody reads on holds up to 200 changes,
/// some 300 KB; one that is read holds next to nothing.
pub const WATCHES_OF_TOKEN: usize = 64;
/// See [`WATCHES_OF_TOKEN`].
pub const WATCHES: usize = 1_024;

/// Uploads of recorded lives at once. Each holds up to 130 MB until something is learned from it, which keeps a core busy
/// for seconds.
pub const LESSONS: usize = 2;

/// Open connections at once. An idle one costs about 33 KiB, so these are half a gigabyte; more
/// devices than this poll through several replicas. The next caller takes the place of the oldest
/// connection that proved nothing yet; where there is none, it waits in the kernel's queue.
pub const CONNECTIONS: usize = 16_384;

/// Open connections of one address (IPv4), or one network of 64 bits (IPv6), that proved nothing yet: no
/// certificate of a device, no call with a token. Devices count until their handshake is over, so a fleet
/// behind one address comes back after an outage, most of it at the second attempt. One caller with one
/// address takes an eighth of all places.
pub const STRANGERS_OF_ADDRESS: usize = 2_048;

/// How long a connection may prove nothing: enrolment is two calls, and whoever only reads what is
/// public connects again.
pub const UNPROVED: Duration = Duration::from_secs(60);

/// What a connection that proved nothing in time has left for its calls: a manifest of 8 MiB over a line
/// of 600 kbit/s.
pub const LAST_CALLS: Duration = Duration::from_secs(120);

/// How long a connection with a token is kept without a call, so that a token that was lost or has ended
/// does not hold places. Calls under way are waited for.
pub const IDLE: Duration = Duration::from_secs(10 * 60);

/// A handshake needs two round trips; whoever takes longer is on a dead link or holds a place. There
/// is no limit on handshakes at once below that on connections: a few hundred callers who stall in
/// theirs would keep everybody out, and 16,384 honest ones are 7 s of one core.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// Calls at once on one connection. Agents make one or two; a command line that uploads, eight.
pub const STREAMS_PER_CONNECTION: u32 = 64;

/// The same for a peer that showed no device certificate: a command line that uploads makes eight.
pub const STREAMS_OF_STRANGER: u32 = 16;

/// An answer of which the other end took nothing for so long ends its connection. It is sent in pieces
/// of [`PIECE`], so a line of 150 byte/s is fast enough.
pub const STALLED: Duration = Duration::from_secs(120);
/// Pieces that downloads are sent in: a frame of HTTP/2.
pub const PIECE: usize = 16 * 1024;

/// Release manifests kept in memory, in bytes: a manifest of a 1 GiB image has 70 KiB, the largest 8 MiB.
pub const MANIFESTS_KEPT: usize = 32 * 1024 * 1024;

/// All headers of one call, decoded; ours are under 1 KiB.
pub const HEADER_LIST: u32 = 16 * 1024;

/// A connection on which nothing happened is asked whether somebody is there. Long enough not to
/// wake a sleeping modem between check-ins of a minute, short enough to free dead ones.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(120);

/// How long the answer to that may take.
pub const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(20);

/// Headers of one HTTP/1.1 request; ours and a proxy's are a dozen.
pub const HTTP1_HEADERS: usize = 64;
/// What is read ahead of an HTTP/1.1 connection, and so the longest request head; also what is
/// written at once, so not less.
pub const HTTP1_BUFFER: usize = 64 * 1024;

/// A whole HTTP/1.1 request head has to arrive within this time, and the first bytes of HTTP/2.
pub const HEADER_READ: Duration = Duration::from_secs(10);

/// One unary call, from its head to the head of its answer. The slowest, publishing a release with
/// thousands of devices waiting for the database, takes a few seconds.
pub const CALL: Duration = Duration::from_secs(60);

/// An upload of segments in one call: 64 segments of 1 MiB over a line of 1 Mbit/s.
pub const UPLOAD: Duration = Duration::from_secs(15 * 60);

/// How long calls under way may take after SIGTERM; service managers kill after 90 s.
pub const DRAIN: Duration = Duration::from_secs(20);

/// One message of an ordinary call; the largest, 1,000 readings, is about 200 KB.
pub const MESSAGE: usize = 1024 * 1024;

/// One request with metrics of the OpenTelemetry protocol, unpacked. Collectors gather 8,192 points of some 200
/// bytes by default; an empty point takes a hundred times its bytes in memory, so not more than needed.
pub const OTLP_MESSAGE: usize = 2 * 1024 * 1024;
/// Data points of one such request; each is up to 18 readings.
pub const OTLP_POINTS: usize = 10_000;

/// One certificate signing request; one of P-256 is 250 bytes.
pub const CSR: usize = 8 * 1024;

/// Parts of a device that are updated on their own.
pub const COMPONENTS: usize = 32;

/// What a device says of itself: entries, and bytes of each key and value. Enough for a serial
/// number, a place and a few versions; not a file system.
pub const ATTRIBUTES: usize = 64;
/// Longest key and longest value of an attribute, in bytes.
pub const ATTRIBUTE: usize = 256;

/// Longest request id: a UUID is 36.
pub const REQUEST_ID: usize = 64;
/// How long a request id is remembered: clients give up retrying long before.
pub const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// Longest reason given for an act, for the audit log.
pub const REASON: usize = 1024;

/// Life of a token when nobody says; long enough not to be renewed by hand each month.
pub const TOKEN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longest life of a token.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(5 * 365 * 24 * 3600);
/// How long an admin token has to go on for another one to be revoked: time enough to make the next.
pub const LAST_ADMIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Life of a claim when nobody says.
pub const CLAIM_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest life of a claim: a production run, not a back door.
pub const CLAIM_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// Shortest life of either: less is a typing error.
pub const LIFE_MIN: Duration = Duration::from_secs(60);

/// How long a challenge is good: a device on a slow line answers in seconds.
pub const CHALLENGE: Duration = Duration::from_secs(5 * 60);
/// Renewals of one device within [`RENEWALS_WITHIN`]: each costs a signature, a write and a line of
/// the audit log, and one is due in a year.
pub const RENEWALS: usize = 10;
/// See [`RENEWALS`].
pub const RENEWALS_WITHIN: Duration = Duration::from_secs(3600);

/// Claims that nobody made, shown from one address (IPv4) or network of 64 bits (IPv6) within [`GUESSES_WITHIN`]: a claim
/// has 256 bits and cannot be guessed, but who tries shall not cost anything either. More than a person mistypes, and
/// than a batch of machines with a wrong file tries before somebody looks.
pub const GUESSES: usize = 60;
/// See [`GUESSES`].
pub const GUESSES_WITHIN: Duration = Duration::from_secs(10 * 60);

/// Certificates in the chain of a manufacturer's: a machine's, and few authorities.
pub const CHAIN: usize = 8;
/// One certificate of a manufacturer; those with RSA keys of 4,096 bits are 2 KiB.
pub const CERTIFICATE: usize = 8 * 1024;

/// How long a revoked device's calls under way may take before its connection is cut.
pub const CUT: Duration = Duration::from_secs(2);

/// Life of a device certificate. It is a ticket: authority is the row that pins the key.
pub const DEVICE_CERTIFICATE: Duration = Duration::from_secs(365 * 24 * 3600);
