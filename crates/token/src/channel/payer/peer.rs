//! What payees say to a payer.

use super::lane::PayerLane;
use super::record::Record;
use super::{Asked, Payer, PayerChannel, PayerPhase};
use crate::channel::fault::Fault;
use crate::channel::gate::Gated;
use crate::channel::message::Message;
use crate::channel::output::{Event, Output, Session, ToSign};
use crate::contract::Contract;
use crate::ids::{ChannelId, Lane, SchemeId, Seq};
use crate::scheme::{Check, Schemes};
use crate::tick::{MAX_TICKS, Tick, TickError};
use crate::units::Units;
use crate::voucher::{CloseStatement, SignedVoucher};
use std::collections::BTreeMap;

impl Payer {
    /// A message of a payee.
    ///
    /// # Errors
    /// [`Fault::disposition`] tells what to do.
    pub fn handle_message(&mut self, session: Session, message: Message, schemes: &Schemes) -> Result<(), Fault> {
        match message {
            Message::Receipt { alias, seq, index, served } => {
                let (id, lane) = self.lane_of(session, alias)?;
                let Some(state) = self.channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane)) else {
                    return Ok(());
                };
                if state.voucher.seq == seq && index <= state.revealed && index >= state.acked {
                    state.acked = index;
                    let total = state.voucher.value(index).ok_or(Fault::Amount)?;
                    let event = Event::Receipt { channel: id, lane, total, served };
                    self.journal.tell(event);
                }
                Ok(())
            }
            Message::Held { voucher, tick } => self.handle_held(session, &voucher, tick.as_ref(), schemes),
            Message::Reestablish { channel, lanes } => self.handle_told(session, channel, &lanes),
            Message::Close { channel, total, not_after, signature } => {
                self.handle_close(session, CloseStatement::new(channel, total, not_after), signature, schemes)
            }
            Message::Due { alias, .. } => self.lane_of(session, alias).map(drop),
            Message::Error { .. } => Ok(()),
            Message::Voucher { .. } | Message::Tick { .. } | Message::CloseSigned { .. } => {
                Err(Fault::Phase("the payer's"))
            }
        }
    }

    /// What the payee holds of a lane. If it is more than the log says, the log was lost, and what the payee shows is taken over.
    fn handle_held(
        &mut self,
        session: Session,
        held: &SignedVoucher,
        tick: Option<&Tick>,
        schemes: &Schemes,
    ) -> Result<(), Fault> {
        let voucher = held.voucher;
        let (id, lane) = (voucher.channel, voucher.lane);
        let channel = self.channels.get(&id).filter(|it| it.session == Some(session));
        let channel = channel.ok_or(Fault::UnknownChannel(id))?;
        let index = tick.map_or(0, |tick| tick.index);
        // Hashes are counted before any is made.
        for (index, max) in [(voucher.max_ticks, MAX_TICKS), (index, voucher.max_ticks)] {
            if index > max {
                return Err(TickError::Beyond { index, max }.into());
            }
        }
        voucher.value(index).ok_or(Fault::Amount)?;
        let known = channel.lanes.get(&lane);
        let is_later = known.is_none_or(|known| known.voucher.seq < voucher.seq);
        if !is_later && known.is_some_and(PayerLane::is_settled) {
            // It was told before, or a voucher was begun since that was asked for.
            return Ok(());
        }
        let scheme = u8::try_from(channel.open.voucher_scheme).map_or(SchemeId::NONE, SchemeId::new);
        let verifier = schemes.get(scheme).ok_or(Fault::Signature)?;
        let message = voucher.to_bytes();
        if !verifier.verify(&Check::new(&channel.open.voucher_key, &message, &held.signature)) {
            return Err(Fault::Signature);
        }
        let is_ours = known.is_some_and(|known| known.voucher == voucher);
        // Ticks of an older voucher do not matter here. Of ours, the chain tells without a walk.
        if let Some(tick) = tick.filter(|_| is_ours || is_later) {
            let Self { seed, channels, .. } = self;
            let state = channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane)).filter(|_| is_ours);
            let own = state.and_then(|it| it.tick(seed, index));
            if !own.map_or_else(|| tick.leads_to(&id, &voucher.anchor), |own| own == *tick) {
                return Err(Fault::Signature);
            }
        }
        if is_later {
            self.journal.check()?;
            self.write(Record::Voucher(voucher))?;
            // How many of its ticks were revealed nobody here knows: all of them may be claimed.
            self.write(Record::Reserved(id, lane, voucher.seq, voucher.max_ticks))?;
        }
        let state = channel_lane(&mut self.channels, id, lane)?;
        // Of an older voucher than ours nothing is known: ours has not arrived.
        let index = if state.voucher == voucher { index } else { 0 };
        if index > state.reserved {
            let record = Record::Reserved(id, lane, voucher.seq, index);
            self.journal.check()?;
            self.write(record)?;
        }
        channel_lane(&mut self.channels, id, lane)?.handle_held(index);
        self.send_again(id, lane)
    }

    /// The payee has told of all that it holds: of lanes that it did not tell of it has nothing.
    fn handle_told(&mut self, session: Session, id: ChannelId, told: &[(Lane, Seq)]) -> Result<(), Fault> {
        let channel = self.channels.get_mut(&id).filter(|it| it.session == Some(session));
        let channel = channel.ok_or(Fault::UnknownChannel(id))?;
        channel.is_told = true;
        let mut missing = Vec::new();
        for (lane, state) in &mut channel.lanes {
            if !state.is_settled() && !told.iter().any(|(known, _)| known == lane) {
                state.handle_held(0);
                missing.push(*lane);
            }
        }
        missing.into_iter().try_for_each(|lane| self.send_again(id, lane))
    }

    /// Lets the last voucher of a lane be signed again, which gives the same signature, and sent.
    fn send_again(&mut self, id: ChannelId, lane: Lane) -> Result<(), Fault> {
        let channel = self.channels.get_mut(&id).ok_or(Fault::UnknownChannel(id))?;
        let is_paying = matches!(channel.phase, PayerPhase::Funding | PayerPhase::Open);
        let state = channel.lanes.get_mut(&lane).filter(|it| is_paying && !it.is_sent());
        if let Some(state) = state {
            let (voucher, after) = (state.voucher, state.written_by);
            self.ask_to_sign(after, voucher);
        }
        Ok(())
    }

    /// The payee would close at a total.
    fn handle_close(
        &mut self,
        session: Session,
        statement: CloseStatement,
        theirs: Vec<u8>,
        schemes: &Schemes,
    ) -> Result<(), Fault> {
        self.journal.check()?;
        let id = statement.channel;
        let channel = self.channels.get(&id).filter(|it| it.session == Some(session));
        let channel = channel.ok_or(Fault::UnknownChannel(id))?;
        match channel.phase {
            PayerPhase::Funding => return Err(Fault::Phase("not open yet")),
            // One total counts at a time. It is signed again only if the signature was lost before it could be handed in.
            PayerPhase::CoopClosing { total, not_after } => {
                let is_same = (total, not_after) == (statement.total, statement.not_after);
                let is_in_hand = |asked: &Asked| match asked {
                    Asked::Close { channel, .. } | Asked::Mutual(channel) => *channel == id,
                    Asked::Voucher(..) => false,
                };
                let pending = channel.pending.as_ref().map(|it| &it.transaction().contract);
                let is_handed_in = matches!(pending, Some(Contract::ChannelCloseMutual(_)));
                if !is_same {
                    return Err(Fault::Phase("agreed on already"));
                }
                if is_handed_in || self.journal.asked.values().any(is_in_hand) {
                    return Ok(());
                }
            }
            _ => {}
        }
        if statement.not_after < self.height {
            return Err(Fault::EndsTooSoon);
        }
        if statement.not_after > self.height.saturating_add(self.config.close_within) {
            return Err(Fault::EndsTooLate(statement.not_after));
        }
        // Not more than what was revealed, whatever is reserved; after a start the payee has to tell what that is.
        if !channel.is_told || channel.lanes.values().any(|lane| !lane.is_settled()) {
            return Err(Fault::Disconnected);
        }
        let paid = channel.lanes.values().try_fold(Units::ZERO, |all, lane| all.checked_add(lane.paid()));
        let paid = paid.ok_or(Fault::Amount)?;
        if statement.total > paid {
            return Err(Fault::Funds { need: statement.total, have: paid });
        }
        let signer = schemes.signer(&statement.to_bytes(), &theirs);
        if signer.is_none_or(|(signer, _)| signer.as_bytes()[..] != channel.open.payee_address) {
            return Err(Fault::Signature);
        }
        let is_written = matches!(channel.phase, PayerPhase::CoopClosing { .. });
        let after = if is_written { self.journal.last() } else { self.write(Record::Agreed(statement))? };
        let request = self.journal.request(Asked::Close { channel: id, statement, theirs });
        self.journal.push(Output::Sign { request, what: Gated::new(after, ToSign::Close(statement)) });
        Ok(())
    }

    fn lane_of(&self, session: Session, alias: u16) -> Result<(ChannelId, Lane), Fault> {
        let of_session = self.channels.iter().filter(|(_, it)| it.session == Some(session));
        let mut lanes = of_session.flat_map(|(id, it)| it.lanes.iter().map(|(lane, state)| (*id, *lane, state.alias)));
        let found = lanes.find(|(_, _, known)| *known == Some(alias));
        found.map(|(id, lane, _)| (id, lane)).ok_or(Fault::Alias(alias))
    }
}

fn channel_lane(
    channels: &mut BTreeMap<ChannelId, PayerChannel>,
    id: ChannelId,
    lane: Lane,
) -> Result<&mut PayerLane, Fault> {
    channels.get_mut(&id).and_then(|it| it.lanes.get_mut(&lane)).ok_or(Fault::UnknownLane(lane))
}
