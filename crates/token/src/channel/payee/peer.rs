//! What payers say to a payee.

use super::record::Record;
use super::{MAX_FAULTS, Payee, PayeePhase};
use crate::channel::fault::Fault;
use crate::channel::message::Message;
use crate::channel::output::{Event, Session};
use crate::ids::{ChannelId, Height, Lane, SchemeId, Seq};
use crate::scheme::Check;
use crate::tick::Tick;
use crate::voucher::{Claim, CloseStatement, SignedVoucher};
use std::collections::BTreeMap;
use std::time::Instant;

impl Payee {
    /// A message of a payer. Of vouchers it is told by [`poll_fault`](Self::poll_fault) what is wrong with them, because they are looked at
    /// together.
    ///
    /// # Errors
    /// [`Fault::disposition`] tells what to do.
    pub fn handle_message(&mut self, now: Instant, session: Session, message: Message) -> Result<(), Fault> {
        self.journal.check()?;
        match message {
            Message::Voucher { alias, voucher } => {
                self.unchecked.push((session, alias, voucher));
                if self.unchecked.len() >= self.config.batch.max(1) {
                    self.check_vouchers();
                }
                Ok(())
            }
            Message::Tick { alias, tick } => {
                // The voucher that it belongs to may still wait.
                self.check_vouchers();
                self.handle_tick(now, session, alias, tick)
            }
            Message::Reestablish { channel, .. } => self.handle_reestablish(session, channel),
            Message::CloseSigned { channel, signature } => self.handle_close_signed(channel, signature),
            Message::Error { .. } => Ok(()),
            _ => Err(Fault::Phase("the payee's")),
        }
    }

    /// Looks at all vouchers that have come: those of one scheme together, and one by one if not all are good.
    pub(super) fn check_vouchers(&mut self) {
        let mut all = std::mem::take(&mut self.unchecked);
        let mut verdicts = vec![false; all.len()];
        let mut by_scheme: BTreeMap<SchemeId, Vec<usize>> = BTreeMap::new();
        for (at, (_, _, signed)) in all.iter().enumerate() {
            if let Some(channel) = self.channels.get(&signed.voucher.channel) {
                by_scheme.entry(channel.scheme).or_default().push(at);
            }
        }
        let messages: Vec<_> = all.iter().map(|(_, _, signed)| signed.voucher.to_bytes()).collect();
        for (scheme, places) in by_scheme {
            let Some(verifier) = self.schemes.get(scheme) else { continue };
            let check = |at: &usize| {
                let ((_, _, signed), message) = (all.get(*at)?, messages.get(*at)?);
                let channel = self.channels.get(&signed.voucher.channel)?;
                Some(Check::new(&channel.key, message, &signed.signature))
            };
            let checks: Vec<_> = places.iter().filter_map(check).collect();
            let is_all = checks.len() > 1 && verifier.verify_batch(&checks, &mut self.rng);
            for (at, check) in places.iter().zip(&checks) {
                let verdict = is_all || verifier.verify(check);
                verdicts.get_mut(*at).into_iter().for_each(|it| *it = verdict);
            }
        }
        for ((session, alias, signed), is_signed) in all.drain(..).zip(verdicts) {
            let id = signed.voucher.channel;
            let outcome = if !self.channels.contains(&id) {
                Err(Fault::UnknownChannel(id))
            } else if is_signed {
                self.take_voucher(session, alias, signed)
            } else {
                Err(Fault::Signature)
            };
            let Err(fault) = outcome else { continue };
            // The first ones say who it was; a flood need not say so again and again.
            if self.faults.len() < self.config.batch.max(MAX_FAULTS) {
                self.faults.push_back((session, fault));
            } else {
                self.dropped_faults = self.dropped_faults.saturating_add(1);
            }
        }
        // The room of the list is used again.
        self.unchecked = all;
    }

