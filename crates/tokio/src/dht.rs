//! A handle to a node of the DHT that runs on tokio.

use crate::entropy::entropy;
use crate::udp::node::{NodePart, Work};
use crate::udp::{Command, Commands, Endpoint, Sockets};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use unchoke_core::keys::PublicKey;
use unchoke_dht::{Announcement, Config, DhtEvent, Health, Id, Item, MultiHomed, OpId, OpStats, Outcome};

/// The wait after no root's name could be looked up; it doubles each time.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// A node of the DHT, with its sockets and its clock. Clones are handles to the same node, which ends with the last of them and of the
/// operations.
///
/// ```no_run
/// use unchoke_dht::{Config, DhtEvent, Id};
/// use unchoke_tokio::Dht;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let dht = Dht::bind(Config::default(), &["0.0.0.0:6881".parse()?], ["192.0.2.1:6881"]).await?;
/// let mut search = dht.get_peers(Id::new([7; 20]));
/// while let Some(event) = search.next().await {
///     if let DhtEvent::Peers { peers, .. } = event {
///         println!("{peers:?}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dht {
    commands: Commands,
    locals: Arc<Vec<SocketAddr>>,
    bootstrapped: watch::Receiver<bool>,
}

/// Something that a [`Dht`] was asked to do. Dropping it cancels it.
pub struct DhtOperation {
    commands: Commands,
    /// Known once the node has begun.
    op: Arc<OnceLock<OpId>>,
    events: mpsc::UnboundedReceiver<DhtEvent>,
    is_done: bool,
}

/// Everything that came of an operation.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct DhtAnswer {
    /// Peers of the torrent, each once, in the order in which they were found.
    pub peers: Vec<SocketAddr>,
    /// The item; of a mutable one the newest.
    pub item: Option<Item>,
    /// What came of it.
    pub outcome: Outcome,
    /// What it cost.
    pub stats: OpStats,
}

/// Why something cannot be done with the DHT.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DhtError {
    /// The address cannot be bound.
    #[error("cannot bind {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system gave no entropy.
    #[error("the system refused entropy")]
    Entropy(#[source] io::Error),
    /// The client that the node belongs to has ended.
    #[error("the node has ended")]
    Ended,
}

impl Dht {
    /// Starts a node on `addresses` and joins the network through `roots`, each as `HOST:PORT`. With several addresses of one family there is
    /// a node for each, and announces go out from all of them ([`MultiHomed`]). While it runs, it is looked every five seconds whether the machine
    /// has moved to another network or has slept; then the node finds its neighbours anew. It does not wait for the network:
    /// [`bootstrapped`](Self::bootstrapped) does. Names are looked up again, ever less often, until one is known. Call it within a tokio
    /// runtime.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub async fn bind(
        config: Config,
        addresses: &[SocketAddr],
        roots: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, DhtError> {
        let sockets = Sockets::bind(addresses).map_err(|(address, source)| DhtError::Bind { address, source })?;
        let (node, bootstrapped) = node(config, &sockets).map_err(DhtError::Entropy)?;
        let locals = sockets.locals();
        let (endpoint, commands) = Endpoint::new(sockets, Some(node));
        tokio::spawn(endpoint.run());
        let dht = Self::new(commands, locals, bootstrapped);
        dht.bootstrap(roots);
        Ok(dht)
    }

    /// A handle to the node of an endpoint that exists.
    pub(crate) fn new(commands: Commands, locals: Vec<SocketAddr>, bootstrapped: watch::Receiver<bool>) -> Self {
        Self { commands, locals: Arc::new(locals), bootstrapped }
    }

