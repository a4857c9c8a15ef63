//! What a watcher's log says.

use super::Client;
use crate::channel::journal::RecordError;
use crate::contract::LaneClaim;
use crate::ids::{ChannelId, Height, Lane};
use crate::proto::{DecodeError, Reader, Writer};
use crate::units::Units;
use crate::voucher::Voucher;

/// A change that survives.
pub(super) enum Record {
    /// A channel, who has brought it, and the height that it names.
    Channel { id: ChannelId, client: Client, opened_at: Height },
    /// The best of a lane, and what it is worth.
    Claim { id: ChannelId, lane: Lane, value: Units, claim: LaneClaim },
    /// A channel that is over.
    Settled(ChannelId),
    /// A lane that is not held any more.
    Dropped(ChannelId, Lane),
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Channel { id, client, opened_at } => {
                out.int(1, 1);
                out.bytes(2, id.as_bytes());
                out.int(6, client.get().cast_signed());
                out.int(7, opened_at.get().cast_signed());
            }
            Self::Claim { id, lane, value, claim } => {
                out.int(1, 2);
                out.bytes(2, id.as_bytes());
                out.bytes(3, &claim.voucher);
                out.bytes(4, &claim.signature);
                out.bytes(5, &claim.preimage);
                out.int(6, lane.get().into());
                out.int(7, value.to_i64());
                out.int(8, claim.tick);
            }
            Self::Settled(id) => {
                out.int(1, 3);
                out.bytes(2, id.as_bytes());
            }
            Self::Dropped(id, lane) => {
                out.int(1, 4);
                out.bytes(2, id.as_bytes());
                out.int(6, lane.get().into());
            }
        }
        out.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::new(bytes);
        let (mut kind, mut texts, mut numbers) = (0, [&[][..]; 4], [0_i64; 3]);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => kind = field.int()?,
                2 => texts[0] = field.bytes()?,
                3 => texts[1] = field.bytes()?,
                4 => texts[2] = field.bytes()?,
                5 => texts[3] = field.bytes()?,
                6 => numbers[0] = field.int()?,
                7 => numbers[1] = field.int()?,
                8 => numbers[2] = field.int()?,
                _ => return Err(DecodeError::Field(field.at).into()),
            }
        }
        let bad = RecordError::Inconsistent;
        let id = ChannelId::new(texts[0].try_into().map_err(|_| bad)?);
        let lane = || u32::try_from(numbers[0]).map(Lane::new).map_err(|_| bad);
        Ok(match kind {
            1 => {
                let (client, opened_at) = (numbers[0].cast_unsigned(), numbers[1].cast_unsigned());
                Self::Channel { id, client: Client::new(client), opened_at: Height::new(opened_at) }
            }
            2 => {
                let [_, voucher, signature, preimage] = texts.map(<[u8]>::to_vec);
                let lane = lane()?;
                let value = Units::try_from(numbers[1]).map_err(|_| bad)?;
                Self::Claim { id, lane, value, claim: LaneClaim { voucher, signature, tick: numbers[2], preimage } }
            }
            3 => Self::Settled(id),
            4 => Self::Dropped(id, lane()?),
            _ => return Err(bad),
        })
    }
}

/// The last height at which a claim's voucher counts, 0 if there is none.
pub(super) fn end(claim: &LaneClaim) -> Result<Height, RecordError> {
    if claim.voucher.is_empty() {
        return Ok(Height::new(0));
    }
    Ok(Voucher::from_bytes(&claim.voucher)?.not_after)
}
