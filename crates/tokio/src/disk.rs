//! The pool of threads that hash, write, read and sync.

use crate::engine::{DiskJob, Engine};
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use unchoke_core::hash::lanes;
use unchoke_core::{DiskError, DiskOutcome, DiskWork, JobId};
use unchoke_storage::{Job, run_each};

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
    while let Some(batch) = take(jobs) {
        let mut outcomes = run_all(&batch).into_iter();
        let done: Vec<(JobId, DiskOutcome)> = batch
            .into_iter()
            .map(|DiskJob { job, work, store, under_way }| {
                let outcome = store.and_then(|_| outcomes.next());
                // The payload is let go before the engine counts it as let go.
                drop((work, under_way));
                (job, outcome.unwrap_or(DiskOutcome::Failed(DiskError::Missing)))
            })
            .collect();
        let Some(engine) = engine.upgrade() else { return };
        engine.handle_disk(done);
    }
}

/// The next job, and those that wait behind it, as long as all are pieces to be hashed. `None` if there will be no more.
fn take(jobs: &Mutex<Receiver<DiskJob>>) -> Option<Vec<DiskJob>> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = vec![jobs.recv().ok()?];
    while batch.len() < lanes()
        && matches!(batch.last(), Some(DiskJob { work: DiskWork::Store { .. }, .. }))
        && let Ok(next) = jobs.try_recv()
    {
        batch.push(next);
    }
    Some(batch)
}

/// The outcomes of the jobs that have a store.
fn run_all(batch: &[DiskJob]) -> Vec<DiskOutcome> {
    let mut jobs = Vec::with_capacity(batch.len());
    for it in batch {
        let store = it.store.as_ref();
        jobs.extend(store.map(|(store, info)| Job {
            store: store.as_ref(),
            geometry: info.geometry(),
            work: &it.work,
        }));
    }
    run_each(&jobs)
}
