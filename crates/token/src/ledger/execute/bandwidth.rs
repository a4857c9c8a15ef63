//! Bandwidth: what each transaction takes of what is free, what issuers pay for, and what the coin has to be burnt for.
//!
//! The rules are java-tron's (`BandwidthProcessor`, `ResourceProcessor`). What others stake for there is a limit of the account's here.

use super::{Context, Receipt, burn};
use crate::address::Address;
use crate::contract::Contract;
use crate::ids::AssetId;
use crate::ledger::error::{ContractError, TxError};
use crate::ledger::record::Usage;
use crate::ledger::state::Draft;
use crate::transaction::SignedTransaction;

/// Charges for a transaction, whatever it does. Its owner has to be there and to sign by the scheme that it has signed by before.
pub(crate) fn charge(
    signed: &SignedTransaction,
    owner: &Address,
    scheme: u8,
    cx: &Context<'_>,
    draft: &mut Draft<'_>,
) -> Result<Receipt, TxError> {
    let missing = || TxError::Invalid(ContractError::NoAccount(*owner));
    let account = draft.account_mut(*owner).as_mut().ok_or_else(missing)?;
    if account.scheme != 0 && account.scheme != scheme {
        return Err(TxError::Signature(*owner));
    }
    account.scheme = scheme;
    let mut receipt = Receipt { net_usage: bytes(signed), ..Receipt::default() };
    let bytes = receipt.net_usage;
    let contract = &signed.transaction().contract;
    let slot = cx.head_time.get() / SLOT;
    let is_free = if opens_account(contract, draft) {
        let is_staked = use_staked(owner, bytes, slot, cx, draft);
        if !is_staked {
            burn(draft, owner, cx.params.create_account_fee).map_err(|_| TxError::Bandwidth)?;
            receipt.net_fee = cx.params.create_account_fee;
        }
        true
    } else {
        use_issuers(contract, owner, bytes, slot, cx, draft)
            || use_staked(owner, bytes, slot, cx, draft)
            || use_free(owner, bytes, slot, cx, draft)
    };
    if !is_free {
        let fee = cx.params.fee_per_byte.checked_mul(bytes).ok_or(TxError::Bandwidth)?;
        burn(draft, owner, fee).map_err(|_| TxError::Bandwidth)?;
        receipt.net_fee = fee;
    }
    if !signed.transaction().data.is_empty() {
        burn(draft, owner, cx.params.memo_fee).map_err(|_| TxError::Bandwidth)?;
        receipt.fee = cx.params.memo_fee;
    }
    Ok(receipt)
}

/// Bytes that a transaction is reckoned at: its own, and 64 for a result.
fn bytes(signed: &SignedTransaction) -> u64 {
    (signed.size() as u64).saturating_add(64)
}

fn opens_account(contract: &Contract, draft: &Draft<'_>) -> bool {
    let to = match contract {
        Contract::AccountCreate(_) => return true,
        Contract::Transfer(it) => &it.to_address,
        Contract::TransferAsset(it) => &it.to_address,
        _ => return false,
    };
    Address::from_slice(to).is_ok_and(|to| draft.accounts(&to).is_none())
}

/// The issuer of a token pays for its transfers, within its own limit, that for all holders and that for each.
fn use_issuers(
    contract: &Contract,
    owner: &Address,
    bytes: u64,
    slot: u64,
    cx: &Context<'_>,
    draft: &mut Draft<'_>,
) -> bool {
    let Contract::TransferAsset(transfer) = contract else { return false };
    let window = cx.params.bandwidth_window;
    let Some(id) = AssetId::parse(&transfer.asset_name) else { return false };
    let Some(asset) = draft.assets(&id) else { return false };
    let (issuer, limit) = (asset.owner, asset.net_limit.unsigned_abs());
    let public = asset.public_net.take(bytes, asset.public_net_limit.unsigned_abs(), slot, window);
    let of_issuer = draft.accounts(&issuer).and_then(|it| it.net.take(bytes, it.net_limit, slot, window));
    let own = draft.accounts(owner).and_then(|account| {
        let known = account.asset_net.binary_search_by_key(&id, |(id, _)| *id).ok();
        let usage = known.and_then(|at| account.asset_net.get(at)).map(|(_, usage)| *usage).unwrap_or_default();
        usage.take(bytes, limit, slot, window)
    });
    let (Some(public), Some(of_issuer), Some(own)) = (public, of_issuer, own) else { return false };
    draft.asset_mut(id).iter_mut().for_each(|asset| asset.public_net = public);
    draft.account_mut(issuer).iter_mut().for_each(|account| account.net = of_issuer);
    for account in draft.account_mut(*owner).iter_mut() {
        match account.asset_net.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => account.asset_net.get_mut(at).into_iter().for_each(|(_, usage)| *usage = own),
            Err(at) => account.asset_net.insert(at, (id, own)),
        }
    }
    true
}

