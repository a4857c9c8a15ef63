//! Vouchers: what a payer signs, 112 bytes of fixed form, and claims, which are what a payee holds.

use crate::contract::LaneClaim;
use crate::ids::{ChannelId, Height, Lane, Seq};
use crate::tick::Tick;
use crate::units::Units;

/// What the payer owes in one lane over the channel's life, and the end of a chain of ticks by which more can be paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Voucher {
    /// The channel, which commits to the ledger, the parties, the asset and the key.
    pub channel: ChannelId,
    /// The lane.
    pub lane: Lane,
    /// Rises with each voucher of the lane.
    pub seq: Seq,
    /// What is owed without any tick.
    pub base: Units,
    /// The end of the chain of ticks; zeros if there is none.
    pub anchor: [u8; 32],
    /// What each tick adds.
    pub tick_value: Units,
    /// How many ticks there are.
    pub max_ticks: u32,
    /// The last height at which a ledger takes it; 0 if there is none.
    pub not_after: Height,
}

/// A voucher and its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SignedVoucher {
    /// What is signed.
    pub voucher: Voucher,
    /// By the channel's voucher key: 64 bytes for Ed25519, 65 for secp256k1.
    pub signature: Vec<u8>,
}

/// The best that a payee holds of a lane: a voucher, and a tick of its chain.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Claim {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// The last tick.
    pub tick: Option<Tick>,
}

/// A total at which both parties close a channel. Each signs its 56 bytes as its account signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CloseStatement {
    /// The channel.
    pub channel: ChannelId,
    /// All that the payee gets over the channel's life.
    pub total: Units,
    /// The last height at which this counts.
    pub not_after: Height,
}

/// Bytes that are no voucher.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoucherError {
    /// Another length.
    #[error("a voucher has 112 bytes, not {0}")]
    Length(usize),
    /// They begin as something else.
    #[error("the bytes do not begin as those of a voucher")]
    Kind,
    /// What it is worth with all its ticks is no amount.
    #[error("the voucher with all its ticks is worth more than 2^63 - 1 units")]
    TooLarge,
    /// Ticks without a chain, or a chain without ticks.
    #[error("anchor, value and number of ticks do not fit together")]
    Ticks,
}

impl Voucher {
    /// The bytes of a voucher.
    pub const LEN: usize = 112;

    /// A voucher for an amount, without ticks and without an end.
    #[must_use]
    pub const fn new(channel: ChannelId, lane: Lane, seq: Seq, base: Units) -> Self {
        let (anchor, tick_value, not_after) = ([0; 32], Units::ZERO, Height::new(0));
        Self { channel, lane, seq, base, anchor, tick_value, max_ticks: 0, not_after }
    }

    /// With so many ticks of a chain with this end, of so much each.
    #[must_use]
    pub const fn with_ticks(self, anchor: [u8; 32], tick_value: Units, max_ticks: u32) -> Self {
        Self { anchor, tick_value, max_ticks, ..self }
    }

    /// With a last height.
    #[must_use]
    pub const fn with_end(self, not_after: Height) -> Self {
        Self { not_after, ..self }
    }

    /// What it is worth with so many ticks; `None` if there are not as many, or it is no amount.
    #[must_use]
    pub fn value(&self, ticks: u32) -> Option<Units> {
        let ticks = Some(ticks).filter(|ticks| *ticks <= self.max_ticks)?;
        self.base.checked_add(self.tick_value.checked_mul(ticks.into())?)
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(TAG);
        bytes[8..40].copy_from_slice(self.channel.as_bytes());
        bytes[40..44].copy_from_slice(&self.lane.get().to_le_bytes());
        bytes[44..52].copy_from_slice(&self.seq.get().to_le_bytes());
        bytes[52..60].copy_from_slice(&self.base.get().to_le_bytes());
        bytes[60..92].copy_from_slice(&self.anchor);
        bytes[92..100].copy_from_slice(&self.tick_value.get().to_le_bytes());
        bytes[100..104].copy_from_slice(&self.max_ticks.to_le_bytes());
        bytes[104..].copy_from_slice(&self.not_after.get().to_le_bytes());
        bytes
    }

    /// Reads them.
    ///
    /// # Errors
    /// If they are no voucher that makes sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VoucherError> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().map_err(|_| VoucherError::Length(bytes.len()))?;
        if !bytes.starts_with(TAG) {
            return Err(VoucherError::Kind);
        }
        let units = |at| Units::new(u64::from_le_bytes(array(bytes, at))).ok_or(VoucherError::TooLarge);
        let voucher = Self {
            channel: ChannelId::new(array(bytes, 8)),
            lane: Lane::new(u32::from_le_bytes(array(bytes, 40))),
            seq: Seq::new(u64::from_le_bytes(array(bytes, 44))),
            base: units(52)?,
            anchor: array(bytes, 60),
            tick_value: units(92)?,
            max_ticks: u32::from_le_bytes(array(bytes, 100)),
            not_after: Height::new(u64::from_le_bytes(array(bytes, 104))),
        };
        let has_chain = voucher.anchor != [0; 32];
        let is_long = voucher.max_ticks > crate::tick::MAX_TICKS;
        if is_long || has_chain != (voucher.max_ticks > 0) || has_chain == voucher.tick_value.is_zero() {
            return Err(VoucherError::Ticks);
        }
        voucher.value(voucher.max_ticks).ok_or(VoucherError::TooLarge)?;
        Ok(voucher)
    }
}

