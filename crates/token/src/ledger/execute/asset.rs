//! TRC-10 tokens: issued, moved, sold, unfrozen, described anew. Of each there is for ever what was issued. Order and words are java-tron's,
//! in the mode in which tokens go by number and names may be alike.

use super::{Context, Receipt, address, burn, opening_fee, owner, positive, receiver, require};
use crate::contract::{AssetIssue, FrozenSupply, ParticipateAssetIssue, TransferAsset, UnfreezeAsset, UpdateAsset};
use crate::ids::{AssetId, Timestamp};
use crate::ledger::error::{ContractError, words};
use crate::ledger::record::{Asset, Frozen, Usage};
use crate::ledger::state::Draft;
use crate::units::Units;

type Outcome = Result<Receipt, ContractError>;

pub(super) fn issue(contract: &AssetIssue, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress")?;
    let precision = check_names(contract)?;
    let (start, end) = check_times(contract, cx.head_time)?;
    let total_supply = positive(contract.total_supply, "TotalSupply must greater than 0!")?;
    require(contract.trx_num > 0, "TrxNum must greater than 0!")?;
    require(contract.num > 0, "Num must greater than 0!")?;
    require(contract.public_free_asset_net_usage == 0, "PublicFreeAssetNetUsage must be 0!")?;
    require(contract.frozen_supply.len() <= cx.params.max_frozen_supplies, "Frozen supply list length is too long")?;
    check_limits(contract.free_asset_net_limit, contract.public_free_asset_net_limit, cx)?;
    let (frozen, rest) = freeze(&contract.frozen_supply, total_supply, contract.start_time, cx)?;
    let account = draft.accounts(&by).ok_or(words("Account not exists"))?;
    require(account.issued.is_none(), "An account can only issue one asset")?;
    burn(draft, &by, cx.params.asset_issue_fee)?;
    let totals = draft.totals_mut();
    totals.last_token = totals.last_token.checked_add(1).ok_or(ContractError::Overflow)?;
    let id = AssetId::new(totals.last_token);
    let account = owner(draft, &by)?;
    (account.issued, account.frozen) = (Some(id), frozen);
    account.give(id, rest).ok_or(ContractError::Overflow)?;
    *draft.asset_mut(id) = Some(Asset {
        owner: by,
        name: contract.name.clone(),
        abbr: contract.abbr.clone(),
        total_supply,
        trx_num: contract.trx_num,
        num: contract.num,
        precision,
        start,
        end,
        description: contract.description.clone(),
        url: contract.url.clone(),
        net_limit: contract.free_asset_net_limit,
        public_net_limit: contract.public_free_asset_net_limit,
        public_net: Usage::default(),
    });
    Ok(Receipt { fee: cx.params.asset_issue_fee, issued: Some(id), ..Receipt::default() })
}

pub(super) fn transfer(contract: &TransferAsset, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress")?;
    let to = address(&contract.to_address, "Invalid toAddress")?;
    let amount = positive(contract.amount, "Amount must be greater than 0.")?;
    require(by != to, "Cannot transfer asset to yourself.")?;
    let payer = draft.accounts(&by).ok_or(words("No owner account!"))?;
    let id = token(&contract.asset_name, draft).ok_or(words("No asset!"))?;
    let held = payer.holds(id);
    require(!held.is_zero(), "assetBalance must be greater than 0.")?;
    require(amount <= held, "assetBalance is not sufficient.")?;
    let fee = opening_fee(draft, &to, cx);
    require(payer.balance >= fee, "Validate TransferAssetActuator error, insufficient fee.")?;
    receiver(draft, to, cx).give(id, amount).ok_or(ContractError::Overflow)?;
    burn(draft, &by, fee)?;
    owner(draft, &by)?.take(id, amount).ok_or(ContractError::Overflow)?;
    Ok(Receipt { fee, ..Receipt::default() })
}

pub(super) fn participate(contract: &ParticipateAssetIssue, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress")?;
    let issuer = address(&contract.to_address, "Invalid toAddress")?;
    let cost = positive(contract.amount, "Amount must greater than 0!")?;
    require(by != issuer, "Cannot participate asset Issue yourself !")?;
    let buyer = draft.accounts(&by).ok_or(words("Account does not exist!"))?;
    require(buyer.balance >= cost, "No enough balance !")?;
    let found = token(&contract.asset_name, draft).and_then(|id| Some((id, draft.assets(&id)?)));
    let unknown = || ContractError::NoAssetNamed(String::from_utf8_lossy(&contract.asset_name).into_owned());
    let (id, asset) = found.ok_or_else(unknown)?;
    if asset.owner != issuer {
        return Err(ContractError::NotIssuer(issuer));
    }
    require(asset.start <= cx.head_time && cx.head_time < asset.end, "No longer valid period!")?;
    let bought = cost.checked_mul(asset.num.unsigned_abs().into()).ok_or(ContractError::Overflow)?;
    let bought = bought.get().checked_div(asset.trx_num.unsigned_abs().into()).and_then(Units::new);
    let bought = bought.filter(|it| !it.is_zero()).ok_or(words("Can not process the exchange!"))?;
    let seller = draft.accounts(&issuer).ok_or(words("To account does not exist!"))?;
    require(seller.holds(id) >= bought, "Asset balance is not enough !")?;
    let seller = owner(draft, &issuer)?;
    seller.take(id, bought).ok_or(ContractError::Overflow)?;
    seller.give(AssetId::NATIVE, cost).ok_or(ContractError::Overflow)?;
    let buyer = owner(draft, &by)?;
    buyer.take(AssetId::NATIVE, cost).ok_or(ContractError::Overflow)?;
    buyer.give(id, bought).ok_or(ContractError::Overflow)?;
    Ok(Receipt { received: bought, ..Receipt::default() })
}

