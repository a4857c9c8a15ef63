//! Tracker URLs: `http`, `https` and `udp`, with [BEP 41] URL data for the latter and the scrape convention of [BEP 48].
//!
//! [BEP 41]: https://www.bittorrent.org/beps/bep_0041.html
//! [BEP 48]: https://www.bittorrent.org/beps/bep_0048.html

use std::fmt;
use std::net::Ipv6Addr;

/// Where a tracker is. A host is a name, an IPv4 literal, or an IPv6 literal without its brackets.
/// Only [`TrackerUrl::parse`] makes one, so that no part holds what would break a request line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TrackerUrl {
    /// Over HTTP.
    #[non_exhaustive]
    Http {
        /// The host.
        host: String,
        /// The port, 80 unless the URL says otherwise.
        port: u16,
        /// Path and query, starting with `/`.
        path_query: String,
    },
    /// Over HTTPS: the driver brings the TLS, the rest is as with HTTP.
    #[non_exhaustive]
    Https {
        /// The host.
        host: String,
        /// The port, 443 unless the URL says otherwise.
        port: u16,
        /// Path and query, starting with `/`.
        path_query: String,
    },
    /// Over UDP.
    #[non_exhaustive]
    Udp {
        /// The host.
        host: String,
        /// The port, which has no default.
        port: u16,
        /// Path and query as they stand in the URL, empty if there are none.
        url_data: String,
    },
}

/// What is wrong with a tracker URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlErrorKind {
    /// Longer than 2048 bytes.
    #[error("url is too long")]
    TooLong,
    /// Neither `http`, `https` nor `udp`.
    #[error("unknown scheme")]
    Scheme,
    /// No host, or one with characters that do not belong there.
    #[error("bad host")]
    Host,
    /// The brackets hold no IPv6 address.
    #[error("bad IPv6 literal")]
    Ipv6,
    /// Not a number from 1 to 65535, or missing where there is no default.
    #[error("bad port")]
    Port,
    /// A space, a control character or a byte beyond ASCII in path or query.
    #[error("bad byte in path or query")]
    Path,
}

/// A URL that names no tracker, and the byte at which that shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{kind} at byte {offset}")]
#[non_exhaustive]
pub struct UrlError {
    /// What is wrong.
    pub kind: UrlErrorKind,
    /// Where.
    pub offset: usize,
}

