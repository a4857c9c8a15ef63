//! What can go wrong between a client and a tracker.

use unchoke_bencode::Error as BencodeError;

/// Why an announce or a scrape came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackerError {
    /// The tracker answered and refused. Control characters are replaced and the text is cut to 256 characters.
    #[error("tracker refused: {0}")]
    FailureReason(String),
    /// The tracker answered with an HTTP status that is neither a success nor a redirect.
    #[error("http status {0}")]
    Status(u16),
    /// The body of the answer is not bencode.
    #[error("tracker's answer: {0}")]
    Bencode(#[from] BencodeError),
    /// The other side sent something that the protocol does not allow. The offset counts bytes of the stream, of the bencoded
    /// body or of the datagram in which the fault stands.
    #[error("malformed: {what} at byte {offset}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// The other side sent more than the limit allows.
    #[error("{what} is longer than {limit} bytes")]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The stream ended within a message.
    #[error("stream ended within a message, after {0} bytes")]
    Truncated(usize),
    /// No answer came in time.
    #[error("timed out")]
    TimedOut,
    /// The network says that the tracker cannot be reached.
    #[error("unreachable")]
    Unreachable,
    /// The URL names a protocol that this operation does not speak, or the tracker has no scrape address (BEP 48).
    #[error("the tracker's url does not allow this operation")]
    Unsupported,
    /// More info-hashes than one scrape has room for.
    #[error("{0} info-hashes do not fit one scrape")]
    TooManyHashes(usize),
}

impl TrackerError {
    pub(crate) fn malformed(what: &'static str, offset: usize) -> Self {
        Self::Malformed { what, offset }
    }

    pub(crate) fn failure(reason: &[u8]) -> Self {
        Self::FailureReason(sanitise(reason))
    }
}

/// A stranger's text made fit to print.
pub(crate) fn sanitise(text: &[u8]) -> String {
    let start = text.get(..MAX_TEXT.saturating_mul(4)).unwrap_or(text);
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(start).chars().take(MAX_TEXT).map(clean).collect()
}

const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_cut_and_cleaned() {
        assert_eq!(sanitise(b"no\x1b[31m\n"), "no\u{fffd}[31m\u{fffd}");
        assert_eq!(sanitise(&[b'a'; 5000]).len(), 256);
    }
}
