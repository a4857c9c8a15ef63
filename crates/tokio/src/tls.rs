//! TLS ([RFC 8446], and 1.2), as a client.
//!
//! [RFC 8446]: https://www.rfc-editor.org/rfc/rfc8446

use crate::error::TlsError;
use crate::trust::client_config;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, Error};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Whom to trust.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Trusts the authorities that Mozilla trusts, and the given certificates in DER.
    pub(crate) fn new(roots: &[Vec<u8>]) -> Result<Self, TlsError> {
        let config = client_config(roots)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Shakes hands with `host`, a name or an address literal, for which the other side must have a certificate.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<TlsStream<S>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| TlsError::Handshake(error.into()))?;
        match tokio::time::timeout(HANDSHAKE, self.connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => match error.get_ref().and_then(|error| error.downcast_ref::<Error>()) {
                Some(reason) => Err(refusal(host, reason)),
                None => Err(TlsError::Io(error)),
            },
            Err(_) => Err(TlsError::TimedOut),
        }
    }
}

fn refusal(host: &str, reason: &Error) -> TlsError {
    use CertificateError as Bad;
    match reason {
        Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => TlsError::UnknownIssuer,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsError::WrongName(host.to_owned()),
            Bad::Expired | Bad::ExpiredContext { .. } => TlsError::Expired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsError::NotYetValid,
            _ => TlsError::Certificate(reason.clone().into()),
        },
        _ => TlsError::Handshake(reason.clone().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stalls_in_the_handshake_is_given_up() {
        let (near, _far) = tokio::io::duplex(64 * 1024);
        let begin = Instant::now();
        let result = Tls::new(&[]).unwrap().connect("tracker.example", near).await;
        assert!(matches!(result, Err(TlsError::TimedOut)), "{result:?}");
        assert_eq!(begin.elapsed(), HANDSHAKE);
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        assert!(matches!(Tls::new(&[b"-----BEGIN CERTIFICATE-----".to_vec()]), Err(TlsError::Certificate(_))));
    }
}
