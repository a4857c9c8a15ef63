//! What the two ends of a channel say to one another. Each message is a kind, one byte, and fields of fixed form, numbers with the lowest byte
//! first; how they travel is for others to say. A message about a lane names it by a session's alias, below 2¹⁵, which the voucher that begins
//! it gives. A tick, of which there is one for each block, has no kind: it begins with its alias, the higher byte first, and the highest bit set.

use crate::ids::{ChannelId, Height, Lane, Seq};
use crate::tick::Tick;
use crate::units::Units;
use crate::voucher::{SignedVoucher, Voucher, VoucherError};
use nom::Parser as _;
use nom::bytes::complete::take;
use nom::combinator::rest;
use nom::number::complete::{le_u8, le_u16, le_u32, le_u64};

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Message {
    /// Payer: what I owe in a lane, and what I shall call the lane from now on.
    Voucher {
        /// The name.
        alias: u16,
        /// The voucher.
        voucher: SignedVoucher,
    },
    /// Payer: the next link, which pays.
    Tick {
        /// The lane.
        alias: u16,
        /// The link.
        tick: Tick,
    },
    /// Payee: this is durable here.
    Receipt {
        /// The lane.
        alias: u16,
        /// The voucher's number.
        seq: Seq,
        /// The tick's number; 0 if none.
        index: u32,
        /// Bytes served in all, or what else is measured.
        served: u64,
    },
    /// Payee: so much is owed. Advice.
    Due {
        /// The lane.
        alias: u16,
        /// Smallest units over the lane's life.
        owed: Units,
    },
    /// Payer, after a new start: the last voucher of each lane that it knows of. It asks for [`Message::Held`].
    Reestablish {
        /// The channel.
        channel: ChannelId,
        /// Lanes with the number of their last voucher.
        lanes: Vec<(Lane, Seq)>,
    },
    /// Payee: the best that I hold of a lane.
    Held {
        /// The voucher.
        voucher: SignedVoucher,
        /// The last tick.
        tick: Option<Tick>,
    },
    /// I would close at this total until this height, and have signed it.
    Close {
        /// The channel.
        channel: ChannelId,
        /// All that the payee gets over the channel's life.
        total: Units,
        /// The last height at which this counts.
        not_after: Height,
        /// Of the account, over the close statement.
        signature: Vec<u8>,
    },
    /// So would I.
    CloseSigned {
        /// The channel.
        channel: ChannelId,
        /// Of the account, over the statement of the other's message.
        signature: Vec<u8>,
    },
    /// Something was wrong.
    Error {
        /// The lane.
        alias: u16,
        /// Which kind of fault.
        code: u16,
        /// Whether nothing more can be done.
        is_fatal: bool,
        /// For people, 128 bytes at most.
        text: String,
    },
}

/// Bytes that are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// There is no such kind.
    #[error("unknown kind of message: {0}")]
    Kind(u8),
    /// It is cut short, or something follows it.
    #[error("message of kind {kind} has the wrong length, {len} bytes")]
    Length {
        /// Which.
        kind: u8,
        /// All of it.
        len: usize,
    },
    /// The voucher in it is none.
    #[error("bad voucher: {0}")]
    Voucher(#[from] VoucherError),
    /// A number in it is out of its range.
    #[error("a number of a message of kind {0} is out of range")]
    Range(u8),
}

type Input<'a> = nom::IResult<&'a [u8], Raw<'a>, ()>;

