//! An object store that fails when it is told to.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Which requests fail, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The first one, counted from 0.
    pub(super) request: u32,
    pub(super) when: When,
    /// How many fail.
    pub(super) lasts: u32,
}

/// When the first request fails; all others fail before they do anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// Before it does anything.
    Before,
    /// After it was done: only the answer is lost.
    After,
}

#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<InMemory>,
    fault: Fault,
    requests: Arc<AtomicU32>,
}

impl Faulty {
    pub(super) fn new(inner: Arc<InMemory>, fault: Fault) -> Self {
        Self { inner, fault, requests: Arc::default() }
    }

    /// Whether a request has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > self.fault.request
    }

    /// Whether the next request fails: not at all, or before or after it is done.
    fn next(&self) -> Option<When> {
        let past = self.requests.fetch_add(1, Ordering::SeqCst).checked_sub(self.fault.request)?;
        match past {
            0 => Some(self.fault.when),
            past => (past < self.fault.lasts).then_some(When::Before),
        }
    }

    async fn request<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let fails = self.next();
        if fails == Some(When::Before) {
            return Err(failure());
        }
        let result = work.await;
        if fails == Some(When::After) { Err(failure()) } else { result }
    }
}

fn failure() -> Error {
    Error::Generic { store: "Faulty", source: "out of order".into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.request(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(failure())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Self { inner: Arc::clone(&self.inner), fault: self.fault, requests: Arc::clone(&self.requests) };
        let this = Arc::new(this);
        let delete = move |location: Result<Path>| {
            let this = Arc::clone(&this);
            async move {
                let location = location?;
                this.request(this.inner.delete(&location)).await.map(|()| location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next() {
            Some(_) => stream::once(async { Err(failure()) }).boxed(),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(failure())
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failure())
    }
}
