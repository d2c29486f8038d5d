//! Every limit of this crate, with its reason. Whatever exceeds one is refused before it is read.

/// Largest root file: ten keys take 3 KB; a root of post-quantum keys would take some 100 KB.
pub const ROOT_BYTES: usize = 512 * 1024;
/// Largest timestamp file: one line with one hash takes half a kilobyte.
pub const TIMESTAMP_BYTES: usize = 16 * 1024;
/// Largest snapshot: about 10,000 delegated roles.
pub const SNAPSHOT_BYTES: usize = 2 * 1024 * 1024;
/// Largest targets file, top-level or delegated: about 10,000 releases of one product.
pub const TARGETS_BYTES: usize = 5 * 1024 * 1024;
/// Largest assignment: one takes 600 bytes.
pub const ASSIGNMENT_BYTES: usize = 16 * 1024;
/// Largest release manifest: about 120,000 segment digests, 120 GB of artifacts.
pub const MANIFEST_BYTES: usize = 8 * 1024 * 1024;
/// Largest file of the authorities of the server: some forty certificates.
pub const SERVER_CA_BYTES: usize = 64 * 1024;
/// Certificates in it: more generations than there can be, and room for another authority's.
pub const SERVER_CA_CERTIFICATES: usize = 16;

/// Roots that one poll may carry; a device that needs more polls again at once.
pub const ROOTS_PER_POLL: usize = 64;
/// Roots that one walk follows: a thousand years of yearly ceremonies; the specification's own example.
pub const ROOTS_IN_CHAIN: u32 = 1024;
/// Delegated roles that one search visits; a cycle or a maze ends here.
pub const DELEGATIONS: usize = 32;
/// Roles that one targets file delegates to: products of one publisher.
pub const DELEGATED_ROLES: usize = 1024;
/// Nesting of JSON; deeper input could exhaust the stack. `serde_json` stops at the same depth.
pub const JSON_DEPTH: usize = 128;
/// Values in any document, however short.
pub const JSON_VALUES: usize = 1024;
/// Of a long document, so many bytes have to come for each value more: the densest that we write, the list
/// of releases, has 27. Without this bound a document could take thirty times its length in memory.
pub const JSON_BYTES_PER_VALUE: usize = 16;
/// Largest integer that every JSON implementation reads exactly: 2^53 - 1.
pub const INTEGER: u64 = (1 << 53) - 1;
/// Signatures on one file: more than any ceremony has people.
pub const SIGNATURES: usize = 64;
/// Hardware models of one release or artifact.
pub const HARDWARE_MODELS: usize = 64;
/// Artifacts of one release.
pub const ARTIFACTS: usize = 64;
/// Bytes of a version, component or hardware name: fits one DNS label and one file name.
pub const NAME_BYTES: usize = 63;
/// Smallest segment: below, the digests would outweigh what they protect.
pub const SEGMENT_MIN: u32 = 4 * 1024;
/// Largest segment: a device holds one in memory.
pub const SEGMENT_MAX: u32 = 1024 * 1024;
