//! What a ledger charges and allows: TRON's chain parameters as data.

use crate::channel::ChannelParams;
use crate::ids::Timestamp;
use crate::units::Units;

/// The numbers by which a ledger goes. Amounts are in smallest units of the native coin (sun on TRON), limits of bandwidth in bytes a day.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChainParams {
    /// For issuing a token.
    pub asset_issue_fee: Units,
    /// For making a pair.
    pub exchange_create_fee: Units,
    /// The most of one side of a pair.
    pub exchange_balance_limit: Units,
    /// For each byte that no bandwidth is left for.
    pub fee_per_byte: Units,
    /// Bytes a day that each account has for nothing.
    pub free_net_limit: u64,
    /// Bytes a day that all accounts together have for nothing.
    pub public_net_limit: u64,
    /// Instead of bandwidth, where a transaction opens an account.
    pub create_account_fee: Units,
    /// Besides, for the account that a transaction opens.
    pub create_new_account_fee: Units,
    /// For a transaction with more than one signature, which no ledger of this crate takes.
    pub multi_sign_fee: Units,
    /// For a transaction with a memo.
    pub memo_fee: Units,
    /// Entries of a token's frozen supply.
    pub max_frozen_supplies: usize,
    /// The shortest time for which supply is frozen, in days.
    pub min_frozen_days: i64,
    /// The longest.
    pub max_frozen_days: i64,
    /// What the daily limits that an issuer sets have to stay below.
    pub one_day_net_limit: i64,
    /// Slots of three seconds over which bandwidth comes back.
    pub bandwidth_window: u64,
    /// The first token has the number after this one.
    pub token_id_start: u64,
    /// Transactions lapse within so many milliseconds.
    pub max_expiration: u64,
    /// Transactions refer to one of so many last blocks.
    pub reference_window: u64,
    /// What is asked of channels.
    pub channels: ChannelParams,
    /// Blocks until a vault gives back what it was asked for. It should be no less than the longest dispute that payees of a vault accept.
    pub vault_delay: u64,
    /// For opening a channel.
    pub channel_open_fee: Units,
}

impl ChainParams {
    /// What java-tron starts a chain with.
    #[must_use]
    pub fn genesis() -> Self {
        Self {
            asset_issue_fee: sun(1_024_000_000),
            exchange_create_fee: sun(1_024_000_000),
            exchange_balance_limit: sun(1_000_000_000_000_000),
            fee_per_byte: sun(10),
            free_net_limit: 5000,
            public_net_limit: 14_400_000_000,
            create_account_fee: sun(100_000),
            create_new_account_fee: Units::ZERO,
            multi_sign_fee: sun(1_000_000),
            memo_fee: Units::ZERO,
            max_frozen_supplies: 10,
            min_frozen_days: 1,
            max_frozen_days: 3652,
            one_day_net_limit: 57_600_000_000,
            bandwidth_window: 28_800,
            token_id_start: 1_000_000,
            max_expiration: 86_400_000,
            reference_window: 65_536,
            channels: ChannelParams::default(),
            vault_delay: 28_800,
            channel_open_fee: Units::ZERO,
        }
    }

    /// What the main network of TRON charges at a time.
    ///
    /// `None` before [`MAINNET_SINCE`]: the network votes on these numbers, and of earlier votes this crate knows neither days nor outcomes. A
    /// later vote is not known either, so what this gives is right from that day until the next vote. The fee for memos is the one number
    /// of these that TRON's documentation of that day does not confirm.
    #[must_use]
    pub fn mainnet(date: Timestamp) -> Option<Self> {
        let params = Self {
            fee_per_byte: sun(1000),
            free_net_limit: 600,
            create_new_account_fee: sun(1_000_000),
            memo_fee: sun(1_000_000),
            ..Self::genesis()
        };
        (date >= MAINNET_SINCE).then_some(params)
    }

    /// For a ledger of one's own, which no strangers flood: everything is free of charge.
    #[must_use]
    pub fn embedded() -> Self {
        Self {
            asset_issue_fee: Units::ZERO,
            exchange_create_fee: Units::ZERO,
            fee_per_byte: Units::ZERO,
            create_account_fee: Units::ZERO,
            multi_sign_fee: Units::ZERO,
            ..Self::genesis()
        }
    }
}

/// From when on the main network's parameters are known: 2026-07-21 at 00:00 UTC, the day of TRON's documentation that they are taken from.
pub const MAINNET_SINCE: Timestamp = Timestamp::new(1_784_592_000_000);

const fn sun(units: u64) -> Units {
    match Units::new(units) {
        Some(units) => units,
        None => Units::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_networks_numbers_are_known_from_one_day_on() {
        // 2026-07-21 is day 20,655 after 1970-01-01.
        assert_eq!(MAINNET_SINCE.get(), 20_655 * 86_400_000);
        let before = Timestamp::new(MAINNET_SINCE.get() - 1);
        assert_eq!(ChainParams::mainnet(before), None);
        assert_eq!(ChainParams::mainnet(Timestamp::default()), None);
        let params = ChainParams::mainnet(MAINNET_SINCE).unwrap();
        assert_eq!((params.fee_per_byte, params.free_net_limit), (sun(1000), 600));
        assert_eq!(params.create_new_account_fee, sun(1_000_000));
        assert_eq!(params.asset_issue_fee, ChainParams::genesis().asset_issue_fee);
        assert_eq!(ChainParams::mainnet(Timestamp::new(u64::MAX)), Some(params));
    }
}