/// A message before its parts are looked at.
enum Raw<'a> {
    Voucher(u16, &'a [u8], &'a [u8]),
    Receipt(u16, u64, u32, u64),
    Due(u16, u64),
    Reestablish(&'a [u8], Vec<(Lane, Seq)>),
    Held(&'a [u8], u32, &'a [u8], &'a [u8]),
    Close(&'a [u8], u64, u64, &'a [u8]),
    CloseSigned(&'a [u8], &'a [u8]),
    Error(u16, u16, u8, &'a [u8]),
}

impl Message {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        if let Self::Tick { alias, tick } = self {
            out.extend_from_slice(&(alias | TICK).to_be_bytes());
            out.extend_from_slice(&tick.index.to_le_bytes());
            out.extend_from_slice(&tick.preimage);
            return out;
        }
        out.push(self.kind());
        match self {
            Self::Voucher { alias, voucher } => {
                out.extend_from_slice(&alias.to_le_bytes());
                out.extend_from_slice(&voucher.voucher.to_bytes());
                out.extend_from_slice(&voucher.signature);
            }
            Self::Tick { .. } => {}
            Self::Receipt { alias, seq, index, served } => {
                out.extend_from_slice(&alias.to_le_bytes());
                out.extend_from_slice(&seq.get().to_le_bytes());
                out.extend_from_slice(&index.to_le_bytes());
                out.extend_from_slice(&served.to_le_bytes());
            }
            Self::Due { alias, owed } => {
                out.extend_from_slice(&alias.to_le_bytes());
                out.extend_from_slice(&owed.get().to_le_bytes());
            }
            Self::Reestablish { channel, lanes } => {
                out.extend_from_slice(channel.as_bytes());
                for (lane, seq) in lanes.iter().take(MAX_LANES) {
                    out.extend_from_slice(&lane.get().to_le_bytes());
                    out.extend_from_slice(&seq.get().to_le_bytes());
                }
            }
            Self::Held { voucher, tick } => {
                let tick = tick.unwrap_or(Tick::new(0, [0; 32]));
                out.extend_from_slice(&voucher.voucher.to_bytes());
                out.extend_from_slice(&tick.index.to_le_bytes());
                out.extend_from_slice(&tick.preimage);
                out.extend_from_slice(&voucher.signature);
            }
            Self::Close { channel, total, not_after, signature } => {
                out.extend_from_slice(channel.as_bytes());
                out.extend_from_slice(&total.get().to_le_bytes());
                out.extend_from_slice(&not_after.get().to_le_bytes());
                out.extend_from_slice(signature);
            }
            Self::CloseSigned { channel, signature } => {
                out.extend_from_slice(channel.as_bytes());
                out.extend_from_slice(signature);
            }
            Self::Error { alias, code, is_fatal, text } => {
                out.extend_from_slice(&alias.to_le_bytes());
                out.extend_from_slice(&code.to_le_bytes());
                out.push((*is_fatal).into());
                let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
                out.extend_from_slice(text.as_bytes().get(..end).unwrap_or_default());
            }
        }
        out
    }

    /// Reads them.
    ///
    /// # Errors
    /// If they are no message.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let Some((&kind, fields)) = bytes.split_first() else {
            return Err(MessageError::Length { kind: 0, len: 0 });
        };
        if kind >= 0x80 {
            return Self::decode_tick(bytes).ok_or(MessageError::Length { kind: 5, len: bytes.len() });
        }
        if !(4..=12).contains(&kind) || kind == 5 {
            return Err(MessageError::Kind(kind));
        }
        let wrong = MessageError::Length { kind, len: bytes.len() };
        if bytes.len() > MAX_LEN {
            return Err(wrong);
        }
        let (left, raw) = fields_of(kind, fields).map_err(|_| wrong)?;
        if !left.is_empty() {
            return Err(wrong);
        }
        raw.read(kind)
    }

    fn decode_tick(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<2>()?;
        let (index, link) = rest.split_first_chunk::<4>()?;
        let (alias, index) = (u16::from_be_bytes(*head) & !TICK, u32::from_le_bytes(*index));
        let link = link.try_into().ok().filter(|_| index > 0)?;
        Some(Self::Tick { alias, tick: Tick::new(index, link) })
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Voucher { .. } => 4,
            Self::Tick { .. } => 5,
            Self::Receipt { .. } => 6,
            Self::Due { .. } => 7,
            Self::Reestablish { .. } => 8,
            Self::Close { .. } => 9,
            Self::CloseSigned { .. } => 10,
            Self::Error { .. } => 11,
            Self::Held { .. } => 12,
        }
    }
}

