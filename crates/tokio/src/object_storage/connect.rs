//! From a URL and options to an object store.

use crate::error::TlsError;
use crate::trust::client_config;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{ClientOptions, HttpClient, HttpConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig};
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Why there is no object store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectStorageError {
    /// The URL is none, or leads to none of the stores that are known.
    #[error("not the url of an object store: {0}")]
    Url(String),
    /// The store has no such option.
    #[error("there is no option {0}")]
    Option(String),
    /// The options do not make a store: one is missing, or has a value that makes no sense.
    #[error("the options do not make a store")]
    Options(#[source] Box<dyn Error + Send + Sync>),
    /// A root certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread can be started.
    #[error("no thread for requests")]
    Thread(#[source] io::Error),
}

/// Where to, and how.
#[derive(Clone, Default)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) options: Vec<(String, String)>,
    pub(super) environment: bool,
    pub(super) roots: Vec<Vec<u8>>,
}

/// A store and the folder in it.
pub(super) fn connect(target: &Target) -> Result<(Arc<dyn ObjectStore>, Path), ObjectStorageError> {
    let wrong = || ObjectStorageError::Url(target.url.clone());
    let url = Url::parse(&target.url).map_err(|_| wrong())?;
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|_| wrong())?;
    let connector = || Ok::<_, ObjectStorageError>(Connector { tls: client_config(&target.roots)? });
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => {
            none(target)?;
            Arc::new(LocalFileSystem::new().with_fsync(true))
        }
        ObjectStoreScheme::Memory => {
            none(target)?;
            Arc::new(InMemory::new())
        }
        ObjectStoreScheme::AmazonS3 => {
            let new = if target.environment { AmazonS3Builder::from_env() } else { AmazonS3Builder::new() };
            let new = new.with_url(url).with_retry(retries()).with_http_connector(connector()?);
            let known = |key: &AmazonS3ConfigKey| match key {
                AmazonS3ConfigKey::Client(key) => passes(*key),
                _ => true,
            };
            let set = set(target, new, known, AmazonS3Builder::with_config)?;
            Arc::new(set.build().map_err(|error| ObjectStorageError::Options(error.into()))?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let empty = GoogleCloudStorageBuilder::new();
            let new = if target.environment { GoogleCloudStorageBuilder::from_env() } else { empty };
            let new = new.with_url(url).with_retry(retries()).with_http_connector(connector()?);
            let known = |key: &GoogleConfigKey| match key {
                GoogleConfigKey::Client(key) => passes(*key),
                _ => true,
            };
            let set = set(target, new, known, GoogleCloudStorageBuilder::with_config)?;
            Arc::new(set.build().map_err(|error| ObjectStorageError::Options(error.into()))?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let new = if target.environment { MicrosoftAzureBuilder::from_env() } else { MicrosoftAzureBuilder::new() };
            let new = new.with_url(url).with_retry(retries()).with_http_connector(connector()?);
            let known = |key: &AzureConfigKey| match key {
                AzureConfigKey::Client(key) => passes(*key),
                _ => true,
            };
            let set = set(target, new, known, MicrosoftAzureBuilder::with_config)?;
            Arc::new(set.build().map_err(|error| ObjectStorageError::Options(error.into()))?)
        }
        _ => return Err(wrong()),
    };
    Ok((store, path))
}

/// Demands that there are no options.
fn none(target: &Target) -> Result<(), ObjectStorageError> {
    target.options.first().map_or(Ok(()), |(key, _)| Err(ObjectStorageError::Option(key.clone())))
}

/// Sets the options.
fn set<B, K: std::str::FromStr>(
    target: &Target,
    builder: B,
    known: impl Fn(&K) -> bool,
    with: impl Fn(B, K, String) -> B,
) -> Result<B, ObjectStorageError> {
    target.options.iter().try_fold(builder, |builder, (name, value)| {
        let key = name.to_ascii_lowercase().parse().ok().filter(&known);
        let key = key.ok_or_else(|| ObjectStorageError::Option(name.clone()))?;
        Ok(with(builder, key, value.clone()))
    })
}

/// Whether our client heeds an option.
fn passes(key: ClientConfigKey) -> bool {
    key == ClientConfigKey::AllowHttp
}

/// A few tries within seconds; after that the engine is told, which pauses and tries again.
fn retries() -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(20) }
}

/// Makes clients with the TLS of this crate, so that no provider of the whole process is needed.
#[derive(Debug)]
struct Connector {
    tls: tokio_rustls::rustls::ClientConfig,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let is_allowed = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|it| it == "true");
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .https_only(!is_allowed)
            .user_agent(concat!("unchoke/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(REQUEST)
            .build();
        let client = client.map_err(|error| object_store::Error::Generic { store: "HTTP", source: error.into() })?;
        Ok(HttpClient::new(client))
    }
}

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a request may take with all its bytes: a group of 16 MiB at 64 KiB/s.
const REQUEST: Duration = Duration::from_secs(256);

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, options: &[(&str, &str)]) -> Target {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Target { url: url.to_owned(), options, ..Target::default() }
    }

    #[test]
    fn every_kind_of_url_leads_to_its_store_without_a_provider_of_the_process() {
        let s3 = [
            ("region", "eu-west-1"),
            ("aws_access_key_id", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
            ("allow_http", "true"),
        ];
        let azure = [("azure_storage_account_name", "a"), ("azure_storage_account_key", "YQ==")];
        for (url, options, name, folder) in [
            ("s3://bucket/some/prefix", &s3[..], "AmazonS3(bucket)", "some/prefix"),
            ("gs://bucket", &[("google_skip_signature", "true")], "GoogleCloudStorage(bucket)", ""),
            ("az://container/a%20b", &azure, "MicrosoftAzure { account: a, container: container }", "a b"),
            ("file:///some/folder", &[], "LocalFileSystem(file:///)", "some/folder"),
            ("memory:///", &[], "InMemory", ""),
        ] {
            let (store, path) = connect(&target(url, options)).unwrap();
            assert_eq!((store.to_string().as_str(), path.as_ref()), (name, folder));
        }
    }

    #[test]
    fn what_makes_no_store_is_told() {
        let refused = |url: &str, options: &[(&str, &str)]| connect(&target(url, options)).unwrap_err();
        for url in ["", "bucket", "ftp://bucket", "file://host/folder", "https://example.org/bucket"] {
            assert!(matches!(refused(url, &[]), ObjectStorageError::Url(told) if told == url), "{url}");
        }
        let unknown = |error| matches!(error, ObjectStorageError::Option(name) if name == "nonsense");
        assert!(
            unknown(refused("memory:///", &[("nonsense", "1")])) && unknown(refused("s3://b", &[("nonsense", "1")]))
        );
        assert!(matches!(refused("s3://b", &[("timeout", "1s")]), ObjectStorageError::Option(_)));
        assert!(matches!(refused("az://b", &[]), ObjectStorageError::Options(_)));
        let no_root = Target { roots: vec![b"x".to_vec()], ..target("s3://b", &[]) };
        assert!(matches!(connect(&no_root), Err(ObjectStorageError::Tls(_))));
    }
}
