//! What a payee's log says.

use crate::address::Address;
use crate::channel::journal::RecordError;
use crate::ids::SchemeId;
use crate::ids::{ChannelId, Height, Lane, Seq};
use crate::proto::{DecodeError, Reader, Writer};
use crate::tick::Tick;
use crate::units::Units;
use crate::voucher::{CloseStatement, SignedVoucher, Voucher};

/// A change that survives.
pub(super) enum Record {
    /// A channel that pays us, and the height that it names.
    Channel { id: ChannelId, scheme: SchemeId, key: Box<[u8]>, payer: Address, opened_at: Height },
    /// A voucher that was found good.
    Voucher(SignedVoucher),
    /// The last tick of a lane.
    Tick(ChannelId, Lane, Seq, Tick),
    /// A total that may be signed.
    Agreed(CloseStatement),
    /// A channel that is over.
    Settled(ChannelId),
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Channel { id, scheme, key, payer, opened_at } => {
                out.int(1, 1);
                out.bytes(2, id.as_bytes());
                out.bytes(3, key);
                out.int(4, scheme.get().into());
                out.int(5, opened_at.get().cast_signed());
                out.bytes(7, payer.as_bytes());
            }
            Self::Voucher(signed) => {
                out.int(1, 2);
                out.bytes(2, &signed.voucher.to_bytes());
                out.bytes(3, &signed.signature);
            }
            Self::Tick(channel, lane, seq, tick) => {
                out.int(1, 3);
                out.bytes(2, channel.as_bytes());
                out.bytes(3, &tick.preimage);
                out.int(4, lane.get().into());
                out.int(5, seq.get().cast_signed());
                out.int(6, tick.index.into());
            }
            Self::Agreed(statement) => {
                out.int(1, 4);
                out.bytes(2, statement.channel.as_bytes());
                out.int(4, statement.total.to_i64());
                out.int(5, statement.not_after.get().cast_signed());
            }
            Self::Settled(channel) => {
                out.int(1, 5);
                out.bytes(2, channel.as_bytes());
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let (mut kind, mut first, mut second, mut third, mut numbers) = (0, &[][..], &[][..], &[][..], [0_i64; 3]);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => kind = field.int()?,
                2 => first = field.bytes()?,
                3 => second = field.bytes()?,
                4 => numbers[0] = field.int()?,
                5 => numbers[1] = field.int()?,
                6 => numbers[2] = field.int()?,
                7 => third = field.bytes()?,
                _ => return Err(DecodeError::Field(field.at).into()),
            }
        }
        let bad = RecordError::Inconsistent;
        let channel = || first.try_into().map(ChannelId::new).map_err(|_| bad);
        let small = |number: i64| u32::try_from(number).map_err(|_| bad);
        Ok(match kind {
            1 => Self::Channel {
                id: channel()?,
                scheme: SchemeId::new(u8::try_from(numbers[0]).map_err(|_| bad)?),
                key: second.into(),
                payer: Address::from_slice(third).map_err(|_| bad)?,
                opened_at: Height::new(numbers[1].cast_unsigned()),
            },
            2 => Self::Voucher(SignedVoucher::new(Voucher::from_bytes(first)?, second.to_vec())),
            3 => {
                let tick = Tick::new(small(numbers[2])?, second.try_into().map_err(|_| bad)?);
                Self::Tick(channel()?, Lane::new(small(numbers[0])?), Seq::new(numbers[1].cast_unsigned()), tick)
            }
            4 => Self::Agreed(CloseStatement::new(
                channel()?,
                Units::try_from(numbers[0]).map_err(|_| bad)?,
                Height::new(numbers[1].cast_unsigned()),
            )),
            5 => Self::Settled(channel()?),
            _ => return Err(bad),
        })
    }
}
