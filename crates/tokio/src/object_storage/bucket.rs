//! The objects of one torrent, asked for by threads that may block.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutPayload};
use std::error::Error as _;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use tokio::runtime::{Builder, Runtime};
use unchoke_storage::{StorageError, StorageErrorKind};

/// A runtime for requests alone, so that they go on whatever the threads of the program wait for.
#[derive(Debug)]
pub(super) struct Requests(Option<Runtime>);

impl Requests {
    pub(super) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("unchoke-objects").enable_all().build();
        Ok(Self(Some(runtime?)))
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            // Nobody waits for it by its handle.
            drop(runtime.spawn(work));
        }
    }

    /// Waits for what a task gives.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (done, result) = mpsc::sync_channel(1);
        self.spawn(async move {
            // It fails if the waiting thread is gone.
            let _ = done.send(work.await);
        });
        result.recv().unwrap_or_else(|_| Err(StorageError::new(StorageErrorKind::Io)))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // Waiting is not allowed where the last store may be dropped.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Where the objects of a torrent lie.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) folder: Path,
}

impl Bucket {
    pub(super) async fn put(&self, name: &str, bytes: Vec<Bytes>) -> Result<(), StorageError> {
        let path = self.folder.clone().join(name);
        let put = self.store.put(&path, PutPayload::from_iter(bytes)).await;
        put.map(drop).map_err(|error| match error {
            // The bucket itself is not there, which no waiting cures.
            Error::NotFound { .. } => failure(&path, io::ErrorKind::PermissionDenied, error),
            error => classified(&path, error),
        })
    }

    pub(super) async fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let path = self.folder.clone().join(name);
        let wanted = range.end.saturating_sub(range.start);
        let bytes = self.store.get_range(&path, range).await.map_err(|error| classified(&path, error))?;
        if u64::try_from(bytes.len()) == Ok(wanted) {
            return Ok(bytes);
        }
        let error = io::Error::other(format!("{} bytes came instead of {wanted}", bytes.len()));
        Err(StorageError::io(&PathBuf::from(path.as_ref()), error))
    }

    /// What there is: names and lengths.
    pub(super) async fn list(&self) -> Result<Vec<(String, u64)>, StorageError> {
        let listed = self.store.list(Some(&self.folder)).try_filter_map(|object| {
            let name = object.location.prefix_match(&self.folder).and_then(|mut rest| rest.next());
            let name = name.map(|name| name.as_ref().to_owned());
            std::future::ready(Ok(name.map(|name| (name, object.size))))
        });
        listed.try_collect().await.map_err(|error| classified(&self.folder, error))
    }

    /// Deletes objects; one that is not there is as good as deleted. Returns those that are gone, and the first failure.
    pub(super) async fn delete(&self, names: Vec<String>) -> (Vec<String>, Result<(), StorageError>) {
        let (mut gone, mut result) = (Vec::new(), Ok(()));
        let mut deleted = stream::iter(names)
            .map(|name| async move {
                let path = self.folder.clone().join(name.as_str());
                match self.store.delete(&path).await {
                    Ok(()) | Err(Error::NotFound { .. }) => Ok(name),
                    Err(error) => Err(classified(&path, error)),
                }
            })
            .buffer_unordered(DELETES);
        while let Some(next) = deleted.next().await {
            match next {
                Ok(name) => gone.push(name),
                Err(error) => result = result.and(Err(error)),
            }
        }
        (gone, result)
    }
}

fn classified(path: &Path, error: Error) -> StorageError {
    let kind = kind(&error);
    failure(path, kind, error)
}

fn failure(path: &Path, kind: io::ErrorKind, error: Error) -> StorageError {
    StorageError::io(&PathBuf::from(path.as_ref()), io::Error::new(kind, error))
}

/// What a failure is to a store. Servers that are busy, broken or out of reach may be asked again.
fn kind(error: &Error) -> io::ErrorKind {
    if let Error::NotFound { .. } = error {
        return io::ErrorKind::NotFound;
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && LOCAL.contains(&io.kind())
        {
            return io.kind();
        }
        source = inner.source();
    }
    // The type that holds status and body has no public name.
    let text = error.to_string();
    if FULL.iter().any(|code| text.contains(code)) {
        return io::ErrorKind::StorageFull;
    }
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    }
}

/// What a file system says of itself.
const LOCAL: [io::ErrorKind; 5] = [
    io::ErrorKind::StorageFull,
    io::ErrorKind::QuotaExceeded,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::FileTooLarge,
];

/// How servers say that there is no room: a status (RFC 4918, 11.5), and codes of S3's kind.
const FULL: [&str; 4] =
    ["507 Insufficient Storage", "<Code>QuotaExceeded</Code>", "StorageFull</Code>", "InsufficientCapacity</Code>"];

/// Objects deleted at a time.
const DELETES: usize = 8;
