//! Three accounts pay each other through six channels while everything goes wrong that may: each byte is an action.
//!
//! | Invariant | Where it is checked |
//! |---|---|
//! | 1 conservation, 3 reservations are covered | `Chain::check`, after each transaction and block |
//! | 2 claims within the deposit, 8 and 10 nothing falls, 18 what is done stays | `Chain::submit` |
//! | 4 nobody loses more than it has signed or revealed, 12 and 13 at the ledger | `Run::check_ledger` |
//! | 16 what a watcher holds is claimed before the end | `Run::watch`, in half of the runs |
//! | 5 a payee gets what it held, 16 within the window, 17 the payer the rest, 28 nothing is left over, liveness | `Run::settle_all` |
//! | 6 no rounding, 14 keys | unit tests of `units`, `adjudicator` and `scheme` |
//! | 7, 24 one voucher for a number | `TestSigner`, wherever it signs |
//! | 9 and 8 at the payee: ticks and totals never fall | `Run::check_payees` |
//! | 11 numbers of records rise by one | `MemoryChannelStore::append` |
//! | 12 a changed bit changes nothing at the payee | `Run::forge` |
//! | 13 and 2 at the payee: what is of another channel, lower, too much or too late changes nothing | `Run::lie` |
//! | 15 heights at the boundary, 20 one extension | `Chain::check_times`, after each transaction |
//! | 19, 29 any order gives the same end | `Run::settle_all` |
//! | 22, 23 nothing is paid beyond the limit | `Run::check_ledger` |
//! | 25 what was receipted survives | `Run::check_payees` |
//! | 26, 27 a log and its snapshot give the same machine | `Node::restart` |
//! | 30 memory | `Node::restart`; lengths in `Run::carry_out`; by the allocator in `memory` |
//! | 21 the window, 31 the floor | of `unchoke-pay` and `unchoke-swarm` |

#![allow(clippy::unwrap_used, reason = "a run that cannot go on has failed")]
#![allow(dead_code, reason = "a test and a fuzz target use parts of it")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::large_enum_variant,
    clippy::manual_is_multiple_of,
    clippy::type_complexity,
    reason = "numbers are small, and a byte chooses"
)]

// The fuzz target of this name takes this file in, too.
#[path = "consistency/chain.rs"]
mod chain;
#[path = "consistency/keys.rs"]
mod keys;
#[path = "consistency/lies.rs"]
mod lies;
#[path = "consistency/node.rs"]
mod node;
#[cfg(test)]
#[path = "consistency/runs.rs"]
mod runs;
#[path = "consistency/settle.rs"]
mod settle;
#[path = "consistency/watch.rs"]
mod watch;

