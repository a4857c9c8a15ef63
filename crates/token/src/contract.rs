//! What a transaction does: the contracts of TRON that concern its coin and TRC-10 tokens, with TRON's fields and numbers, and those of vaults
//! and channels, which are ours.
//!
//! Fields are as they came: whether they make sense is for the ledger to say, with the words that java-tron has for it.

mod message;

use crate::proto::{DecodeError, Reader, Writer};
use message::{MAX_LIST, Message, messages, once};

messages! {
    /// Opens an account (TRON's number 0).
    AccountCreate = (0, "protocol.AccountCreateContract") {
        /// Who pays for it.
        owner_address: bytes = 1,
        /// The account to open.
        account_address: bytes = 2,
        /// The kind of the account; 0 is a normal one.
        kind: int32 = 3,
    }
    /// Moves the native coin (1).
    Transfer = (1, "protocol.TransferContract") {
        /// Who pays.
        owner_address: bytes = 1,
        /// Who is paid.
        to_address: bytes = 2,
        /// Smallest units (sun).
        amount: int = 3,
    }
    /// Moves a token (2).
    TransferAsset = (2, "protocol.TransferAssetContract") {
        /// The token's number, in decimal digits.
        asset_name: bytes = 1,
        /// Who pays.
        owner_address: bytes = 2,
        /// Who is paid.
        to_address: bytes = 3,
        /// Smallest units.
        amount: int = 4,
    }
    /// Issues a token (6).
    AssetIssue = (6, "protocol.AssetIssueContract") {
        /// The issuer.
        owner_address: bytes = 1,
        /// 1 to 32 visible characters.
        name: bytes = 2,
        /// Up to 32 visible characters.
        abbr: bytes = 3,
        /// Smallest units, all that there will ever be.
        total_supply: int = 4,
        /// What the issuer gets later.
        frozen_supply: list(FrozenSupply) = 5,
        /// So many smallest units of the coin …
        trx_num: int32 = 6,
        /// Digits behind the point, 0 to 6.
        precision: int32 = 7,
        /// … buy so many of the token during the sale.
        num: int32 = 8,
        /// When the sale begins, in milliseconds since 1970.
        start_time: int = 9,
        /// When it has ended.
        end_time: int = 10,
        /// Without a meaning today.
        order: int = 11,
        /// Without a meaning today.
        vote_score: int32 = 16,
        /// Up to 200 bytes.
        description: bytes = 20,
        /// 1 to 256 bytes.
        url: bytes = 21,
        /// Bytes of bandwidth a day that the issuer pays for each holder.
        free_asset_net_limit: int = 22,
        /// Bytes of bandwidth a day that the issuer pays for all holders together.
        public_free_asset_net_limit: int = 23,
        /// Has to be 0.
        public_free_asset_net_usage: int = 24,
        /// Has to be 0.
        public_latest_free_net_time: int = 25,
        /// Given by the ledger.
        id: bytes = 41,
    }
    /// Buys a token that is on sale (9).
    ParticipateAssetIssue = (9, "protocol.ParticipateAssetIssueContract") {
        /// The buyer.
        owner_address: bytes = 1,
        /// The issuer.
        to_address: bytes = 2,
        /// The token's number, in decimal digits.
        asset_name: bytes = 3,
        /// What the buyer pays, in smallest units of the coin.
        amount: int = 4,
    }
    /// Moves frozen supply whose time has come to the issuer (14).
    UnfreezeAsset = (14, "protocol.UnfreezeAssetContract") {
        /// The issuer.
        owner_address: bytes = 1,
    }
    /// Changes what may be changed of a token (15).
    UpdateAsset = (15, "protocol.UpdateAssetContract") {
        /// The issuer.
        owner_address: bytes = 1,
        /// Up to 200 bytes.
        description: bytes = 2,
        /// 1 to 256 bytes.
        url: bytes = 3,
        /// The new limit for each holder.
        new_limit: int = 4,
        /// The new limit for all together.
        new_public_limit: int = 5,
    }
    /// Makes a pair that anybody may trade against (41).
    ExchangeCreate = (41, "protocol.ExchangeCreateContract") {
        /// The creator.
        owner_address: bytes = 1,
        /// A token's number in digits, or `_` for the coin.
        first_token_id: bytes = 2,
        /// Smallest units.
        first_token_balance: int = 3,
        /// The other one.
        second_token_id: bytes = 4,
        /// Smallest units.
        second_token_balance: int = 5,
    }
    /// Adds to a pair on both sides (42).
    ExchangeInject = (42, "protocol.ExchangeInjectContract") {
        /// The creator.
        owner_address: bytes = 1,
        /// The pair.
        exchange_id: int = 2,
        /// One of its sides.
        token_id: bytes = 3,
        /// Smallest units of that side.
        quant: int = 4,
    }
    /// Takes from a pair on both sides (43).
    ExchangeWithdraw = (43, "protocol.ExchangeWithdrawContract") {
        /// The creator.
        owner_address: bytes = 1,
        /// The pair.
        exchange_id: int = 2,
        /// One of its sides.
        token_id: bytes = 3,
        /// Smallest units of that side.
        quant: int = 4,
    }
    /// Trades against a pair (44).
    ExchangeTransaction = (44, "protocol.ExchangeTransactionContract") {
        /// Who trades.
        owner_address: bytes = 1,
        /// The pair.
        exchange_id: int = 2,
        /// What is sold.
        token_id: bytes = 3,
        /// How much of it.
        quant: int = 4,
        /// The least that is wanted for it.
        expected: int = 5,
    }
    /// Moves an asset into the owner's vault, out of which many payees are paid (1001).
    VaultDeposit = (1001, "unchoke.VaultDeposit") {
        /// The owner.
        owner_address: bytes = 1,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 2,
        /// Smallest units.
        amount: int = 3,
    }
    /// Asks for what is liquid in a vault; it can be taken out after the vault's delay (1002).
    VaultWithdraw = (1002, "unchoke.VaultWithdraw") {
        /// The owner.
        owner_address: bytes = 1,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 2,
        /// Smallest units; 0 takes back what was asked for.
        amount: int = 3,
    }
    /// Takes out what was asked for, as far as it is liquid (1003).
    VaultWithdrawFinish = (1003, "unchoke.VaultWithdrawFinish") {
        /// The owner.
        owner_address: bytes = 1,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 2,
    }
    /// Reserves a part of a vault for one payee (1004).
    VaultAllocate = (1004, "unchoke.VaultAllocate") {
        /// The owner.
        owner_address: bytes = 1,
        /// The payee.
        payee_address: bytes = 2,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 3,
        /// Smallest units, added to what is reserved.
        amount: int = 4,
    }
    /// Announces that a reservation shall shrink, after the vault's delay (1005).
    VaultRelease = (1005, "unchoke.VaultRelease") {
        /// The owner.
        owner_address: bytes = 1,
        /// The payee.
        payee_address: bytes = 2,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 3,
        /// Smallest units; 0 takes the announcement back.
        amount: int = 4,
    }
    /// Shrinks a reservation as announced (1006).
    VaultReleaseFinish = (1006, "unchoke.VaultReleaseFinish") {
        /// The owner.
        owner_address: bytes = 1,
        /// The payee.
        payee_address: bytes = 2,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 3,
    }
    /// Opens a channel (1011).
    ChannelOpen = (1011, "unchoke.ChannelOpen") {
        /// The payer.
        owner_address: bytes = 1,
        /// The payee.
        payee_address: bytes = 2,
        /// A token's number in digits, or `_`.
        asset_name: bytes = 3,
        /// Smallest units that the channel holds; 0 if claims are paid out of the payer's vault.
        deposit: int = 4,
        /// The scheme of the key that signs vouchers; 0 if there are only ticks of the anchor below.
        voucher_scheme: int32 = 5,
        /// That key.
        voucher_key: bytes = 6,
        /// 16 random bytes.
        salt: bytes = 7,
        /// The ledger: 32 bytes.
        ledger: bytes = 8,
        /// The height at which the payer has made this; the ledger takes it only for so many blocks after.
        opened_at: int = 9,
        /// Blocks in which claims are taken after the payer has asked to close.
        dispute: int = 10,
        /// For a channel without vouchers: the end of a hash chain.
        anchor: bytes = 11,
        /// What each tick of it is worth.
        tick_value: int = 12,
        /// How many there are.
        max_ticks: int = 13,
    }
    /// Adds to a channel's deposit (1012).
    ChannelTopUp = (1012, "unchoke.ChannelTopUp") {
        /// Who pays: anybody.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
        /// Smallest units.
        amount: int = 3,
    }
    /// Pays the payee what claims prove (1013). Anybody may hand it in.
    ChannelClaim = (1013, "unchoke.ChannelClaim") {
        /// Who hands it in.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
        /// One for each lane.
        claims: list(LaneClaim) = 3,
    }
    /// The payee closes at once; what is left goes to the payer (1014).
    ChannelRelease = (1014, "unchoke.ChannelRelease") {
        /// The payee.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
        /// The last claims.
        claims: list(LaneClaim) = 3,
    }
    /// Both close at once, at a total that both have signed (1015). Either hands it in.
    ChannelCloseMutual = (1015, "unchoke.ChannelCloseMutual") {
        /// Who hands it in.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
        /// All that the payee gets over the channel's life.
        total: int = 3,
        /// The height after which this does not count any more.
        not_after: int = 4,
        /// The payer's signature over the close statement, as its account signs.
        payer_signature: bytes = 5,
        /// The payee's.
        payee_signature: bytes = 6,
    }
    /// The payer asks to close: claims are taken for a while yet (1016).
    ChannelClose = (1016, "unchoke.ChannelClose") {
        /// The payer.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
    }
    /// Ends a channel whose time for claims is over (1017). Anybody may hand it in.
    ChannelFinish = (1017, "unchoke.ChannelFinish") {
        /// Who hands it in.
        owner_address: bytes = 1,
        /// The channel: 32 bytes.
        channel: bytes = 2,
    }
    ---
    /// A part of a token's supply that the issuer gets later.
    FrozenSupply {
        /// Smallest units.
        frozen_amount: int = 1,
        /// Days after the sale's beginning.
        frozen_days: int = 2,
    }
    /// The best that a payee holds of one lane.
    LaneClaim {
        /// The 112 bytes of a voucher; empty for a channel without vouchers.
        voucher: bytes = 1,
        /// Its signature.
        signature: bytes = 2,
        /// The tick's number; 0 if there is none.
        tick: int = 3,
        /// The tick: 32 bytes.
        preimage: bytes = 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_went_and_an_unknown_one_is_refused() {
        let contract = Contract::AssetIssue(AssetIssue {
            owner_address: vec![0x41; 21],
            name: b"BTT".to_vec(),
            total_supply: -5,
            frozen_supply: vec![FrozenSupply::default(), FrozenSupply { frozen_amount: 1, frozen_days: 2 }],
            precision: -1,
            id: b"7".to_vec(),
            ..AssetIssue::default()
        });
        let mut bytes = contract.encode();
        assert_eq!(Contract::decode(6, "protocol.AssetIssueContract", &bytes), Ok(contract));
        bytes.extend_from_slice(&[0xd0, 0x02, 0x01]);
        assert_eq!(
            Contract::decode(6, "protocol.AssetIssueContract", &bytes),
            Err(DecodeError::Field(bytes.len() - 3))
        );
        assert!(Contract::decode(6, "protocol.TransferContract", &[]).is_err());
        assert!(Contract::decode(7, "protocol.AssetIssueContract", &[]).is_err());
        // What would give an account several keys is no contract of ours.
        let update = Contract::decode(46, "protocol.AccountPermissionUpdateContract", &[]);
        assert_eq!(update, Err(DecodeError::Count("a known contract")));
    }
}
