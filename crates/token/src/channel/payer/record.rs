//! What a payer's log says.

use crate::channel::journal::RecordError;
use crate::contract::{ChannelOpen, Contract};
use crate::ids::{ChannelId, Height, Lane, Seq};
use crate::proto::{DecodeError, Reader, Writer};
use crate::transaction::SignedTransaction;
use crate::units::Units;
use crate::voucher::{CloseStatement, Voucher};

/// A change that survives.
pub(super) enum Record {
    /// A channel, the transaction that opens it, and the number that those of its vouchers are above.
    Opened { open: ChannelOpen, transaction: Option<SignedTransaction>, above: Seq },
    /// A voucher that may be signed.
    Voucher(Voucher),
    /// Ticks up to this one may go out.
    Reserved(ChannelId, Lane, Seq, u32),
    /// A transaction that may be handed in.
    Submitted(ChannelId, SignedTransaction),
    /// A total that may be signed, and the last height at which it counts.
    Agreed(CloseStatement),
    /// A channel that is over.
    Settled(ChannelId),
    /// What can be claimed by vouchers of a lane that are not in the log any more.
    Floor(ChannelId, Lane, Units),
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Opened { open, transaction, above } => {
                out.int(1, 1);
                out.bytes(2, &Contract::from(open.clone()).encode());
                out.bytes(3, &transaction.as_ref().map(SignedTransaction::encode).unwrap_or_default());
                out.int(4, above.get().cast_signed());
            }
            Self::Voucher(voucher) => {
                out.int(1, 2);
                out.bytes(2, &voucher.to_bytes());
            }
            Self::Reserved(channel, lane, seq, upto) => {
                out.int(1, 3);
                out.bytes(2, channel.as_bytes());
                out.int(4, lane.get().into());
                out.int(5, seq.get().cast_signed());
                out.int(6, (*upto).into());
            }
            Self::Submitted(channel, transaction) => {
                out.int(1, 4);
                out.bytes(2, channel.as_bytes());
                out.bytes(3, &transaction.encode());
            }
            Self::Agreed(statement) => {
                out.int(1, 5);
                out.bytes(2, statement.channel.as_bytes());
                out.int(4, statement.total.to_i64());
                out.int(5, statement.not_after.get().cast_signed());
            }
            Self::Settled(channel) => {
                out.int(1, 6);
                out.bytes(2, channel.as_bytes());
            }
            Self::Floor(channel, lane, floor) => {
                out.int(1, 7);
                out.bytes(2, channel.as_bytes());
                out.int(4, lane.get().into());
                out.int(5, floor.to_i64());
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let (mut kind, mut first, mut second, mut numbers) = (0, &[][..], &[][..], [0_i64; 3]);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => kind = field.int()?,
                2 => first = field.bytes()?,
                3 => second = field.bytes()?,
                4 => numbers[0] = field.int()?,
                5 => numbers[1] = field.int()?,
                6 => numbers[2] = field.int()?,
                _ => return Err(DecodeError::Field(field.at).into()),
            }
        }
        let bad = RecordError::Inconsistent;
        let channel = || first.try_into().map(ChannelId::new).map_err(|_| bad);
        let small = |number: i64| u32::try_from(number).map_err(|_| bad);
        Ok(match kind {
            1 => {
                let Contract::ChannelOpen(open) = Contract::decode(1011, "unchoke.ChannelOpen", first)? else {
                    return Err(bad);
                };
                let transaction = if second.is_empty() { None } else { Some(SignedTransaction::decode(second)?) };
                Self::Opened { open, transaction, above: Seq::new(numbers[0].cast_unsigned()) }
            }
            2 => Self::Voucher(Voucher::from_bytes(first)?),
            3 => Self::Reserved(
                channel()?,
                Lane::new(small(numbers[0])?),
                Seq::new(numbers[1].cast_unsigned()),
                small(numbers[2])?,
            ),
            4 => Self::Submitted(channel()?, SignedTransaction::decode(second)?),
            5 => Self::Agreed(CloseStatement::new(
                channel()?,
                Units::try_from(numbers[0]).map_err(|_| bad)?,
                Height::new(numbers[1].cast_unsigned()),
            )),
            6 => Self::Settled(channel()?),
            7 => Self::Floor(channel()?, Lane::new(small(numbers[0])?), Units::try_from(numbers[1]).map_err(|_| bad)?),
            _ => return Err(bad),
        })
    }
}