use chain::{Chain, DEPTH, DISPUTE};
use node::{Deed, Node, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use unchoke_token::channel::adjudicator::Phase;
use unchoke_token::channel::store::Failure;
use unchoke_token::channel::{Disposition, Event, Fault, Message, PayeePhase, PayerPhase, Session};
use unchoke_token::contract::{
    ChannelClaim, ChannelClose, ChannelFinish, ChannelOpen, ChannelTopUp, LaneClaim, VaultAllocate, VaultDeposit,
    VaultRelease, VaultReleaseFinish, VaultWithdraw, VaultWithdrawFinish,
};
use unchoke_token::ledger::Ledger as _;
use unchoke_token::voucher::Voucher;
use unchoke_token::{AssetId, ChannelId, Height, Lane, SchemeId, Seq, Signer as _, Units};

use watch::Watch;

const NODES: usize = 3;

/// Runs what the bytes say, and then puts everything right and settles.
///
/// # Panics
/// If an invariant is broken.
pub(crate) fn run(bytes: &[u8]) {
    let mut run = Run::new();
    if bytes.len() % 2 == 1 {
        run.watch = Some(Watch::new(run.nodes[2].signer.address()));
    }
    let mut bytes = bytes.iter().copied();
    while let Some(action) = bytes.next() {
        let mut next = || usize::from(bytes.next().unwrap_or(0));
        let (first, second) = (next(), next());
        run.act(action, first, second);
        run.work();
        run.check();
    }
    run.settle_all();
}

struct Run {
    chain: Chain,
    nodes: Vec<Node>,
    /// By the pair of nodes, the lower one first.
    links: BTreeMap<(usize, usize), Link>,
    last_session: u64,
    now: Instant,
    salt: u8,
    /// What was sent of each lane: the most that it is worth.
    sent: BTreeMap<(ChannelId, Lane), Units>,
    /// Channels whose payer has lost its log. What had gone out and did not arrive, it cannot know of any more.
    forgotten: BTreeSet<ChannelId>,
    /// Vouchers by the names that they were sent under.
    named: BTreeMap<(Session, usize, u16), Voucher>,
    /// What payees have sent receipts for.
    receipts: BTreeMap<(ChannelId, Lane), Units>,
    /// Claims that were good once.
    old: Vec<(ChannelId, Vec<LaneClaim>)>,
    /// A node that goes down when so many more messages were sent.
    kill: Option<(usize, usize)>,
    /// In half of the runs; in the others payees have to claim for themselves.
    watch: Option<Watch>,
}

#[derive(Default)]
struct Link {
    session: Option<Session>,
    /// To the lower node, and to the higher one; with the machine that they are from.
    queues: [VecDeque<(Role, Vec<u8>)>; 2],
}

fn units(units: usize) -> Units {
    Units::new(units as u64).unwrap()
}

impl Run {
    /// Accounts without channels.
    fn bare() -> Self {
        let nodes: Vec<_> = (0..NODES as u8).map(Node::new).collect();
        let signers: Vec<_> = nodes.iter().map(|it| it.signer.clone()).collect();
        let links = [(0, 1), (0, 2), (1, 2)].map(|pair| (pair, Link::default()));
        Self {
            chain: Chain::new(&signers),
            nodes,
            links: links.into(),
            last_session: 0,
            now: node::start(),
            salt: 0,
            sent: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            named: BTreeMap::new(),
            receipts: BTreeMap::new(),
            old: Vec::new(),
            kill: None,
            watch: None,
        }
    }

    fn new() -> Self {
        let mut run = Self::bare();
        for (payer, payee) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            if payer < payee {
                run.vault(payer, payee, 0, 200);
                run.vault(payer, payee, 1, 100);
            }
            // With little in them the limit is met soon.
            run.open(payer, payee, if payer < payee { 0 } else { [25, 150, 60][(payer + payee) % 3] });
        }
        run.work_and_sync();
        run.blocks(DEPTH + 1);
        [(0, 1), (0, 2), (1, 2)].into_iter().for_each(|pair| run.connect(pair));
        run.work_and_sync();
        run
    }

    fn act(&mut self, action: u8, first: usize, second: usize) {
        let pairs = [(0, 1), (0, 2), (1, 2)];
        let pair = pairs[first % 3];
        let node = first % NODES;
        let role = [Role::Payer, Role::Payee][second % 2];
        let (id, payer, payee) = self.pick(first);
        let lane = Lane::new((second % 2) as u32);
        match action % 32 {
            0..=2 => {
                let queue = &mut self.links.get_mut(&pair).unwrap().queues[second % 2];
                // Some come twice.
                if let Some(message) = queue.front().filter(|_| second % 16 >= 14).cloned() {
                    queue.push_front(message);
                }
                self.deliver(pair, second % 2);
            }
            3 => self.work_and_sync(),
            4 => self.disconnect(pair),
            5 => self.connect(pair),
            6 => self.nodes[node].logs[role as usize].sync(),
            7 => self.nodes[node].logs[role as usize].store.fail_after((second / 2 % 4) as u64, Failure::Once),
            8 => self.restart(node, role, second / 2),
            9 if second % 4 == 0 => self.lose(node),
            9 => self.lie(id, payer, payee, second / 4),
            10..=12 => {
                let value = [units(3), units(1), Units::ZERO][second / 2 % 3];
                let _ = self.nodes[payer].payer.arm(id, lane, units(second / 8 % 8), value);
            }
            13..=17 => drop(self.nodes[payer].payer.pay(id, lane, (second / 2 % 8) as u32)),
            18 | 19 => self.blocks(1),
            20 => self.blocks(second as u64 % (DISPUTE + 2)),
            21 => {
                let until = self.chain.height().saturating_add(second as u64 % 12);
                let _ = self.nodes[payee].payee.propose_close(id, until);
            }
            22 => {
                let close = ChannelClose { owner_address: self.owner(payer), channel: id.as_bytes().to_vec() };
                let close = self.chain.sign(payer, close);
                let _ = self.nodes[payer].payer.close(close);
                // The payee may be away all the while.
                self.nodes[payee].is_away |= second % 4 == 0;
                if second % 8 == 0 {
                    self.claim_late(id, payee);
                } else if second % 8 == 4 {
                    // Until it is over.
                    self.work_and_sync();
                    self.blocks(DISPUTE + 1);
                    let finish = ChannelFinish { owner_address: self.owner(payer), channel: id.as_bytes().to_vec() };
                    self.hand_in(payer, finish);
                }
            }
            23 => self.nodes[payee].payee.claim(id),
            24 => {
                let finish = ChannelFinish { owner_address: self.owner(node), channel: id.as_bytes().to_vec() };
                self.hand_in(node, finish);
            }
            25 => self.vault(payer, payee, second % 6, second / 6 + 1),
            26 if second % 4 == 0 => self.chain.reorganise(1 + first % DEPTH as usize, second % 8 == 0),
            27 => self.cheat(first, second),
            28 => self.forge(pair, first, second),
            29 => {
                self.nodes[node].refuses = second % 3 == 0;
                self.nodes[node].is_away = second % 5 == 0;
            }
            30 => match second % 4 {
                0 => self.open(payer, payee, [0, 20, 100][second / 4 % 3]),
                1 => {
                    let (owner_address, channel) = (self.owner(payer), id.as_bytes().to_vec());
                    let top_up = ChannelTopUp { owner_address, channel, amount: second as i64 };
                    let top_up = self.chain.sign(payer, top_up);
                    let _ = self.nodes[payer].payer.top_up(top_up);
                }
                2 => {
                    self.now += Duration::from_secs(1);
                    self.nodes[node].payee.handle_timeout(self.now);
                }
                _ => {
                    let snapshot = self.nodes[node].snapshot(role);
                    if self.nodes[node].logs[role as usize].is_quiet() {
                        self.nodes[node].logs[role as usize].replace(&snapshot);
                    }
                }
            },
            31 if second % 4 == 0 => self.spend_all(id, payer, payee),
            31 => {
                // The whole resend, twice in one session.
                if let Some(session) = self.link(payer, payee).session {
                    let _ = self.nodes[payer].payer.connect(id, session);
                }
            }
            _ => {}
        }
    }

    /// One of the channels that there are.
    fn pick(&self, number: usize) -> (ChannelId, usize, usize) {
        let is_live = |id: &ChannelId| self.nodes.iter().any(|it| it.payer.phase(id).is_some());
        let live: Vec<_> = self.chain.channels.iter().filter(|(id, _)| is_live(id)).collect();
        let all = if live.is_empty() { self.chain.channels.iter().collect() } else { live };
        let (id, open) = all[number % all.len()];
        (*id, self.account(&open.owner_address), self.account(&open.payee_address))
    }

    fn account(&self, address: &[u8]) -> usize {
        self.nodes.iter().position(|it| it.signer.address().as_bytes()[..] == *address).unwrap()
    }

    fn owner(&self, node: usize) -> Vec<u8> {
        self.nodes[node].signer.address().as_bytes().to_vec()
    }

    fn link(&mut self, one: usize, other: usize) -> &mut Link {
        self.links.get_mut(&(one.min(other), one.max(other))).unwrap()
    }

    fn hand_in(&mut self, by: usize, contract: impl Into<unchoke_token::Contract>) {
        let transaction = self.chain.sign(by, contract);
        self.chain.submit(&transaction);
    }

    fn open(&mut self, payer: usize, payee: usize, deposit: usize) {
        let (owner, other) = (self.owner(payer), self.owner(payee));
        let is_same = |open: &ChannelOpen| open.owner_address == owner && open.payee_address == other;
        let known: Vec<_> = self.chain.channels.iter().filter(|(_, open)| is_same(open)).map(|(id, _)| *id).collect();
        // One at a time, and not for ever.
        if known.len() > 3 || known.iter().any(|id| self.nodes[payer].payer.phase(id).is_some()) {
            return;
        }
        self.salt += 1;
        let open = ChannelOpen {
            owner_address: owner,
            payee_address: other,
            asset_name: b"_".to_vec(),
            deposit: deposit as i64,
            voucher_scheme: SchemeId::ED25519.get().into(),
            voucher_key: self.nodes[payer].signer.public_key(),
            salt: vec![self.salt; 16],
            ledger: self.chain.ledger.id().as_bytes().to_vec(),
            opened_at: self.chain.height().get().saturating_sub(DEPTH) as i64,
            dispute: DISPUTE as i64,
            ..ChannelOpen::default()
        };
        let transaction = self.chain.sign(payer, open.clone());
        if let Ok(id) = self.nodes[payer].payer.open(transaction) {
            self.chain.channels.insert(id, open);
        }
    }

    fn vault(&mut self, payer: usize, payee: usize, what: usize, amount: usize) {
        let (owner_address, payee_address, asset_name) = (self.owner(payer), self.owner(payee), b"_".to_vec());
        let amount = amount as i64;
        match what {
            0 => self.hand_in(payer, VaultDeposit { owner_address, asset_name, amount }),
            1 => self.hand_in(payer, VaultAllocate { owner_address, payee_address, asset_name, amount }),
            2 => self.hand_in(payer, VaultRelease { owner_address, payee_address, asset_name, amount }),
            3 => self.hand_in(payer, VaultReleaseFinish { owner_address, payee_address, asset_name }),
            4 => self.hand_in(payer, VaultWithdraw { owner_address, asset_name, amount }),
            _ => self.hand_in(payer, VaultWithdrawFinish { owner_address, asset_name }),
        }
    }

    fn connect(&mut self, (low, high): (usize, usize)) {
        self.disconnect((low, high));
        self.last_session += 1;
        let session = Session::new(self.last_session);
        self.link(low, high).session = Some(session);
        for (payer, payee) in [(low, high), (high, low)] {
            let ids: Vec<_> = self.nodes[payer].payer.channels().collect();
            let other = self.owner(payee);
            for id in ids.into_iter().filter(|id| self.chain.channels[id].payee_address == other) {
                self.nodes[payer].payer.connect(id, session).unwrap();
            }
        }
    }

    fn disconnect(&mut self, (low, high): (usize, usize)) {
        let link = std::mem::take(self.link(low, high));
        if let Some(session) = link.session {
            for node in [low, high] {
                self.nodes[node].payer.disconnect(session);
                self.nodes[node].payee.disconnect(session);
            }
        }
    }

    fn disconnect_all(&mut self, node: usize) {
        let pairs: Vec<_> = self.links.keys().copied().filter(|(low, high)| *low == node || *high == node).collect();
        pairs.into_iter().for_each(|pair| self.disconnect(pair));
    }

    fn restart(&mut self, node: usize, role: Role, keep: usize) {
        self.disconnect_all(node);
        let keep = [0, keep, usize::MAX][keep % 3];
        self.nodes[node].restart(role, keep);
        // What is over may have been forgotten before.
        let (chain, payee) = (&self.chain, &self.nodes[node].payee);
        let is_over = |id: &ChannelId| chain.ledger.channel(id).is_none_or(|it| it.phase() == Phase::Done);
        let owner = self.nodes[node].signer.address();
        let is_mine = |id: &ChannelId| chain.channels[id].payee_address == owner.as_bytes();
        self.receipts.retain(|(id, _), _| !is_mine(id) || payee.phase(id).is_some() || !is_over(id));
        self.check_payees();
        self.show(node);
    }

    /// The payer's log is lost.
    fn lose(&mut self, node: usize) {
        let height = self.chain.settled_view().height;
        if self.nodes[node].adopted.is_some_and(|at| at >= height) {
            return;
        }
        self.disconnect_all(node);
        self.forgotten.extend(self.nodes[node].payer.channels());
        self.nodes[node].lose();
        self.show(node);
    }

    /// Delivers one message.
    fn deliver(&mut self, pair: (usize, usize), to: usize) -> bool {
        let Some(link) = self.links.get_mut(&pair) else { return false };
        let Some(session) = link.session else { return false };
        let Some((from, bytes)) = link.queues[to].pop_front() else { return false };
        let node = [pair.0, pair.1][to];
        let outcome = self.hand_over(node, session, from, &bytes);
        if outcome == Err(Fault::Frozen) {
            self.link(pair.0, pair.1).queues[to].push_front((from, bytes));
            return false;
        }
        let struck = outcome.is_err_and(|fault| fault.disposition() == Disposition::Strike);
        if struck || self.poll_faults(node) {
            self.disconnect(pair);
        }
        true
    }

    fn hand_over(&mut self, node: usize, session: Session, from: Role, bytes: &[u8]) -> Result<(), Fault> {
        let message = Message::decode(bytes)?;
        match from {
            Role::Payer => self.nodes[node].payee.handle_message(self.now, session, message),
            Role::Payee => self.nodes[node].payer.handle_message(session, message, &keys::schemes()),
        }
    }

    /// Whether a payer has broken the protocol.
    fn poll_faults(&mut self, node: usize) -> bool {
        let payee = &mut self.nodes[node].payee;
        std::iter::from_fn(|| payee.poll_fault()).any(|(_, fault)| fault.disposition() == Disposition::Strike)
    }

    /// Seals so many blocks, and shows each node what is settled then.
    fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.chain.seal();
            for node in 0..NODES {
                if !self.nodes[node].is_away {
                    self.show(node);
                }
            }
            self.work();
            self.watch();
        }
    }

    fn show(&mut self, node: usize) {
        let view = self.chain.settled_view();
        let is_new = self.nodes[node].seen.map(|seen| view.height > seen);
        self.nodes[node].seen = self.nodes[node].seen.map(|seen| seen.max(view.height));
        let channels: Vec<_> = self.chain.channels.iter().map(|(id, open)| (*id, open.clone())).collect();
        for (id, open) in channels {
            let (payer, payee) = (self.account(&open.owner_address), self.account(&open.payee_address));
            let known = view.channels.get(&id);
            let limit = known.map(|it| self.limit(&view, it));
            if payer == node && is_new[0] {
                let is_live = known.is_some_and(|it| it.phase() != Phase::Done);
                if is_live && self.nodes[node].payer.phase(&id).is_none() {
                    let adopted = self.nodes[node].payer.adopt(view.height, open);
                    self.nodes[node].adopted = Some(view.height);
                    assert!(adopted.is_ok() || adopted == Err(Fault::Frozen), "{adopted:?}");
                }
                if let Some(limit) = limit.filter(|_| known.is_some_and(|it| it.deposit().is_none())) {
                    let _ = self.nodes[node].payer.set_limit(id, limit);
                }
                self.nodes[node].payer.handle_channel(view.height, id, known);
            }
            if payee == node && is_new[1] {
                let _ = self.nodes[node].payee.handle_channel(view.height, id, known, limit.unwrap_or_default());
            }
        }
    }

    /// What can be had of a channel.
    fn limit(&self, view: &chain::View, channel: &unchoke_token::channel::Channel) -> Units {
        let payer = self.account(channel.payer().as_bytes());
        let until = view.height.saturating_add(DISPUTE + 2 + 2 * DEPTH);
        let sure = view.vaults[payer].as_ref().map_or(Units::ZERO, |it| it.sure_for(&channel.payee(), until));
        channel.deposit().unwrap_or(channel.paid().checked_add(sure).unwrap())
    }

    /// Does what the machines ask for, as far as their logs allow.
    fn work(&mut self) {
        for node in 0..NODES {
            for role in [Role::Payer, Role::Payee] {
                loop {
                    let (chain, links) = (&mut self.chain, &self.links);
                    let peers: BTreeMap<_, _> =
                        chain.channels.iter().map(|(id, open)| (*id, open.owner_address.clone())).collect();
                    let owners: Vec<_> = self.nodes.iter().map(|it| it.signer.address()).collect();
                    let sessions = |id: ChannelId| {
                        let other = owners.iter().position(|it| it.as_bytes()[..] == peers[&id])?;
                        links[&(node.min(other), node.max(other))].session
                    };
                    let mut sign = |by: usize, contract| chain.sign(by, contract);
                    let Some(deed) = self.nodes[node].poll(role, &sessions, &mut sign) else { break };
                    self.carry_out(node, role, deed);
                }
            }
        }
    }

    fn carry_out(&mut self, node: usize, role: Role, deed: Deed) {
        match deed {
            Deed::Send(session, bytes) => {
                assert!(bytes.len() <= 4096, "a message of {} bytes", bytes.len());
                let found = self.links.iter_mut().find(|(_, link)| link.session == Some(session));
                let Some((pair, link)) = found else { return };
                let to = usize::from(pair.0 == node);
                link.queues[to].push_back((role, bytes.clone()));
                let pair = *pair;
                self.note(node, session, &Message::decode(&bytes).unwrap());
                if let Some((left, victim)) = &mut self.kill {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        let victim = *victim;
                        self.kill = None;
                        // What was sent has arrived.
                        while self.deliver(pair, to) {}
                        self.nodes[victim].logs.iter_mut().for_each(|disk| disk.store.crash());
                    }
                }
            }
            Deed::Submit(transaction) => {
                if let unchoke_token::Contract::ChannelClaim(claim) = &transaction.transaction().contract {
                    let id = ChannelId::new(claim.channel[..].try_into().unwrap());
                    self.old.push((id, claim.claims.clone()));
                }
                self.chain.submit(&transaction);
            }
            Deed::Event(Event::Opened(id)) if role == Role::Payer => {
                let payee = self.account(&self.chain.channels[&id].payee_address.clone());
                if let Some(session) = self.link(node, payee).session {
                    let _ = self.nodes[node].payer.connect(id, session);
                }
            }
            Deed::Event(Event::Settled { channel, .. }) if role == Role::Payee => {
                // An earlier state of the ledger may bring it back for a while, with nothing in it.
                self.receipts.retain(|(id, _), _| *id != channel);
                self.nodes[node].held.retain(|(id, _), _| *id != channel);
                self.nodes[node].credited.retain(|(id, _), _| *id != channel);
            }
            Deed::Event(Event::Credit { channel, lane, total }) => {
                let before = self.nodes[node].credited.insert((channel, lane), total);
                assert!(before.is_none_or(|before| before <= total), "credit falls");
                let sent = self.sent.get(&(channel, lane)).copied().unwrap_or_default();
                assert!(total <= sent, "more credited than sent");
            }
            Deed::Event(_) => {}
        }
    }

    /// What has left counts from now on.
    fn note(&mut self, node: usize, session: Session, message: &Message) {
        let worth = |voucher: &Voucher, index| voucher.value(index).unwrap();
        match message {
            Message::Voucher { alias, voucher } => {
                let voucher = voucher.voucher;
                self.named.insert((session, node, *alias), voucher);
                let sent = self.sent.entry((voucher.channel, voucher.lane)).or_default();
                *sent = (*sent).max(voucher.base);
            }
            Message::Tick { alias, tick } => {
                let voucher = self.named[&(session, node, *alias)];
                let sent = self.sent.entry((voucher.channel, voucher.lane)).or_default();
                *sent = (*sent).max(worth(&voucher, tick.index));
            }
            Message::Receipt { alias, seq, index, .. } => {
                let other = self.links.iter().find(|(_, link)| link.session == Some(session)).map(|(pair, _)| *pair);
                let other = other.map_or(0, |(low, high)| low + high - node);
                let Some(named) = self.named.get(&(session, other, *alias)) else { return };
                let (id, lane) = (named.channel, named.lane);
                let voucher = self.nodes[other].signer.voucher(id, lane, Seq::new(seq.get())).unwrap();
                let known = self.receipts.entry((id, lane)).or_default();
                *known = (*known).max(worth(&voucher, *index));
            }
            _ => {}
        }
    }

    fn check(&mut self) {
        self.check_ledger();
        self.check_payees();
    }

    fn check_ledger(&self) {
        for id in self.chain.channels.keys() {
            let Some(channel) = self.chain.ledger.channel(id) else { continue };
            let sent = |lane: Lane| self.sent.get(&(*id, lane)).copied().unwrap_or_default();
            let all: u64 = self.sent.iter().filter(|((of, _), _)| of == id).map(|(_, it)| it.get()).sum();
            assert!(channel.lanes().iter().all(|(lane, claimed)| *claimed <= sent(*lane)), "more claimed than sent");
            assert!(channel.claimed().get() <= all, "more claimed than sent");
            if let Some(deposit) = channel.deposit().filter(|_| !self.forgotten.contains(id)) {
                assert!(all <= deposit.get(), "more sent than there is");
            }
        }
    }

    fn check_payees(&mut self) {
        let (receipts, sent) = (&self.receipts, &self.sent);
        for node in &mut self.nodes {
            let ids: Vec<_> = node.payee.channels().collect();
            for id in ids {
                for lane in [Lane::new(0), Lane::new(1)] {
                    let held = node.payee.paid(&id, lane);
                    let receipt = receipts.get(&(id, lane)).copied().unwrap_or_default();
                    assert!(held >= receipt, "a receipt says {receipt}, {held} are held");
                    assert!(held <= sent.get(&(id, lane)).copied().unwrap_or_default(), "more held than sent");
                    let before = node.held.insert((id, lane), held);
                    assert!(before.is_none_or(|before| before <= held), "what is held falls");
                }
            }
        }
    }

    /// Does and delivers everything until nothing is left to do.
    fn work_and_sync(&mut self) {
        for _ in 0..1000 {
            self.revive();
            self.work();
            self.nodes.iter_mut().flat_map(|it| &mut it.logs).for_each(node::Disk::sync);
            self.work();
            let pairs: Vec<_> = self.links.keys().copied().collect();
            let mut is_quiet = true;
            for pair in pairs {
                for to in [0, 1] {
                    is_quiet &= !self.deliver(pair, to);
                }
            }
            if is_quiet && self.nodes.iter().all(|it| it.logs.iter().all(node::Disk::is_quiet)) {
                return;
            }
        }
    }

    /// Whatever is down starts again.
    fn revive(&mut self) {
        for node in 0..NODES {
            let down: Vec<_> = [Role::Payer, Role::Payee]
                .into_iter()
                .filter(|it| self.nodes[node].logs[*it as usize].store.is_down())
                .collect();
            for role in &down {
                let keep = self.nodes[node].logs[*role as usize].store.unsynced() / 2;
                self.restart(node, *role, keep);
            }
            if !down.is_empty() {
                self.links.keys().copied().collect::<Vec<_>>().into_iter().for_each(|pair| self.connect(pair));
            }
        }
    }
}
