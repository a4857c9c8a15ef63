//! Why a tracker could not be announced to, and why a torrent cannot be completed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use unchoke_metainfo::MetainfoError;
use unchoke_storage::StorageError;
use unchoke_tracker::{TrackerError, UrlError};

/// Why a torrent will never be complete.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorrentError {
    /// It was removed.
    #[error("the torrent was removed")]
    Removed,
    /// The info dictionary that peers sent has the right hash and describes no torrent that can be downloaded.
    #[error("the torrent's metadata cannot be used")]
    Metadata(#[source] Arc<MetainfoError>),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[source] Arc<StorageError>),
}

/// Why an announce came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The torrent, or the tracker with a redirect, names something that is no tracker's URL.
    #[error("not the url of a tracker")]
    Url(#[from] UrlError),
    /// The tracker's name cannot be looked up.
    #[error("cannot look up {host}")]
    Lookup {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The tracker does not take a connection at any of its addresses.
    #[error("cannot connect to {address}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no secure connection to the tracker.
    #[error("no secure connection")]
    Tls(#[from] TlsError),
    /// The URL is an `https` one, and this program was built without the feature `https`.
    #[error("built without the feature `https`")]
    HttpsDisabled,
    /// A tracker over HTTPS redirects to another protocol, over which the announce would be readable on its way.
    #[error("redirected from https to {0}")]
    Downgrade(String),
    /// More than three redirects in a row.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The tracker refused, or its answer makes no sense.
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    /// The connection broke.
    #[error("connection broke")]
    Io(#[from] io::Error),
    /// There was no answer within twenty seconds.
    #[error("no answer in time")]
    TimedOut,
}

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate leads to no root that is trusted.
    #[error("certificate of an unknown issuer")]
    UnknownIssuer,
    /// The certificate is for other names.
    #[error("certificate is not for {0}")]
    WrongName(String),
    /// The certificate has expired.
    #[error("certificate has expired")]
    Expired,
    /// The certificate is not valid yet; maybe the clock of this machine is wrong.
    #[error("certificate is not valid yet")]
    NotYetValid,
    /// Something else is wrong with a certificate.
    #[error("bad certificate")]
    Certificate(#[source] Box<dyn Error + Send + Sync>),
    /// The two sides do not agree, or the other one does not speak TLS.
    #[error("handshake failed")]
    Handshake(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke during the handshake.
    #[error("connection broke during the handshake")]
    Io(#[source] io::Error),
    /// The handshake was not over within ten seconds.
    #[error("handshake timed out")]
    TimedOut,
}