    /// The addresses that the node is at.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.locals
    }

    /// Joins the network through more nodes, each as `HOST:PORT`.
    pub fn bootstrap(&self, roots: impl IntoIterator<Item = impl Into<String>>) {
        let roots: Vec<String> = roots.into_iter().map(Into::into).collect();
        if !roots.is_empty() {
            // Whatever is begun from now on waits for the first attempt.
            self.work(|part, _| part.handle_lookup());
            // The node must not live on only because a name cannot be looked up.
            tokio::spawn(bootstrap(self.commands.downgrade(), roots));
        }
    }

    /// Waits until the node knows the nodes around its id.
    ///
    /// # Errors
    /// If the node ends before.
    pub async fn bootstrapped(&self) -> Result<(), DhtError> {
        self.bootstrapped.clone().wait_for(|is| *is).await.map(drop).map_err(|_| DhtError::Ended)
    }

    /// Waits until the node has ended.
    pub(crate) async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Adds a node that may be there, such as a peer's `port` message tells of. It is asked first.
    pub fn add_node(&self, address: SocketAddr) {
        self.work(move |part, now| part.node.add_node(now, address));
    }

    /// Looks up the nodes nearest to a point.
    #[must_use = "dropping it cancels it"]
    pub fn find_node(&self, target: Id) -> DhtOperation {
        self.begin(move |node, now| node.find_node(now, target))
    }

    /// Looks up the peers of a torrent.
    #[must_use = "dropping it cancels it"]
    pub fn get_peers(&self, info_hash: Id) -> DhtOperation {
        self.begin(move |node, now| node.get_peers(now, info_hash, None))
    }

    /// Looks up the peers of a torrent and announces one.
    #[must_use = "dropping it cancels it"]
    pub fn announce(&self, info_hash: Id, announcement: Announcement) -> DhtOperation {
        self.begin(move |node, now| node.get_peers(now, info_hash, Some(announcement)))
    }

    /// Looks up how many peers and seeds a torrent has (BEP 33).
    #[must_use = "dropping it cancels it"]
    pub fn scrape(&self, info_hash: Id) -> DhtOperation {
        self.begin(move |node, now| node.scrape(now, info_hash))
    }

    /// Looks up an immutable item (BEP 44).
    #[must_use = "dropping it cancels it"]
    pub fn get(&self, target: Id) -> DhtOperation {
        self.begin(move |node, now| node.get_immutable(now, target))
    }

    /// Looks up the newest item of a key (BEP 44).
    #[must_use = "dropping it cancels it"]
    pub fn get_mutable(&self, key: &PublicKey, salt: &[u8]) -> DhtOperation {
        let (key, salt) = (*key, salt.to_vec());
        self.begin(move |node, now| node.get_mutable(now, &key, &salt))
    }

    /// Stores an item (BEP 44). With `cas`, only where the stored one has this sequence number.
    #[must_use = "dropping it cancels it"]
    pub fn put(&self, item: Item, cas: Option<i64>) -> DhtOperation {
        self.begin(move |node, now| node.put(now, item, cas))
    }

    /// Asks the nodes on the way to a point which torrents they know (BEP 51).
    #[must_use = "dropping it cancels it"]
    pub fn sample(&self, target: Id) -> DhtOperation {
        self.begin(move |node, now| node.sample_infohashes(now, target))
    }

    /// Asks one node for those that it knows nearest to a point: [`DhtEvent::Nodes`]. It is asked once, and nobody else is.
    #[must_use = "dropping it cancels it"]
    pub fn find_node_at(&self, at: SocketAddr, target: Id) -> DhtOperation {
        self.begin(move |node, now| node.find_node_at(now, at, target))
    }

    /// As [`find_node_at`](Self::find_node_at), and asks which torrents it knows (BEP 51). Some nodes refuse that.
    #[must_use = "dropping it cancels it"]
    pub fn sample_at(&self, at: SocketAddr, target: Id) -> DhtOperation {
        self.begin(move |node, now| node.sample_infohashes_at(now, at, target))
    }

    /// How the node fares.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn health(&self) -> Result<Health, DhtError> {
        self.ask(|node| node.health()).await
    }

    /// The nodes that it knows and that answer.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn nodes(&self) -> Result<Vec<(Id, SocketAddr)>, DhtError> {
        self.ask(|node| node.known()).await
    }

    /// About how many nodes the network has, as far as that is known.
    ///
    /// # Errors
    /// If the node has ended.
    pub async fn network_size(&self) -> Result<Option<f64>, DhtError> {
        self.ask(|node| node.network_size()).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&MultiHomed) -> T + Send + 'static,
    ) -> Result<T, DhtError> {
        let (answer, answered) = oneshot::channel();
        self.work(move |part, _| drop(answer.send(what(&part.node))));
        answered.await.map_err(|_| DhtError::Ended)
    }

    fn begin(&self, begin: impl FnOnce(&mut MultiHomed, Instant) -> OpId + Send + 'static) -> DhtOperation {
        let (sender, events) = mpsc::unbounded_channel();
        let op = Arc::new(OnceLock::new());
        let begun = Arc::clone(&op);
        let work: Work = Box::new(move |part, now| {
            // It may have been dropped while it waited.
            if !sender.is_closed() {
                let op = begin(&mut part.node, now);
                part.watch(op, sender);
                let _ = begun.set(op);
            }
        });
        self.work(move |part, now| part.begin(now, work));
        DhtOperation { commands: self.commands.clone(), op, events, is_done: false }
    }

    fn work(&self, work: impl FnOnce(&mut NodePart, Instant) + Send + 'static) {
        send(&self.commands, Box::new(work));
    }
}