    /// A voucher whose signature is good.
    fn take_voucher(&mut self, session: Session, alias: u16, signed: SignedVoucher) -> Result<(), Fault> {
        let (voucher, config) = (signed.voucher, self.config);
        let (id, lane) = (voucher.channel, voucher.lane);
        let place = self.channels.place(&id).ok_or(Fault::UnknownChannel(id))?;
        let channel = self.channels.at(place).ok_or(Fault::UnknownChannel(id))?;
        if let Err(fault) = channel.check_session(session) {
            return Err(self.contested(session, id, fault));
        }
        channel.check_open()?;
        let held = channel.lane(lane);
        // What is held comes again in a new session.
        let is_new = held.is_none_or(|it| it.voucher != voucher);
        if is_new {
            match held {
                Some(it) if voucher.seq <= it.voucher.seq || voucher.base < it.value() => return Err(Fault::Stale),
                Some(it) if it.is_idle() && voucher.base <= it.voucher.base => return Err(Fault::Idle),
                None if channel.lanes.len() >= config.max_lanes => return Err(Fault::Lanes),
                _ => {}
            }
            let end = voucher.not_after;
            if end != Height::new(0) && end < self.height.saturating_add(config.min_life) {
                return Err(Fault::EndsTooSoon);
            }
            let need = channel.held_besides(lane)?.checked_add(voucher.base).ok_or(Fault::Amount)?;
            if need > channel.limit {
                return Err(Fault::Funds { need, have: channel.limit });
            }
        }
        self.names.check(session, alias, place, lane)?;
        if is_new {
            self.write(Record::Voucher(signed))?;
            self.journal.tell(Event::Credit { channel: id, lane, total: voucher.base });
        }
        self.names.insert(session, alias, place, lane);
        if let Some(channel) = self.channels.at_mut(place) {
            channel.session = session;
            channel.is_paid |= is_new;
        }
        self.receipt(session, alias, place, lane);
        Ok(())
    }

    fn handle_tick(&mut self, now: Instant, session: Session, alias: u16, tick: Tick) -> Result<(), Fault> {
        let (place, lane) = self.names.lane(session, alias).ok_or(Fault::Alias(alias))?;
        let config = self.config;
        let channel = self.channels.at_mut(place).ok_or(Fault::Alias(alias))?;
        channel.check_session(session)?;
        channel.check_open()?;
        let soonest = self.height.saturating_add(config.min_life / 2);
        let (others, limit) = (channel.held_besides(lane)?, channel.limit);
        let is_noted = channel.lanes.iter().any(|it| it.is_noted);
        let state = channel.lane_mut(lane).ok_or(Fault::UnknownLane(lane))?;
        let id = state.voucher.channel;
        if state.ends_before(soonest) {
            return Err(Fault::EndsTooSoon);
        }
        if tick.index > state.last_tick().index && tick.index <= state.voucher.max_ticks {
            let value = state.voucher.value(tick.index).ok_or(Fault::Amount)?;
            let need = others.checked_add(value).ok_or(Fault::Amount)?;
            if need > limit {
                return Err(Fault::Funds { need, have: limit });
            }
        }
        state.accept(&id, tick)?;
        let (total, unflushed) = (state.value(), state.unflushed());
        state.is_noted |= unflushed < config.flush_ticks;
        (channel.session, channel.is_paid) = (session, true);
        self.journal.tell(Event::Credit { channel: id, lane, total });
        if unflushed >= config.flush_ticks {
            self.flush(place, lane);
            return Ok(());
        }
        if !is_noted {
            self.unflushed.push(place);
        }
        // What comes until then goes into the log with it.
        self.flush_at.get_or_insert(now.checked_add(config.flush_after).unwrap_or(now));
        Ok(())
    }

    /// The payer has begun anew, and asks what is held.
    fn handle_reestablish(&mut self, session: Session, id: ChannelId) -> Result<(), Fault> {
        self.check_vouchers();
        let channel = self.channels.get(&id).ok_or(Fault::UnknownChannel(id))?;
        if let Err(fault) = channel.check_session(session) {
            return Err(self.contested(session, id, fault));
        }
        let mut lanes: Vec<(Lane, Seq)> = Vec::with_capacity(channel.lanes.len());
        let mut messages = Vec::with_capacity(channel.lanes.len());
        for lane in &channel.lanes {
            lanes.push((lane.voucher.lane, lane.voucher.seq));
            let Claim { voucher, tick, .. } = lane.claim();
            messages.push(Message::Held { voucher, tick });
        }
        messages.push(Message::Reestablish { channel: id, lanes });
        let after = self.journal.last();
        messages.into_iter().for_each(|message| self.journal.send(session, after, message));
        Ok(())
    }

    /// Tells the owner that two sessions speak of one channel.
    fn contested(&mut self, by: Session, channel: ChannelId, fault: Fault) -> Fault {
        if let Some(holder) = self.channels.get(&channel).map(|it| it.session) {
            self.journal.tell(Event::Contested { channel, holder, by });
        }
        fault
    }

    /// The payer has signed, too.
    fn handle_close_signed(&mut self, id: ChannelId, signature: Vec<u8>) -> Result<(), Fault> {
        let channel = self.channels.get(&id).ok_or(Fault::UnknownChannel(id))?;
        let PayeePhase::CoopClosing { total, not_after } = channel.phase else {
            return Err(Fault::Phase("not closing"));
        };
        let statement = CloseStatement::new(id, total, not_after);
        let signer = self.schemes.signer(&statement.to_bytes(), &signature);
        if signer.is_none_or(|(signer, _)| signer != channel.payer) {
            return Err(Fault::Signature);
        }
        // The payer hands it in. If it does not, the claims are as good as before.
        Ok(())
    }
}
