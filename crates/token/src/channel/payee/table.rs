//! The channels of a payee, by id and by a number that is short: there are many, and most rest.

use super::lane::PayeeLane;
use super::short::Short;
use crate::address::Address;
use crate::channel::fault::Fault;
use crate::channel::output::Session;
use crate::ids::{ChannelId, Height, Lane, SchemeId};
use crate::units::Units;
use std::collections::HashMap;

/// All channels.
#[derive(Default)]
pub(super) struct Table {
    places: HashMap<ChannelId, Place>,
    channels: Vec<Option<Box<PayeeChannel>>>,
    free: Vec<Place>,
}

/// Where a channel stands in the table. Another one may take the place later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(u32);

/// A channel, as its payee knows it.
pub(super) struct PayeeChannel {
    pub(super) scheme: SchemeId,
    pub(super) key: Short<32>,
    pub(super) payer: Address,
    pub(super) opened_at: Height,
    /// All that can be had of it.
    pub(super) limit: Units,
    /// What the ledger has been shown.
    pub(super) claimed: Units,
    /// What the payee has got.
    pub(super) paid: Units,
    /// Whether the payer has put it into the channel, so that there is no more than that.
    pub(super) has_deposit: bool,
    /// Whether the wallet is asked for a claim.
    pub(super) is_asked: bool,
    pub(super) phase: PayeePhase,
    /// Whether something new was paid in its session, which has not ended. Who can pay is the payer; who asks or shows what was paid before may
    /// be anybody.
    pub(super) is_paid: bool,
    /// The last session that has named a lane of it.
    pub(super) session: Session,
    pub(super) lanes: Box<[PayeeLane]>,
}

/// Where a channel stands for its payee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PayeePhase {
    /// It is in the log, and the ledger was not heard of yet.
    Unknown,
    /// Payments count.
    Open,
    /// A total is signed: payments do not count any more.
    CoopClosing {
        /// The total.
        total: Units,
        /// The last height at which it counts.
        not_after: Height,
    },
    /// Claims are taken below this height.
    Closing {
        /// The height.
        deadline: Height,
    },
    /// It is over, and the payer's vault has not had all that was claimed.
    Unpaid {
        /// What is missing.
        rest: Units,
    },
}

impl Place {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const LAST: Self = Self(u32::MAX);
}

impl Table {
    pub(super) fn insert(&mut self, id: ChannelId, channel: PayeeChannel) {
        let channel = Some(Box::new(channel));
        let next = u32::try_from(self.channels.len()).map_or(Place(u32::MAX), Place);
        let place = self.places.get(&id).copied().or_else(|| self.free.pop()).unwrap_or(next);
        match self.channels.get_mut(place.0 as usize) {
            Some(there) => *there = channel,
            None => self.channels.push(channel),
        }
        self.places.insert(id, place);
    }

    /// Takes a channel away; whatever names its place has to go, too.
    pub(super) fn remove(&mut self, id: &ChannelId) -> Option<Place> {
        let place = self.places.remove(id)?;
        *self.channels.get_mut(place.0 as usize)? = None;
        self.free.push(place);
        Some(place)
    }

    pub(super) fn place(&self, id: &ChannelId) -> Option<Place> {
        self.places.get(id).copied()
    }

    pub(super) fn at(&self, place: Place) -> Option<&PayeeChannel> {
        self.channels.get(place.0 as usize)?.as_deref()
    }

    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut PayeeChannel> {
        self.channels.get_mut(place.0 as usize)?.as_deref_mut()
    }

    pub(super) fn get(&self, id: &ChannelId) -> Option<&PayeeChannel> {
        self.at(self.place(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &ChannelId) -> Option<&mut PayeeChannel> {
        self.at_mut(self.place(id)?)
    }

    pub(super) fn contains(&self, id: &ChannelId) -> bool {
        self.places.contains_key(id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ChannelId> {
        self.places.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl PayeeChannel {
    pub(super) fn new(scheme: SchemeId, key: &[u8], payer: Address, opened_at: Height) -> Self {
        Self {
            scheme,
            key: key.into(),
            payer,
            opened_at,
            limit: Units::ZERO,
            claimed: Units::ZERO,
            paid: Units::ZERO,
            has_deposit: false,
            is_asked: false,
            phase: PayeePhase::Unknown,
            is_paid: false,
            session: Session::new(0),
            lanes: Box::default(),
        }
    }

    pub(super) fn lane(&self, lane: Lane) -> Option<&PayeeLane> {
        self.lanes.iter().find(|it| it.voucher.lane == lane)
    }

    pub(super) fn lane_mut(&mut self, lane: Lane) -> Option<&mut PayeeLane> {
        self.lanes.iter_mut().find(|it| it.voucher.lane == lane)
    }

    pub(super) fn add(&mut self, lane: PayeeLane) {
        let mut lanes = std::mem::take(&mut self.lanes).into_vec();
        lanes.reserve_exact(1);
        lanes.push(lane);
        self.lanes = lanes.into_boxed_slice();
    }

    pub(super) fn check_open(&self) -> Result<(), Fault> {
        match self.phase {
            PayeePhase::Open => Ok(()),
            PayeePhase::Unknown => Err(Fault::Phase("not known to the ledger")),
            PayeePhase::CoopClosing { .. } | PayeePhase::Closing { .. } => Err(Fault::Phase("closing")),
            PayeePhase::Unpaid { .. } => Err(Fault::Phase("done")),
        }
    }

    /// Whether a session may speak of the channel: not while another one pays through it.
    pub(super) fn check_session(&self, session: Session) -> Result<(), Fault> {
        if self.is_paid && session != self.session { Err(Fault::Busy) } else { Ok(()) }
    }

    /// What was paid in all lanes.
    pub(super) fn held(&self) -> Units {
        let sum = self.lanes.iter().map(PayeeLane::value).try_fold(Units::ZERO, Units::checked_add);
        sum.unwrap_or(Units::MAX)
    }

    pub(super) fn held_besides(&self, lane: Lane) -> Result<Units, Fault> {
        let others = self.lanes.iter().filter(|it| it.voucher.lane != lane);
        others.map(PayeeLane::value).try_fold(Units::ZERO, Units::checked_add).ok_or(Fault::Amount)
    }
}