/// What is the account's own.
fn use_staked(owner: &Address, bytes: u64, slot: u64, cx: &Context<'_>, draft: &mut Draft<'_>) -> bool {
    let Some(account) = draft.account_mut(*owner) else { return false };
    let usage = account.net.take(bytes, account.net_limit, slot, cx.params.bandwidth_window);
    usage.map(|usage| account.net = usage).is_some()
}

/// What is free for each, as long as all together leave some.
fn use_free(owner: &Address, bytes: u64, slot: u64, cx: &Context<'_>, draft: &mut Draft<'_>) -> bool {
    let window = cx.params.bandwidth_window;
    let public = draft.totals().public_net.take(bytes, cx.params.public_net_limit, slot, window);
    let Some(account) = draft.account_mut(*owner) else { return false };
    let usage = account.free_net.take(bytes, cx.params.free_net_limit, slot, window);
    let (Some(public), Some(usage)) = (public, usage) else { return false };
    account.free_net = usage;
    draft.totals_mut().public_net = public;
    true
}

impl Usage {
    /// So many bytes more, if the limit allows them.
    fn take(self, bytes: u64, limit: u64, slot: u64, window: u64) -> Option<Self> {
        let now = increase(self, 0, slot, window);
        let fits = limit.checked_sub(now.bytes).is_some_and(|left| bytes <= left);
        fits.then(|| increase(now, bytes, slot, window))
    }
}

/// What counts as used after so many bytes more: what was used before comes back evenly over the window. java-tron reckons it in millionths
/// per slot, with one step in floating point, which this follows to the bit.
fn increase(last: Usage, bytes: u64, slot: u64, window: u64) -> Usage {
    let scaled = |bytes: u64| u128::from(bytes).saturating_mul(PRECISION).div_ceil(u128::from(window.max(1)));
    let (mut before, more) = (scaled(last.bytes), scaled(bytes));
    if last.slot != slot {
        let passed = slot.saturating_sub(last.slot);
        before = match window.checked_sub(passed).filter(|left| *left > 0) {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "java-tron's rule"
            )]
            Some(left) => (before as f64 * (left as f64 / window as f64) + 0.5).floor() as u128,
            None => 0,
        };
    }
    let bytes = before.saturating_add(more).saturating_mul(window.into()) / PRECISION;
    Usage { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), slot }
}

/// Milliseconds of a slot.
const SLOT: u64 = 3000;
const PRECISION: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of java-tron's own test: 122 bytes and 64, and the same again half a day later.
    #[test]
    fn usage_comes_back_as_in_java_tron() {
        let slot = 508_882_612;
        let first = Usage::default().take(186, 5000, slot, 28_800).unwrap();
        assert_eq!(first, Usage { bytes: 186, slot });
        let second = first.take(186, 5000, slot + 14_400, 28_800).unwrap();
        assert_eq!(second.bytes, 279);
        assert_eq!(second.take(5000 - 279, 5000, slot + 14_400, 28_800).map(|it| it.bytes), Some(5000));
        assert_eq!(second.take(5000 - 278, 5000, slot + 14_400, 28_800), None);
        assert_eq!(increase(second, 0, slot + 14_400 + 28_800, 28_800).bytes, 0);
    }

    #[test]
    fn bytes_of_the_largest_transaction_do_not_overflow() {
        let huge = Usage { bytes: u64::MAX, slot: 0 };
        assert_eq!(huge.take(1, u64::MAX, 0, 28_800), None);
        assert!(increase(huge, u64::MAX, 1, 1).bytes > 0);
    }
}
