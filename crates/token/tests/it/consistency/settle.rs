//! The end of a run: everything is put right, and everybody gets what is theirs.

use super::*;

impl Run {
    /// Everything works again.
    pub(super) fn settle_all(&mut self) {
        for node in &mut self.nodes {
            (node.refuses, node.is_away) = (false, false);
            // A failure that was planned and has not come does not come.
            node.logs.iter_mut().for_each(|disk| disk.store.fail_after(u64::MAX, Failure::Once));
        }
        self.revive();
        for payer in 0..NODES {
            for payee in (0..NODES).filter(|it| *it != payer) {
                self.vault(payer, payee, 0, 20_000);
                self.vault(payer, payee, 1, 10_000);
            }
        }
        // Who was away until the time for claims was nearly over has lost what it held.
        let in_time = self.chain.height().saturating_add(DEPTH + 4);
        let can_claim = |id: &ChannelId| match self.chain.ledger.channel(id).map(|it| it.phase()) {
            Some(Phase::Closing { deadline, .. }) => deadline > in_time,
            Some(Phase::Done) => false,
            _ => true,
        };
        let sure: BTreeSet<_> = self.chain.channels.keys().copied().filter(can_claim).collect();
        // Totals that were agreed on lapse, or are handed in.
        for _ in 0..8 {
            self.blocks(3);
            self.work_and_sync();
        }
        for _ in 0..2 {
            self.links.keys().copied().collect::<Vec<_>>().into_iter().for_each(|pair| self.connect(pair));
            self.work_and_sync();
        }
        assert!(self.links.values().all(|it| it.session.is_some()), "honest nodes stay connected");
        self.pay_once_more();
        self.check();
        self.close_all(&sure);
        self.check();
    }

    /// Each channel that is open on both sides can still pay.
    fn pay_once_more(&mut self) {
        let known: Vec<_> = self.chain.channels.iter().map(|(id, open)| (*id, open.clone())).collect();
        for (id, open) in known {
            let (payer, payee) = (self.account(&open.owner_address), self.account(&open.payee_address));
            let phases = (self.nodes[payer].payer.phase(&id), self.nodes[payee].payee.phase(&id));
            let on_ledger = self.chain.ledger.channel(&id).map(|it| it.phase());
            if on_ledger != Some(Phase::Open) {
                continue;
            }
            assert_eq!(phases, (Some(PayerPhase::Open), Some(PayeePhase::Open)));
            for lane in [Lane::new(0), Lane::new(1)] {
                match self.nodes[payer].payer.arm(id, lane, Units::ZERO, units(1)) {
                    Ok(()) => {}
                    Err(Fault::Funds { .. }) => continue,
                    other => panic!("{other:?}"),
                }
                self.work_and_sync();
                match self.nodes[payer].payer.pay(id, lane, 1) {
                    Ok(()) => {}
                    Err(Fault::Funds { .. }) => continue,
                    other => panic!("{other:?}"),
                }
                self.work_and_sync();
                let held = self.nodes[payee].payee.paid(&id, lane);
                assert_eq!(held, self.nodes[payer].payer.paid(&id, lane), "a tick arrives");
            }
        }
    }

    fn close_all(&mut self, sure: &BTreeSet<ChannelId>) {
        let known: Vec<_> = self.chain.channels.iter().map(|(id, open)| (*id, open.clone())).collect();
        let mut held = BTreeMap::new();
        for (id, open) in &known {
            let (payer, payee) = (self.account(&open.owner_address), self.account(&open.payee_address));
            if self.chain.ledger.channel(id).is_some_and(|it| it.phase() != Phase::Done) {
                held.insert(*id, self.nodes[payee].payee.held(id));
            }
            if self.nodes[payer].payer.phase(id) == Some(PayerPhase::Open) {
                let close = ChannelClose { owner_address: self.owner(payer), channel: id.as_bytes().to_vec() };
                let close = self.chain.sign(payer, close);
                self.nodes[payer].payer.close(close).unwrap();
            }
        }
        for _ in 0..DISPUTE + 4 {
            self.blocks(1);
            self.work_and_sync();
        }
        for (id, held) in held {
            let channel = self.chain.ledger.channel(&id).unwrap();
            let due = channel.deposit().map_or(held, |it| it.min(held));
            assert!(
                !sure.contains(&id) || channel.claimed() >= due,
                "{held} were held, {} are claimed",
                channel.claimed()
            );
            assert_eq!(channel.unpaid(), Units::ZERO);
            let finish = ChannelFinish { owner_address: self.owner(0), channel: id.as_bytes().to_vec() };
            self.hand_in(0, finish);
        }
        for _ in 0..20 {
            self.blocks(1);
            self.work_and_sync();
        }
        let ledger = &self.chain.ledger;
        assert!(known.iter().all(|(id, _)| ledger.channel(id).is_none()), "channels are over and forgotten");
        let watched = self.watch.as_ref().map_or(0, |it| it.watcher.channels().count());
        assert_eq!(watched, 0, "the watcher forgets what is over");
        for node in &self.nodes {
            assert_eq!((node.payer.channels().count(), node.payee.channels().count()), (0, 0), "nothing is left over");
            assert!(node.logs.iter().all(node::Disk::is_quiet));
            let vault = ledger.vault(&node.signer.address(), AssetId::NATIVE);
            let mine = self.chain.balance(&node.signer.address()) + vault.map_or(0, |it| it.total().get());
            let out: u64 = self.sum(|open| open.owner_address == node.signer.address().as_bytes());
            assert!(mine + out >= 1_000_000, "an account has lost more than it has sent");
        }
    }

    fn sum(&self, of: impl Fn(&ChannelOpen) -> bool) -> u64 {
        let sent = self.sent.iter().filter(|((id, _), _)| of(&self.chain.channels[id]));
        sent.map(|(_, it)| it.get()).sum()
    }
}
