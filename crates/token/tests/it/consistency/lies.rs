//! What people who want more than is theirs try.

use super::*;

impl Run {
    /// A message with a changed bit, beside the one that is on its way.
    pub(super) fn forge(&mut self, pair: (usize, usize), first: usize, second: usize) {
        let to = first / 3 % 2;
        let link = &self.links[&pair];
        let Some(((Role::Payer, bytes), session)) = link.queues[to].front().cloned().zip(link.session) else { return };
        let Ok(Message::Voucher { .. } | Message::Tick { .. }) = Message::decode(&bytes) else { return };
        let node = [pair.0, pair.1][to];
        // Names of lanes are the session's, and not signed.
        let unsigned = if bytes[0] >= 0x80 { 2 } else { 3 };
        let bit = unsigned * 8 + (first * 256 + second) % ((bytes.len() - unsigned) * 8);
        let mut bent = bytes;
        bent[bit / 8] ^= 1 << (bit % 8);
        // Vouchers that have come before are looked at first.
        self.drain_payee(node);
        let held = |run: &Self| run.chain.channels.keys().map(|id| run.nodes[node].payee.held(id)).collect::<Vec<_>>();
        let before = held(self);
        let _ = self.hand_over(node, session, Role::Payer, &bent);
        self.drain_payee(node);
        self.poll_faults(node);
        assert_eq!(held(self), before, "a changed bit changes nothing");
    }

    /// A payer signs what it should not. Its payee takes nothing of it.
    pub(super) fn lie(&mut self, id: ChannelId, payer: usize, payee: usize, kind: usize) {
        let Some(session) = self.link(payer, payee).session else { return };
        let lane = Lane::new((kind / 8 % 2) as u32);
        let held = |run: &Self| run.chain.channels.keys().map(|id| run.nodes[payee].payee.held(id)).collect::<Vec<_>>();
        self.drain_payee(payee);
        let (before, channels) = (held(self), self.nodes[payee].payee.channels().count());
        let (paid, all) = (self.nodes[payee].payee.paid(&id, lane), self.nodes[payee].payee.held(&id));
        let deposit = self.chain.ledger.channel(&id).and_then(|it| it.deposit());
        let voucher = |id, base| Voucher::new(id, lane, Seq::new(u64::MAX / 2), base);
        let voucher = match kind % 4 {
            // Less than was paid.
            0 if !paid.is_zero() => voucher(id, paid.saturating_sub(units(1))),
            // More than there is beside the other lane.
            1 => {
                let Some(deposit) = deposit else { return };
                let others = all.saturating_sub(paid);
                voucher(id, deposit.saturating_sub(others).max(paid).checked_add(units(1)).unwrap())
            }
            // It ends before it could be claimed.
            2 => voucher(id, paid).with_end(self.chain.settled_view().height),
            // Of a channel that nobody has.
            3 => voucher(ChannelId::new([kind as u8; 32]), units(1)),
            _ => return,
        };
        let signature = self.nodes[payer].signer.lie(&voucher);
        let voucher = unchoke_token::voucher::SignedVoucher::new(voucher, signature);
        let message = Message::Voucher { alias: 0x7fff, voucher };
        let _ = self.hand_over(payee, session, Role::Payer, &message.encode());
        self.drain_payee(payee);
        self.poll_faults(payee);
        assert_eq!(
            (held(self), self.nodes[payee].payee.channels().count()),
            (before, channels),
            "a lie changes nothing"
        );
    }

    /// Lets a payee look at what has come.
    fn drain_payee(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].payee.poll_output() {
            self.nodes[node].logs[1].keep(output);
        }
    }

    /// A payer pays all that it can in one lane and then in the other, and each time the ticks are lost and it starts again.
    pub(super) fn spend_all(&mut self, id: ChannelId, payer: usize, payee: usize) {
        for lane in [Lane::new(0), Lane::new(1)] {
            self.connect((payer.min(payee), payer.max(payee)));
            self.work_and_sync();
            let _ = self.nodes[payer].payer.arm(id, lane, Units::ZERO, units(3));
            self.work_and_sync();
            while self.nodes[payer].payer.pay(id, lane, 1).is_ok() {}
            self.work();
            self.nodes[payer].logs[0].sync();
            self.work();
            self.restart(payer, Role::Payer, 0);
        }
    }

    /// Somebody hands in, bit by bit and at the last moment, what a payee holds that is away.
    pub(super) fn claim_late(&mut self, id: ChannelId, payee: usize) {
        let deadline = |run: &Self| match run.chain.ledger.channel(&id).map(|it| it.phase()) {
            Some(Phase::Closing { deadline, .. }) => Some(deadline),
            _ => None,
        };
        self.work_and_sync();
        while deadline(self).is_some_and(|it| self.chain.height().saturating_add(2) < it) {
            self.blocks(1);
        }
        for claim in self.nodes[payee].payee.claims(&id) {
            for claim in [LaneClaim { tick: 0, preimage: Vec::new(), ..claim.clone() }, claim] {
                let (owner_address, channel) = (self.owner(payee), id.as_bytes().to_vec());
                self.hand_in(payee, ChannelClaim { owner_address, channel, claims: vec![claim] });
                self.blocks(1);
            }
        }
    }

    /// A claim that was good once is handed in by somebody.
    pub(super) fn cheat(&mut self, first: usize, second: usize) {
        if self.old.is_empty() {
            return;
        }
        let (id, mut claims) = self.old[(first * 256 + second) % self.old.len()].clone();
        let by = first % NODES;
        if second % 4 == 0 {
            // The payer gives the voucher an end: the block before the next one, this one, or the one after it.
            let signer = &self.nodes[self.account(&self.chain.channels[&id].owner_address)].signer;
            let end = Height::new(self.chain.height().get() + second as u64 / 4 % 3);
            for claim in &mut claims {
                let voucher = Voucher::from_bytes(&claim.voucher).unwrap().with_end(end);
                (claim.voucher, claim.signature) = (voucher.to_bytes().to_vec(), signer.lie(&voucher));
            }
        }
        let contract = ChannelClaim { owner_address: self.owner(by), channel: id.as_bytes().to_vec(), claims };
        self.hand_in(by, contract);
    }
}
