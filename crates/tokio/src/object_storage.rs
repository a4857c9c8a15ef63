//! Pieces in buckets: S3, Google Cloud Storage, Azure Blob Storage, or a folder that is used like one.

mod bucket;
mod connect;
mod run;
mod stage;
mod state;
mod torrent;

pub use connect::ObjectStorageError;

use bucket::{Bucket, Requests};
use connect::Target;
use object_store::ObjectStore;
use object_store::path::Path;
use std::fmt;
use std::sync::Arc;
use torrent::{Limits, ObjectTorrent};
use unchoke_metainfo::Info;
use unchoke_storage::{Storage, StorageError, TorrentStorage};

/// Keeps torrents in an object store.
///
/// The pieces of a torrent lie below its info-hash. Pieces that follow each other form groups, and a group becomes one object as soon as all of
/// it has hashed right. A sync puts what is right of other groups as smaller objects, which become part of the group's later and are then
/// deleted. Objects are never changed, and putting one again gives the same bytes, so a program that is killed at any request leaves nothing
/// wrong behind. What is listed, with the right length, is the resume data; there is no other state. Only one program at a time may write below
/// a URL.
///
/// What waits to be hashed or uploaded is in memory, up to a limit for each torrent. Beyond it writes wait for uploads, and what is not known to
/// be right lies in objects of its own for a while, whose names end with `.part`.
///
/// Each read is a request for the bytes of a block. Where peers are served, put an [`unchoke_storage::CachedStorage`] in front, which asks for
/// whole pieces. Requests that fail for reasons that may pass are tried a few times; then the store reports a failure, and the engine pauses and
/// tries again.
///
/// ```no_run
/// use unchoke_storage::CachedStorage;
/// use unchoke_tokio::ObjectStorage;
///
/// # fn example() -> Result<(), unchoke_tokio::ObjectStorageError> {
/// let bucket = ObjectStorage::builder("s3://bucket/torrents").environment().option("region", "eu-west-1").build()?;
/// let storage = CachedStorage::new(bucket, 64 << 20);
/// # Ok(())
/// # }
/// ```
pub struct ObjectStorage {
    requests: Arc<Requests>,
    store: Arc<dyn ObjectStore>,
    folder: Path,
    limits: Limits,
}

impl ObjectStorage {
    /// Begins with a URL: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `file:///folder`, or `memory:///`, which lasts as
    /// long as the value.
    pub fn builder(url: &str) -> ObjectStorageBuilder {
        let limits = Limits { group: 16 << 20, stage: 64 << 20, uploads: 4 };
        ObjectStorageBuilder { target: Target { url: url.to_owned(), ..Target::default() }, limits }
    }
}

impl Storage for ObjectStorage {
    fn open(&self, info: &Arc<Info>) -> Result<Arc<dyn TorrentStorage>, StorageError> {
        let folder = self.folder.clone().join(info.info_hashes().to_string());
        let bucket = Bucket { store: Arc::clone(&self.store), folder };
        Ok(Arc::new(ObjectTorrent::new(Arc::clone(&self.requests), bucket, info.geometry().clone(), self.limits)))
    }
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, folder, .. } = self;
        f.debug_struct("ObjectStorage").field("store", &store.to_string()).field("folder", &folder.as_ref()).finish()
    }
}

/// How an [`ObjectStorage`] is to be.
#[must_use]
pub struct ObjectStorageBuilder {
    target: Target,
    limits: Limits,
}

impl ObjectStorageBuilder {
    /// Sets an option of the store, by the name that object_store gives it: `region`, `endpoint`, `access_key_id` and `secret_access_key` of S3,
    /// `service_account` of Google, `account_name` and `access_key` of Azure, and so on. `allow_http` with `true` lets requests go in clear.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.target.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes options from the environment, too: `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and so
    /// on. Those that are set here count more.
    pub const fn environment(mut self) -> Self {
        self.target.environment = true;
        self
    }

    /// Trusts a certificate in DER beside the authorities that Mozilla trusts.
    pub fn root_certificate(mut self, der: Vec<u8>) -> Self {
        self.target.roots.push(der);
        self
    }

    /// Bytes of a group, 16 MiB unless set. Fewer, larger objects cost less; but whoever downloads in no order puts more pieces twice. A group
    /// is at least a piece, and at most half of what may be in memory.
    pub const fn group_len(mut self, bytes: u64) -> Self {
        self.limits.group = bytes;
        self
    }

    /// Bytes of a torrent that may be in memory, 64 MiB unless set. One piece may be in memory whatever its length, and while a group is put
    /// together from smaller objects, so is the group.
    pub const fn memory(mut self, bytes: usize) -> Self {
        self.limits.stage = bytes;
        self
    }

    /// Uploads of a torrent at a time, 4 unless set.
    pub const fn uploads(mut self, uploads: usize) -> Self {
        self.limits.uploads = uploads;
        self
    }

    /// Makes the store. No request is sent yet.
    ///
    /// # Errors
    /// If the URL or the options make no store.
    pub fn build(self) -> Result<ObjectStorage, ObjectStorageError> {
        let (store, folder) = connect::connect(&self.target)?;
        let requests = Arc::new(Requests::new().map_err(ObjectStorageError::Thread)?);
        Ok(ObjectStorage { requests, store, folder, limits: self.limits })
    }
}

impl fmt::Debug for ObjectStorageBuilder {
    /// Without the values of options, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&str> = self.target.options.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ObjectStorageBuilder")
            .field("url", &self.target.url)
            .field("options", &options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