fn fields_of(kind: u8, input: &[u8]) -> Input<'_> {
    let hash = || take(32_usize);
    match kind {
        4 => {
            (le_u16, take(Voucher::LEN), rest).map(|(alias, voucher, it)| Raw::Voucher(alias, voucher, it)).parse(input)
        }
        6 => (le_u16, le_u64, le_u32, le_u64).map(|(alias, seq, at, it)| Raw::Receipt(alias, seq, at, it)).parse(input),
        7 => (le_u16, le_u64).map(|(alias, owed)| Raw::Due(alias, owed)).parse(input),
        8 => {
            let lane = (le_u32, le_u64).map(|(lane, seq)| (Lane::new(lane), Seq::new(seq)));
            let lanes = nom::multi::many_m_n(0, MAX_LANES, lane);
            (hash(), lanes).map(|(channel, lanes)| Raw::Reestablish(channel, lanes)).parse(input)
        }
        9 => (hash(), le_u64, le_u64, rest)
            .map(|(channel, total, end, it)| Raw::Close(channel, total, end, it))
            .parse(input),
        10 => (hash(), rest).map(|(channel, it)| Raw::CloseSigned(channel, it)).parse(input),
        11 => (le_u16, le_u16, le_u8, rest)
            .map(|(alias, code, fatal, it)| Raw::Error(alias, code, fatal, it))
            .parse(input),
        _ => (take(Voucher::LEN), le_u32, hash(), rest)
            .map(|(voucher, index, link, it)| Raw::Held(voucher, index, link, it))
            .parse(input),
    }
}

impl Raw<'_> {
    fn read(self, kind: u8) -> Result<Message, MessageError> {
        let range = MessageError::Range(kind);
        let units = |units| Units::new(units).ok_or(range);
        let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| range);
        let signature = |bytes: &[u8]| if bytes.len() <= MAX_SIGNATURE { Ok(bytes.to_vec()) } else { Err(range) };
        let signed = |voucher: &[u8], it: &[u8]| {
            Ok::<_, MessageError>(SignedVoucher::new(Voucher::from_bytes(voucher)?, signature(it)?))
        };
        Ok(match self {
            Self::Voucher(TICK.., ..) | Self::Receipt(TICK.., ..) | Self::Due(TICK.., _) | Self::Error(TICK.., ..) => {
                return Err(range);
            }
            Self::Voucher(alias, voucher, it) => Message::Voucher { alias, voucher: signed(voucher, it)? },
            Self::Receipt(alias, seq, index, served) => Message::Receipt { alias, seq: Seq::new(seq), index, served },
            Self::Due(alias, owed) => Message::Due { alias, owed: units(owed)? },
            Self::Reestablish(channel, lanes) => {
                Message::Reestablish { channel: ChannelId::new(hash(channel)?), lanes }
            }
            Self::Held(voucher, 0, link, it) => {
                if hash(link)? != [0; 32] {
                    return Err(range);
                }
                Message::Held { voucher: signed(voucher, it)?, tick: None }
            }
            Self::Held(voucher, index, link, it) => {
                Message::Held { voucher: signed(voucher, it)?, tick: Some(Tick::new(index, hash(link)?)) }
            }
            Self::Close(channel, total, end, it) => Message::Close {
                channel: ChannelId::new(hash(channel)?),
                total: units(total)?,
                not_after: Height::new(end),
                signature: signature(it)?,
            },
            Self::CloseSigned(channel, it) => {
                Message::CloseSigned { channel: ChannelId::new(hash(channel)?), signature: signature(it)? }
            }
            Self::Error(_, _, 2.., _) => return Err(range),
            Self::Error(alias, code, fatal, text) => {
                let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_TEXT).ok_or(range)?;
                Message::Error { alias, code, is_fatal: fatal == 1, text: text.to_owned() }
            }
        })
    }
}

