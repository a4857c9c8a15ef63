//! The pool of threads that hash, write, read and sync.

use crate::engine::{DiskJob, Engine};
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use unchoke_core::{DiskError, DiskOutcome};

/// Starts the threads. They end when the engine, which holds the other end of `jobs`, is dropped.
pub(crate) fn start(engine: &Arc<Engine>, jobs: Receiver<DiskJob>, threads: usize) -> io::Result<()> {
    let jobs = Arc::new(Mutex::new(jobs));
    for number in 0..threads {
        let (jobs, engine) = (Arc::clone(&jobs), Arc::downgrade(engine));
        std::thread::Builder::new().name(format!("unchoke-disk-{number}")).spawn(move || work(&jobs, &engine))?;
    }
    Ok(())
}

fn work(jobs: &Mutex<Receiver<DiskJob>>, engine: &Weak<Engine>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(DiskJob { job, work, store, under_way }) = next else { return };
        let outcome = match &store {
            Some((store, geometry)) => unchoke_storage::run(store.as_ref(), geometry, &work),
            None => DiskOutcome::Failed(DiskError::Missing),
        };
        // The payload is let go before the engine counts it as let go.
        drop((work, under_way));
        let Some(engine) = engine.upgrade() else { return };
        engine.handle_disk(job, outcome);
    }
}