/// A node for these sockets.
pub(crate) fn node(config: Config, sockets: &Sockets) -> io::Result<(NodePart, watch::Receiver<bool>)> {
    let locals = sockets.locals();
    Ok(NodePart::new(MultiHomed::new(&config, &locals, &entropy()?, Instant::now())))
}

/// An endpoint that has ended drops the work, and with it the channel on which its result is awaited.
fn send(commands: &Commands, work: Work) {
    let _ = commands.send(Command::Node(work));
}

async fn bootstrap(commands: mpsc::WeakUnboundedSender<Command>, mut roots: Vec<String>) {
    let mut wait = FIRST_RETRY;
    let mut is_first = true;
    loop {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        for root in roots {
            let known = tokio::net::lookup_host(root.as_str()).await.map(|addresses| found.extend(addresses));
            if known.is_err() {
                unknown.push(root);
            }
        }
        let Some(commands) = commands.upgrade() else { return };
        send(
            &commands,
            Box::new(move |part, now| {
                if !found.is_empty() {
                    part.node.bootstrap(now, &found);
                }
                if is_first {
                    part.handle_looked_up(now);
                }
            }),
        );
        is_first = false;
        drop(commands);
        if unknown.is_empty() {
            return;
        }
        roots = unknown;
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2).min(LAST_RETRY);
    }
}

impl DhtOperation {
    /// What happens next. The last event is [`DhtEvent::Done`]; after it, or when the node has ended, there is `None`.
    pub async fn next(&mut self) -> Option<DhtEvent> {
        let event = self.events.recv().await;
        self.is_done |= matches!(event, None | Some(DhtEvent::Done { .. }));
        event
    }

    /// Waits for the end and collects what was found.
    ///
    /// # Errors
    /// If the node ends before.
    pub async fn finish(mut self) -> Result<DhtAnswer, DhtError> {
        let (mut peers, mut known, mut newest) = (Vec::new(), std::collections::HashSet::new(), None);
        while let Some(event) = self.next().await {
            match event {
                DhtEvent::Peers { peers: found, .. } => peers.extend(found.into_iter().filter(|it| known.insert(*it))),
                DhtEvent::Item { item, .. } => newest = Some(item),
                DhtEvent::Done { outcome, stats, .. } => {
                    return Ok(DhtAnswer { peers, item: newest, outcome, stats });
                }
                _ => {}
            }
        }
        Err(DhtError::Ended)
    }
}

impl Drop for DhtOperation {
    fn drop(&mut self) {
        if !self.is_done {
            // Commands are carried out in their order, so by then it has begun, or it never will.
            let op = Arc::clone(&self.op);
            send(
                &self.commands,
                Box::new(move |part, now| op.get().into_iter().for_each(|op| part.node.cancel(now, *op))),
            );
        }
    }
}

impl fmt::Debug for Dht {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dht").field("locals", &self.locals).finish_non_exhaustive()
    }
}

impl fmt::Debug for DhtOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DhtOperation").field("op", &self.op.get()).finish_non_exhaustive()
    }
}
