//! A piece picker of one's own: the ends of the torrent first, because many containers of film keep their index in the first or the last
//! bytes, and then everything else, inwards to the middle.
//!
//! The order of pieces is all that the picker decides. Which blocks are free, asked for or here is kept by `picker::Blocks`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unchoke_core::{Block, Geometry, PieceIndex};
use unchoke_examples::{Failure, generate, no_arguments, run, say};
use unchoke_storage::{FileStorage, MemoryStorage};
use unchoke_swarm::picker::{Availability, BlockState, Blocks, PickFor, PieceState};
use unchoke_swarm::{PeerKey, PiecePicker};
use unchoke_tokio::{AddTorrent, Client};

/// The pieces in the order in which they were started, without those that the seed allowed while it choked us, where there is no choice.
type Log = Arc<Mutex<Vec<PieceIndex>>>;

/// First and last piece, second and last but one, and so on towards the middle.
struct EndsFirst {
    blocks: Blocks,
    /// Missing pieces that are not started, by their distance from the nearer end.
    open: BTreeSet<(u32, PieceIndex)>,
    started: Log,
}

impl EndsFirst {
    fn new(geometry: Geometry, started: Log) -> Self {
        let open = geometry.pieces().map(|piece| (distance(&geometry, piece), piece)).collect();
        Self { blocks: Blocks::new(geometry), open, started }
    }
}

fn distance(geometry: &Geometry, piece: PieceIndex) -> u32 {
    let from_end = geometry.piece_count().saturating_sub(1).saturating_sub(piece.0);
    piece.0.min(from_end)
}

impl PiecePicker for EndsFirst {
    // The order does not depend on who has what.
    fn handle_availability(&mut self, _peer: PeerKey, _change: Availability<'_>) {}

    fn handle_block(&mut self, peer: PeerKey, block: Block, state: BlockState) {
        self.blocks.handle_block(peer, block, state);
    }

    fn handle_piece(&mut self, piece: PieceIndex, state: PieceState) {
        self.blocks.forget(piece);
        let place = (distance(self.blocks.geometry(), piece), piece);
        if state == PieceState::Settled {
            self.open.remove(&place);
        } else {
            self.open.insert(place);
        }
    }

    fn pick(&mut self, _now: Instant, ask: PickFor<'_>, budget: usize, out: &mut Vec<Block>) {
        let (before, limit) = (out.len(), out.len().saturating_add(budget));
        self.blocks.pick_any(ask, budget, out);
        while out.len() < limit {
            let next = self.open.iter().find(|(_, piece)| ask.may_ask(*piece)).copied();
            let Some(place) = next else { break };
            self.open.remove(&place);
            if ask.allowed_fast.is_none() {
                self.started.lock().unwrap_or_else(PoisonError::into_inner).push(place.1);
            }
            self.blocks.start(place.1, ask.peer, false);
            self.blocks.pick_in(place.1, ask.peer, limit.saturating_sub(out.len()), out);
        }
        // Endgame, when there is nothing else to ask for.
        if out.len() == before && self.open.is_empty() {
            self.blocks.pick_asked(ask, budget, out);
        }
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::failed(&error)
}

#[tokio::main]
async fn main() -> ExitCode {
    run("custom_picker", start().await)
}

async fn start() -> Result<(), Failure> {
    no_arguments()?;
    let folder = tempfile::tempdir().map_err(failed)?;
    let content = generate(folder.path(), "sample", &[5 << 20, 300_000], |builder| builder).map_err(failed)?;
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let seed = Client::builder().listen(local).build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, FileStorage::read_only(folder.path()));
    seed.add(add).await.map_err(failed)?.completed().await.map_err(failed)?;

    let started = Log::default();
    let log = Arc::clone(&started);
    let client = Client::builder().build().await.map_err(failed)?;
    let add = AddTorrent::from_metainfo(&content.metainfo, MemoryStorage::new())
        .picker(Box::new(move |geometry, _| Box::new(EndsFirst::new(geometry, log))))
        .peers(seed.local_addr());
    let torrent = client.add(add).await.map_err(failed)?;
    let completed = tokio::time::timeout(Duration::from_secs(60), torrent.completed()).await;
    completed.map_err(|_| Failure::Failed("the download took more than a minute".into()))?.map_err(failed)?;
    client.shutdown().await.map_err(failed)?;

    let order = started.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let geometry = content.metainfo.info().geometry();
    let distances: Vec<u32> = order.iter().map(|piece| distance(geometry, *piece)).collect();
    say(format_args!(
        "{} pieces were started, the first six: {:?}",
        order.len(),
        order.iter().take(6).map(|it| it.0).collect::<Vec<_>>()
    ))?;
    if distances.is_sorted() && order.len() > geometry.piece_count() as usize / 2 {
        Ok(())
    } else {
        Err(Failure::Failed("the pieces were not started from the ends".into()))
    }
}
