//! Whom to trust over TLS.

use crate::error::TlsError;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Trusts the authorities that Mozilla trusts, and the given certificates in DER.
pub(crate) fn client_config(roots: &[Vec<u8>]) -> Result<ClientConfig, TlsError> {
    let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in roots {
        store.add(CertificateDer::from_slice(root)).map_err(|error| TlsError::Certificate(error.into()))?;
    }
    // The provider of the whole process belongs to the program, so ours is named here.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Handshake(error.into()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}