pub(super) fn unfreeze(contract: &UnfreezeAsset, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid address")?;
    let account = draft.account_mut(by).as_mut().ok_or(ContractError::NoOwner(by))?;
    require(!account.frozen.is_empty(), "no frozen supply balance")?;
    let id = account.issued.ok_or(words("this account has not issued any asset"))?;
    let (mut received, before) = (Units::ZERO, account.frozen.len());
    for due in account.frozen.extract_if(.., |it| it.expires <= cx.head_time) {
        received = received.checked_add(due.amount).ok_or(ContractError::Overflow)?;
    }
    require(account.frozen.len() < before, "It's not time to unfreeze asset supply")?;
    account.give(id, received).ok_or(ContractError::Overflow)?;
    Ok(Receipt { received, ..Receipt::default() })
}

pub(super) fn update(contract: &UpdateAsset, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid ownerAddress")?;
    let account = draft.accounts(&by).ok_or(words("Account does not exist"))?;
    let id = account.issued.ok_or(words("Account has not issued any asset"))?;
    let missing = words("Asset is not existed in AssetIssueV2Store");
    let asset = draft.asset_mut(id).as_mut().ok_or(missing)?;
    check_texts(&contract.url, &contract.description)?;
    check_limits(contract.new_limit, contract.new_public_limit, cx)?;
    asset.url.clone_from(&contract.url);
    asset.description.clone_from(&contract.description);
    (asset.net_limit, asset.public_net_limit) = (contract.new_limit, contract.new_public_limit);
    Ok(Receipt::default())
}

/// The token that a contract names, if there is one.
fn token(name: &[u8], draft: &Draft<'_>) -> Option<AssetId> {
    AssetId::parse(name).filter(|id| draft.assets(id).is_some())
}

/// Name, precision and texts. Returns the precision.
fn check_names(contract: &AssetIssue) -> Result<u8, ContractError> {
    require(is_name(&contract.name), "Invalid assetName")?;
    require(!contract.name.eq_ignore_ascii_case(b"trx"), "assetName can't be trx")?;
    let precision = u8::try_from(contract.precision).ok().filter(|it| *it <= MAX_PRECISION);
    let precision = precision.ok_or(words("precision cannot exceed 6"))?;
    require(contract.abbr.is_empty() || is_name(&contract.abbr), "Invalid abbreviation for token")?;
    check_texts(&contract.url, &contract.description)?;
    Ok(precision)
}

fn check_texts(url: &[u8], description: &[u8]) -> Result<(), ContractError> {
    require((1..=MAX_URL).contains(&url.len()), "Invalid url")?;
    require(description.len() <= MAX_DESCRIPTION, "Invalid description")
}

/// When the sale begins and when it has ended.
fn check_times(contract: &AssetIssue, head: Timestamp) -> Result<(Timestamp, Timestamp), ContractError> {
    let (start, end) = (contract.start_time, contract.end_time);
    require(start != 0, "Start time should be not empty")?;
    require(end != 0, "End time should be not empty")?;
    require(end > start, "End time should be greater than start time")?;
    let time = |time: i64| u64::try_from(time).ok().map(Timestamp::new);
    let late = words("Start time should be greater than HeadBlockTime");
    time(start).filter(|start| *start > head).zip(time(end)).ok_or(late)
}

fn check_limits(each: i64, public: i64, cx: &Context<'_>) -> Result<(), ContractError> {
    let allowed = 0..cx.params.one_day_net_limit;
    require(allowed.contains(&each), "Invalid FreeAssetNetLimit")?;
    require(allowed.contains(&public), "Invalid PublicFreeAssetNetLimit")
}

/// What is frozen of a supply, and what is left of it.
fn freeze(
    entries: &[FrozenSupply],
    total: Units,
    start: i64,
    cx: &Context<'_>,
) -> Result<(Vec<Frozen>, Units), ContractError> {
    let (mut frozen, mut rest) = (Vec::with_capacity(entries.len()), total);
    let (min, max) = (cx.params.min_frozen_days, cx.params.max_frozen_days);
    for entry in entries {
        let amount = positive(entry.frozen_amount, "Frozen supply must be greater than 0!")?;
        rest = rest.checked_sub(amount).ok_or(words("Frozen supply cannot exceed total supply"))?;
        if !(min..=max).contains(&entry.frozen_days) {
            return Err(ContractError::FrozenDays { max, min });
        }
        let expires = entry.frozen_days.checked_mul(DAY).and_then(|days| start.checked_add(days));
        let expires = expires.and_then(|it| u64::try_from(it).ok());
        let expires = expires.ok_or(words("Start time and frozen days would cause expire time overflow"))?;
        frozen.push(Frozen { amount, expires: Timestamp::new(expires) });
    }
    Ok((frozen, rest))
}

/// 1 to 32 visible characters of ASCII.
fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

const MAX_NAME: usize = 32;
const MAX_URL: usize = 256;
const MAX_DESCRIPTION: usize = 200;
const MAX_PRECISION: u8 = 6;
/// Milliseconds.
const DAY: i64 = 86_400_000;