/// The bit of the first byte that tells a tick from all else.
const TICK: u16 = 0x8000;
/// Lanes that one message names, and that have a name in one session at a time.
pub const MAX_LANES: usize = 64;
/// Vouchers of a lane, one after the other, that a payee takes while their base does not rise, after the first. Each costs it a record.
pub(crate) const MAX_REARMED: u8 = 64;
/// Bytes of a text for people.
const MAX_TEXT: usize = 128;
/// Bytes of a signature.
const MAX_SIGNATURE: usize = 128;
/// Bytes of a message: those of [`Message::Reestablish`] with all lanes.
const MAX_LEN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tick_takes_44_bytes_with_the_frame_of_the_extension_protocol() {
        let tick = Message::Tick { alias: 1, tick: Tick::new(7, [3; 32]) };
        // Four bytes of length, the kind of extended messages, and that of the extension.
        assert_eq!(tick.encode().len() + 6, 44);
        assert_eq!(Message::decode(&tick.encode()), Ok(tick));
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let (alias, hash, signature) = (0..TICK, any::<[u8; 32]>(), proptest::collection::vec(any::<u8>(), 0..128));
        let units = (0..=Units::MAX.get()).prop_map(|it| Units::new(it).unwrap());
        let voucher = (hash, any::<u32>(), any::<u64>(), 0..1_u64 << 40, 1..100_u32, signature.clone()).prop_map(
            |(id, lane, seq, base, ticks, signature)| {
                let voucher =
                    Voucher::new(ChannelId::new(id), Lane::new(lane), Seq::new(seq), Units::new(base).unwrap());
                let voucher = voucher.with_ticks([1; 32], Units::new(5).unwrap(), ticks);
                SignedVoucher::new(voucher, signature)
            },
        );
        let lanes = proptest::collection::vec((any::<u32>(), any::<u64>()), 0..=MAX_LANES)
            .prop_map(|all| all.into_iter().map(|(lane, seq)| (Lane::new(lane), Seq::new(seq))).collect());
        prop_oneof![
            (alias.clone(), voucher.clone()).prop_map(|(alias, voucher)| Message::Voucher { alias, voucher }),
            (alias.clone(), 1..=u32::MAX, hash)
                .prop_map(|(alias, index, link)| Message::Tick { alias, tick: Tick::new(index, link) }),
            (alias.clone(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(|(alias, seq, index, served)| {
                Message::Receipt { alias, seq: Seq::new(seq), index, served }
            }),
            (alias.clone(), units.clone()).prop_map(|(alias, owed)| Message::Due { alias, owed }),
            (hash, lanes).prop_map(|(id, lanes)| Message::Reestablish { channel: ChannelId::new(id), lanes }),
            (voucher, proptest::option::of((1..=u32::MAX, hash))).prop_map(|(voucher, tick)| {
                Message::Held { voucher, tick: tick.map(|(index, link)| Tick::new(index, link)) }
            }),
            (hash, units, any::<u64>(), signature.clone()).prop_map(|(id, total, end, signature)| {
                Message::Close { channel: ChannelId::new(id), total, not_after: Height::new(end), signature }
            }),
            (hash, signature)
                .prop_map(|(id, signature)| Message::CloseSigned { channel: ChannelId::new(id), signature }),
            (alias, any::<u16>(), any::<bool>(), "[a-z ]{0,128}")
                .prop_map(|(alias, code, is_fatal, text)| Message::Error { alias, code, is_fatal, text }),
        ]
    }

    proptest! {
        #[test]
        fn messages_read_as_they_were_written_and_not_with_a_byte_more_or_less(message in any_message()) {
            let bytes = message.encode();
            prop_assert!(bytes.len() <= MAX_LEN);
            let read = Message::decode(&bytes);
            prop_assert_eq!(read.as_ref(), Ok(&message));
            let has_tail = matches!(bytes[0], 4 | 9..=12);
            let longer = Message::decode(&[&bytes[..], &[0]].concat());
            prop_assert!(longer.is_err() || has_tail && longer.as_ref() != Ok(&message));
            let shorter = Message::decode(&bytes[..bytes.len() - 1]);
            prop_assert!(shorter.is_err() || has_tail && shorter.as_ref() != Ok(&message));
        }

        #[test]
        fn any_bytes_that_are_read_are_written_as_they_were(bytes: Vec<u8>, kind in prop_oneof![3..14_u8, Just(0x80)]) {
            let bytes = [&[kind][..], &bytes].concat();
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
