//! What the machines of payer and payee ask their owner to do, and what they tell it.

use super::gate::Gated;
use super::message::Message;
use crate::contract::Contract;
use crate::ids::{ChannelId, Height, Lane, UpdateId};
use crate::signer::Signable;
use crate::transaction::SignedTransaction;
use crate::units::Units;
use crate::voucher::{CloseStatement, Voucher};

/// A connection to the other side, as its owner numbers it: a later one has a higher number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(u64);

/// A question to which the owner brings the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request(u64);

/// Something to do. What is gated waits until its record is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Append a record to the log.
    Persist {
        /// Its number: one more than that of the one before.
        id: UpdateId,
        /// Its bytes.
        record: Vec<u8>,
    },
    /// Let the signer see this and sign it, and bring the signature or the refusal.
    Sign {
        /// To bring it under.
        request: Request,
        /// What to sign.
        what: Gated<ToSign>,
    },
    /// Send a message.
    Send {
        /// To whom.
        session: Session,
        /// What.
        message: Gated<Message>,
    },
    /// Make a transaction of this contract, signed by the wallet, and bring it.
    Build {
        /// To bring it under.
        request: Request,
        /// What it shall do.
        contract: Box<Contract>,
    },
    /// Hand a transaction to the ledger, again and again until it is in or has lapsed: the same bytes are the same transaction.
    Submit(Gated<Box<SignedTransaction>>),
    /// Something has happened.
    Event(Event),
}

/// What a signer is to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ToSign {
    /// A voucher, with the channel's voucher key.
    Voucher(Voucher),
    /// A total, with the account's key.
    Close(CloseStatement),
}

/// Something that has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The ledger has the channel: it can be paid through.
    Opened(ChannelId),
    /// Payer: a lane can be paid through.
    Armed {
        /// The channel.
        channel: ChannelId,
        /// The lane.
        lane: Lane,
        /// Ticks that it has.
        ticks: u32,
    },
    /// Payee: more was paid. A crash may take back what was paid by ticks that are not in the log yet, as many as the owner has allowed.
    Credit {
        /// The channel.
        channel: ChannelId,
        /// The lane.
        lane: Lane,
        /// What was paid in the lane over the channel's life.
        total: Units,
    },
    /// Payer: so much is durable at the payee.
    Receipt {
        /// The channel.
        channel: ChannelId,
        /// The lane.
        lane: Lane,
        /// What the payee has of the lane.
        total: Units,
        /// Bytes that it says it has served.
        served: u64,
    },
    /// Payee: a session spoke of a channel that another one pays through, and was told that it is [`Busy`](super::Fault::Busy). If the payer has
    /// come back while its old connection hangs, the owner ends `holder` and tells the payee with [`Payee::disconnect`](super::Payee::disconnect).
    Contested {
        /// The channel.
        channel: ChannelId,
        /// The session that pays.
        holder: Session,
        /// The other one.
        by: Session,
    },
    /// Claims are taken below this height; whoever is paid through the channel should stop serving.
    Closing {
        /// The channel.
        channel: ChannelId,
        /// The height.
        deadline: Height,
    },
    /// The channel is done, and forgotten.
    Settled {
        /// The channel.
        channel: ChannelId,
        /// What the payee has got over its life.
        claimed: Units,
    },
}

impl Session {
    /// The connection with a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Request {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl ToSign {
    /// As a signer takes it.
    #[must_use]
    pub const fn as_signable(&self) -> Signable<'_> {
        match self {
            Self::Voucher(it) => Signable::Voucher(it),
            Self::Close(it) => Signable::Close(it),
        }
    }
}
