//! Pages of a list: sizes, and tokens that only fit the list they came from.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::refusal::{Reason, Refusal};

/// What a caller gets who asks for no size.
pub const DEFAULT_SIZE: usize = 100;
/// An answer of 1,000 devices is about 1 MB, a quarter of the largest message.
pub const MAX_SIZE: usize = 1000;

const BINDING: usize = 8;

/// The part of a list that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many.
    pub size: usize,
    /// Only what follows this cursor; none on the first page.
    pub after: Option<String>,
    binding: [u8; BINDING],
}

impl Page {
    /// Reads `page_size` and `page_token` of a request.
    ///
    /// `binding` is whatever decides what the list contains (the method, the filter, the caller's
    /// scope): a token that came with another one is refused with `PAGE_TOKEN_INVALID`.
    pub fn parse(page_size: i32, page_token: &str, binding: &[&str]) -> Result<Self, Refusal> {
        let size = match usize::try_from(page_size) {
            Ok(0) => DEFAULT_SIZE,
            Ok(size) if size <= MAX_SIZE => size,
            _ => {
                return Err(Refusal::new(
                    Reason::PageSizeInvalid,
                    format!("a page of {page_size} cannot be had"),
                    format!("ask for 1 to {MAX_SIZE}, or 0 for {DEFAULT_SIZE}, and follow next_page_token"),
                )
                .field("page_size"));
            }
        };
        let binding = digest(binding);
        let after = match page_token {
            "" => None,
            token => Some(cursor(token, binding).ok_or_else(|| {
                Refusal::new(
                    Reason::PageTokenInvalid,
                    "the page token does not belong to this list",
                    "pass next_page_token of the previous answer unchanged, with the same filter; or start without one",
                )
                .field("page_token")
            })?),
        };
        Ok(Page { size, after, binding })
    }

    /// The token of the page that follows `cursor`.
    pub fn next(&self, cursor: &str) -> String {
        let mut raw = self.binding.to_vec();
        raw.extend_from_slice(cursor.as_bytes());
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// One more than the size: what to ask the store for, to know whether a page follows.
    pub fn probe(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// Cuts a list that was fetched with [`Page::probe`] to the page, and gives the token of the
    /// next one; empty on the last page.
    pub fn cut<T>(&self, list: &mut Vec<T>, cursor_of: impl Fn(&T) -> String) -> String {
        if list.len() <= self.size {
            return String::new();
        }
        list.truncate(self.size);
        list.last().map(|last| self.next(&cursor_of(last))).unwrap_or_default()
    }
}

fn digest(binding: &[&str]) -> [u8; BINDING] {
    let mut hasher = Sha256::new();
    for part in binding {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let whole: [u8; 32] = hasher.finalize().into();
    let mut out = [0; BINDING];
    out.copy_from_slice(&whole[..BINDING]);
    out
}

fn cursor(token: &str, binding: [u8; BINDING]) -> Option<String> {
    let raw = URL_SAFE_NO_PAD.decode(token).ok()?;
    let cursor = raw.strip_prefix(binding.as_slice())?;
    String::from_utf8(cursor.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_only_its_own_list() {
        let list = ["devices", "labels.site = \"north\""];
        let first = Page::parse(2, "", &list).unwrap();
        let mut found = vec!["a", "b", "c"];
        let token = first.cut(&mut found, |id| (*id).to_owned());
        assert_eq!(found, ["a", "b"]);
        assert_eq!(Page::parse(2, &token, &list).unwrap().after.as_deref(), Some("b"));
        let other = Page::parse(2, &token, &["devices", ""]).unwrap_err();
        assert_eq!(other.reason, Reason::PageTokenInvalid);
        for broken in ["x", "!!", &token[1..]] {
            assert!(Page::parse(2, broken, &list).is_err(), "{broken}");
        }
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Page::parse(0, "", &[]).unwrap();
        assert_eq!(page.size, DEFAULT_SIZE);
        assert_eq!(page.cut(&mut vec![1, 2], ToString::to_string), "");
    }

    #[test]
    fn sizes() {
        for bad in [-1, 1001, i32::MIN, i32::MAX] {
            assert_eq!(Page::parse(bad, "", &[]).unwrap_err().reason, Reason::PageSizeInvalid, "{bad}");
        }
        assert_eq!(Page::parse(1000, "", &[]).unwrap().size, 1000);
    }
}