impl SignedVoucher {
    /// A voucher with its signature.
    #[must_use]
    pub const fn new(voucher: Voucher, signature: Vec<u8>) -> Self {
        Self { voucher, signature }
    }
}

impl Claim {
    /// A voucher, and the last tick of its chain if there is one.
    #[must_use]
    pub const fn new(voucher: SignedVoucher, tick: Option<Tick>) -> Self {
        Self { voucher, tick }
    }

    /// What it is worth; `None` if the tick is none of the voucher's. Whether the tick is a link of the chain is not looked at.
    #[must_use]
    pub fn value(&self) -> Option<Units> {
        self.voucher.voucher.value(self.tick.map_or(0, |tick| tick.index))
    }

    /// As transactions carry it.
    #[must_use]
    pub fn to_contract(&self) -> LaneClaim {
        LaneClaim {
            voucher: self.voucher.voucher.to_bytes().to_vec(),
            signature: self.voucher.signature.clone(),
            tick: self.tick.map_or(0, |tick| tick.index.into()),
            preimage: self.tick.map(|tick| tick.preimage.to_vec()).unwrap_or_default(),
        }
    }
}

impl CloseStatement {
    /// This total, until this height.
    #[must_use]
    pub const fn new(channel: ChannelId, total: Units, not_after: Height) -> Self {
        Self { channel, total, not_after }
    }

    /// The bytes that both sign.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut bytes = [0; 56];
        bytes[..8].copy_from_slice(b"btpcCLS1");
        bytes[8..40].copy_from_slice(self.channel.as_bytes());
        bytes[40..48].copy_from_slice(&self.total.get().to_le_bytes());
        bytes[48..].copy_from_slice(&self.not_after.get().to_le_bytes());
        bytes
    }
}

fn array<const N: usize>(bytes: &[u8; Voucher::LEN], at: usize) -> [u8; N] {
    // All places lie within the 112 bytes.
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// What no other object that is signed begins with.
const TAG: &[u8; 8] = b"btpcVCH1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn voucher() -> Voucher {
        Voucher::new(ChannelId::new([9; 32]), Lane::new(2), Seq::new(3), Units::new(1000).unwrap())
            .with_ticks([5; 32], Units::new(10).unwrap(), 4)
            .with_end(Height::new(77))
    }

    #[test]
    fn a_voucher_is_worth_its_base_and_its_ticks() {
        assert_eq!(voucher().value(0).unwrap().get(), 1000);
        assert_eq!(voucher().value(4).unwrap().get(), 1040);
        assert_eq!(voucher().value(5), None);
    }

    #[test]
    fn the_form_is_fixed() {
        let bytes = voucher().to_bytes();
        assert_eq!(Voucher::from_bytes(&bytes), Ok(voucher()));
        assert_eq!(Voucher::from_bytes(&bytes[..111]), Err(VoucherError::Length(111)));
        assert_eq!(Voucher::from_bytes(&[&bytes[..], &[0]].concat()), Err(VoucherError::Length(113)));
        let statement = CloseStatement::new(voucher().channel, voucher().base, voucher().not_after).to_bytes();
        let mut other = bytes;
        other[..56].copy_from_slice(&statement);
        assert_eq!(Voucher::from_bytes(&other), Err(VoucherError::Kind));
    }

    #[test]
    fn what_could_not_be_paid_is_no_voucher() {
        let bytes = Voucher { base: Units::MAX, ..voucher() }.to_bytes();
        assert_eq!(Voucher::from_bytes(&bytes), Err(VoucherError::TooLarge));
        for odd in [
            Voucher { anchor: [0; 32], ..voucher() },
            Voucher { max_ticks: 0, ..voucher() },
            Voucher { tick_value: Units::ZERO, ..voucher() },
        ] {
            assert_eq!(Voucher::from_bytes(&odd.to_bytes()), Err(VoucherError::Ticks));
        }
        let mut bytes = voucher().to_bytes();
        bytes[59] = 0x80;
        assert_eq!(Voucher::from_bytes(&bytes), Err(VoucherError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_112_bytes_that_are_read_are_written_as_they_were(tail in proptest::collection::vec(any::<u8>(), 104), high in 0..4_usize) {
            let mut bytes = [TAG.to_vec(), tail].concat();
            (bytes[59], bytes[99]) = (u8::try_from(high).unwrap(), 0);
            if let Ok(voucher) = Voucher::from_bytes(&bytes) {
                prop_assert_eq!(voucher.to_bytes().to_vec(), bytes);
            }
        }

        #[test]
        fn every_bit_counts(bit in 0..896_usize) {
            let mut bytes = voucher().to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Voucher::from_bytes(&bytes), Ok(voucher()));
        }
    }
}