impl TrackerUrl {
    /// Reads a URL. A fragment is dropped; user names and passwords are refused.
    ///
    /// # Errors
    /// [`UrlError`] tells what is wrong and where.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let fail = |kind, offset| Err(UrlError { kind, offset });
        if url.len() > MAX_URL {
            return fail(UrlErrorKind::TooLong, MAX_URL);
        }
        let Some((scheme, after)) = url.split_once("://") else { return fail(UrlErrorKind::Scheme, 0) };
        let default_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => Some(80),
            "https" => Some(443),
            "udp" => None,
            _ => return fail(UrlErrorKind::Scheme, 0),
        };
        let host_at = scheme.len().saturating_add(3);
        let after = after.split('#').next().unwrap_or(after);
        let (authority, rest) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
        let rest_at = host_at.saturating_add(authority.len());
        let (host, port_part) = if let Some(inner) = authority.strip_prefix('[') {
            let Some((literal, tail)) = inner.split_once(']') else { return fail(UrlErrorKind::Ipv6, host_at) };
            if literal.parse::<Ipv6Addr>().is_err() {
                return fail(UrlErrorKind::Ipv6, host_at.saturating_add(1));
            }
            (literal, tail)
        } else {
            let (host, tail) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || host.len() > 253 {
                return fail(UrlErrorKind::Host, host_at);
            }
            if let Some(bad) = host.bytes().position(|byte| !plain(byte)) {
                return fail(UrlErrorKind::Host, host_at.saturating_add(bad));
            }
            (host, tail)
        };
        let port_at = rest_at.saturating_sub(port_part.len());
        let port = match (port_part.strip_prefix(':'), default_port) {
            (Some(digits), _) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|port| *port != 0)
            }
            (None, default) if port_part.is_empty() => default,
            _ => None,
        };
        let Some(port) = port else { return fail(UrlErrorKind::Port, port_at) };
        if let Some(bad) = rest.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return fail(UrlErrorKind::Path, rest_at.saturating_add(bad));
        }
        let host = host.to_ascii_lowercase();
        let path_query = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        Ok(match default_port {
            Some(80) => Self::Http { host, port, path_query },
            Some(_) => Self::Https { host, port, path_query },
            None => Self::Udp { host, port, url_data: rest.to_owned() },
        })
    }

    /// The host to look up: a name or an address literal.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Http { host, .. } | Self::Https { host, .. } | Self::Udp { host, .. } => host,
        }
    }

    /// The port to connect or send to.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Http { port, .. } | Self::Https { port, .. } | Self::Udp { port, .. } => *port,
        }
    }

    /// Where to scrape: over HTTP the last part of the path must start with `announce`, which becomes `scrape`; over UDP it is
    /// the same address.
    #[must_use]
    pub fn scrape(&self) -> Option<Self> {
        let derive = |path_query: &str| {
            let path_len = path_query.find('?').unwrap_or(path_query.len());
            let (path, query) = path_query.split_at(path_len);
            let (folder, last) = path.rsplit_once('/')?;
            let suffix = last.strip_prefix("announce")?;
            Some(format!("{folder}/scrape{suffix}{query}"))
        };
        Some(match self {
            Self::Http { host, port, path_query } => {
                Self::Http { host: host.clone(), port: *port, path_query: derive(path_query)? }
            }
            Self::Https { host, port, path_query } => {
                Self::Https { host: host.clone(), port: *port, path_query: derive(path_query)? }
            }
            Self::Udp { .. } => self.clone(),
        })
    }

    /// Host and port as they stand in a URL and in the `Host` header: brackets around IPv6, no default port.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host().contains(':') { format!("[{}]", self.host()) } else { self.host().to_owned() };
        match (self, self.port()) {
            (Self::Http { .. }, 80) | (Self::Https { .. }, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match self {
            Self::Http { path_query, .. } => ("http", path_query),
            Self::Https { path_query, .. } => ("https", path_query),
            Self::Udp { url_data, .. } => ("udp", url_data),
        };
        write!(f, "{scheme}://{}{rest}", self.authority())
    }
}

impl std::str::FromStr for TrackerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

const MAX_URL: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_displayed_as_it_was_read() {
        for url in [
            "http://tracker.example/announce",
            "http://tracker.example:6969/announce?passkey=1",
            "https://[2001:db8::1]:8443/a/announce.php",
            "udp://tracker.example:1337",
            "udp://10.0.0.1:1337/announce?x=y",
        ] {
            assert_eq!(TrackerUrl::parse(url).unwrap().to_string(), url);
        }
    }

    #[test]
    fn a_bad_url_is_refused_with_its_offset() {
        for (url, kind, offset) in [
            ("wss://a/", UrlErrorKind::Scheme, 0),
            ("tracker.example", UrlErrorKind::Scheme, 0),
            ("http:///announce", UrlErrorKind::Host, 7),
            ("http://user@host/", UrlErrorKind::Host, 11),
            ("http://[::1/", UrlErrorKind::Ipv6, 7),
            ("http://[::g]/", UrlErrorKind::Ipv6, 8),
            ("http://a:0/", UrlErrorKind::Port, 8),
            ("http://a:+80/", UrlErrorKind::Port, 8),
            ("http://a:65536/", UrlErrorKind::Port, 8),
            ("udp://a/announce", UrlErrorKind::Port, 7),
            ("http://a/b\r\nHost: c", UrlErrorKind::Path, 10),
        ] {
            assert_eq!(TrackerUrl::parse(url), Err(UrlError { kind, offset }), "{url}");
        }
    }

    #[test]
    fn the_scrape_address_follows_the_convention() {
        let scrape = |url: &str| TrackerUrl::parse(url).unwrap().scrape().map(|url| url.to_string());
        assert_eq!(scrape("http://a/announce"), Some("http://a/scrape".into()));
        assert_eq!(scrape("http://a/x/announce.php?y=/z"), Some("http://a/x/scrape.php?y=/z".into()));
        assert_eq!(scrape("http://a/a"), None);
        assert_eq!(scrape("udp://a:1"), Some("udp://a:1".into()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(http|https|udp|)(://)?[ -~]{0,60}|.{0,60}") {
            if let Ok(url) = TrackerUrl::parse(&text) {
                prop_assert_eq!(TrackerUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
