//! Asks every node of a network for the nodes and torrents that it knows.

use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use unchoke_core::Seed;
use unchoke_dht::crawl::Question;
use unchoke_dht::{Crawl, DhtEvent, Id, OpStats};
use unchoke_examples::{Failure, say, tell};
use unchoke_tokio::{Dht, DhtOperation};

/// How long the first answer is waited for, unless a time is given.
const JOIN: Duration = Duration::from_secs(30);
/// Nodes that are asked at a time.
const AT_ONCE: usize = 48;
/// It ends after so many answers for each node without anything new.
const QUIET: usize = 4;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// What a node has said.
#[derive(Default)]
struct Answer {
    /// `None` if it has not answered.
    nodes: Option<Vec<(Id, SocketAddr)>>,
    info_hashes: Vec<Id>,
    /// Queries that it took.
    sent: u32,
    timeouts: u32,
}

/// What was found and told.
struct Found {
    crawl: Crawl,
    nodes: HashSet<SocketAddr>,
    torrents: HashSet<Id>,
    queries: u32,
    json: bool,
}

/// Goes on until there is nothing new, or until the time is over.
pub(crate) async fn run(dht: &Dht, time: Option<Duration>, json: bool) -> Result<(), Failure> {
    let ended = |error: unchoke_tokio::DhtError| Failure::failed(&error);
    let begin = Instant::now();
    let joined = tokio::time::timeout(time.unwrap_or(JOIN), dht.bootstrapped());
    joined.await.map_err(|_| Failure::Failed("no node has answered".into()))?.map_err(ended)?;
    let crawl = Crawl::new(&Seed::new(rand::random()));
    let mut found = Found { crawl, nodes: HashSet::new(), torrents: HashSet::new(), queries: 0, json };
    for (_, address) in dht.nodes().await.map_err(ended)? {
        found.crawl.add(address);
    }
    let walk = walk(dht, &mut found, begin);
    // What is not done when the time is over is dropped, which cancels it.
    let is_complete = match time {
        Some(time) => match tokio::time::timeout(time.saturating_sub(begin.elapsed()), walk).await {
            Ok(walked) => walked.map(|()| true)?,
            Err(_) => false,
        },
        None => walk.await.map(|()| true)?,
    };
    let size = dht.network_size().await.map_err(ended)?;
    let (nodes, torrents, seconds) = (found.nodes.len(), found.torrents.len(), begin.elapsed().as_secs_f64());
    if json {
        return say(json!({
            "nodes": nodes, "told_of": found.crawl.known(), "info_hashes": torrents, "queries": found.queries,
            "seconds": seconds, "complete": is_complete, "network_size": size,
        }));
    }
    found.tell_progress(begin);
    tell(if is_complete { "nothing new comes" } else { "the time is over, and there is more to ask" });
    Ok(())
}

async fn walk(dht: &Dht, found: &mut Found, begin: Instant) -> Result<(), Failure> {
    let mut asking = JoinSet::new();
    let mut progress = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    loop {
        while asking.len() < AT_ONCE
            && !found.is_quiet()
            && let Some(question) = found.crawl.poll_question()
        {
            asking.spawn(ask(dht.clone(), question));
        }
        tokio::select! {
            answered = asking.join_next() => match answered {
                Some(answered) => {
                    let (question, answer) = answered.map_err(|error| Failure::failed(&error))?;
                    found.handle_answer(dht, question, answer)?;
                }
                None => return Ok(()),
            },
            _ = progress.tick() => found.tell_progress(begin),
        }
    }
}

/// Puts a question to a node; with the first one it is asked for its torrents, too.
async fn ask(dht: Dht, question: Question) -> (Question, Answer) {
    let (at, target) = (question.at, question.target);
    let mut answer = Answer::default();
    if question.is_first() {
        answer.take(dht.sample_at(at, target)).await;
        if answer.nodes.is_some() || answer.timeouts > 0 {
            return (question, answer);
        }
        // It has refused, as it does not know of samples.
    }
    answer.take(dht.find_node_at(at, target)).await;
    (question, answer)
}

impl Answer {
    async fn take(&mut self, mut operation: DhtOperation) {
        while let Some(event) = operation.next().await {
            match event {
                DhtEvent::Nodes { nodes, .. } => self.nodes = Some(nodes),
                DhtEvent::Samples { info_hashes, .. } => self.info_hashes = info_hashes,
                DhtEvent::Done { stats, .. } => self.count(&stats),
                _ => {}
            }
        }
    }

    fn count(&mut self, stats: &OpStats) {
        self.sent = self.sent.saturating_add(stats.sent);
        self.timeouts = self.timeouts.saturating_add(stats.timeouts);
    }
}

impl Found {
    /// Programs are told of each node and torrent, people of each torrent.
    fn handle_answer(&mut self, dht: &Dht, question: Question, answer: Answer) -> Result<(), Failure> {
        let at = question.at;
        self.queries = self.queries.saturating_add(answer.sent);
        let Some(nodes) = answer.nodes else {
            self.crawl.handle_failure(question);
            return Ok(());
        };
        self.crawl.handle_nodes(question, &nodes);
        // Others tell us of ourselves, too.
        if !dht.local_addrs().contains(&at) && self.nodes.insert(at) && self.json {
            say(json!({ "node": at }))?;
        }
        for hash in answer.info_hashes.into_iter().filter(|hash| self.torrents.insert(*hash)) {
            let hash = hash.to_string();
            if self.json { say(json!({ "info_hash": hash, "from": at }))? } else { say(hash)? }
        }
        Ok(())
    }

    fn is_quiet(&self) -> bool {
        self.crawl.quiet() > self.nodes.len().saturating_mul(QUIET)
    }

    fn tell_progress(&self, begin: Instant) {
        let (nodes, told_of, torrents) = (self.nodes.len(), self.crawl.known(), self.torrents.len());
        tell(format_args!(
            "{nodes} nodes of {told_of} that were told of, {torrents} info-hashes, {} queries in {:.0} s",
            self.queries,
            begin.elapsed().as_secs_f64()
        ));
    }
}
