//! Pairs of assets that anybody may trade against, at a price that follows from what each side holds. Order, words and arithmetic are
//! java-tron's; trades are reckoned in floating point there, with the `pow` of fdlibm, and to the same bit here.

use super::{Context, Receipt, address, burn, owner, positive, require};
use crate::address::Address;
use crate::contract::{ExchangeCreate, ExchangeInject, ExchangeTransaction, ExchangeWithdraw};
use crate::ids::AssetId;
use crate::ledger::error::{ContractError, words};
use crate::ledger::record::Exchange;
use crate::ledger::state::Draft;
use crate::units::Units;

type Outcome = Result<Receipt, ContractError>;

pub(super) fn create(contract: &ExchangeCreate, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid address")?;
    let (fee, limit) = (cx.params.exchange_create_fee, cx.params.exchange_balance_limit);
    let account = draft.accounts(&by).ok_or(ContractError::NoAccount(by))?;
    require(account.balance >= fee, "No enough balance for exchange create fee!")?;
    let (first, second) = (&contract.first_token_id, &contract.second_token_id);
    require(is_token(first), "first token id is not a valid number")?;
    require(is_token(second), "second token id is not a valid number")?;
    require(first != second, "cannot exchange same tokens")?;
    let amount = |amount| positive(amount, "token balance must greater than zero");
    let amounts = (amount(contract.first_token_balance)?, amount(contract.second_token_balance)?);
    if amounts.0.max(amounts.1) > limit {
        return Err(ContractError::ExchangeLimit(limit));
    }
    let side = |name: &[u8], amount: Units, otherwise| {
        let id = AssetId::parse(name).ok_or(words(otherwise))?;
        let with_fee = if id == AssetId::NATIVE { amount.checked_add(fee) } else { Some(amount) };
        let otherwise = if id == AssetId::NATIVE { "balance is not enough" } else { otherwise };
        require(with_fee.is_some_and(|it| account.holds(id) >= it), otherwise)?;
        Ok::<_, ContractError>((id, amount))
    };
    let first = side(first, amounts.0, "first token balance is not enough")?;
    let second = side(second, amounts.1, "second token balance is not enough")?;
    burn(draft, &by, fee)?;
    for (id, amount) in [first, second] {
        owner(draft, &by)?.take(id, amount).ok_or(ContractError::Overflow)?;
    }
    let totals = draft.totals_mut();
    totals.last_exchange = totals.last_exchange.checked_add(1).ok_or(ContractError::Overflow)?;
    let id = totals.last_exchange;
    *draft.exchange_mut(id) = Some(Exchange { creator: by, created: cx.head_time, first, second });
    Ok(Receipt { fee, exchange: Some(id), ..Receipt::default() })
}

pub(super) fn inject(contract: &ExchangeInject, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid address")?;
    let (id, pair) = creators(by, contract.exchange_id, draft)?;
    let sides = Sides::of(&pair, &contract.token_id, "token id is not in exchange")?;
    sides.require_open()?;
    let quant = positive(contract.quant, "injected token quant must greater than zero")?;
    let other = sides.share(quant).ok_or(ContractError::Overflow)?;
    require(!other.is_zero(), "the calculated token quant  must be greater than 0")?;
    let limit = cx.params.exchange_balance_limit;
    let both = sides.this.1.checked_add(quant).zip(sides.other.1.checked_add(other));
    let (this, that) = both.filter(|(a, b)| *a.max(b) <= limit).ok_or(ContractError::ExchangeLimit(limit))?;
    let account = owner(draft, &by)?;
    for (asset, amount, otherwise) in [
        (sides.this.0, quant, "token balance is not enough"),
        (sides.other.0, other, "another token balance is not enough"),
    ] {
        let otherwise = if asset == AssetId::NATIVE { "balance is not enough" } else { otherwise };
        account.take(asset, amount).ok_or(words(otherwise))?;
    }
    *draft.exchange_mut(id) = Some(sides.with(&pair, this, that));
    Ok(Receipt { exchange: Some(id), received: other, ..Receipt::default() })
}

pub(super) fn withdraw(contract: &ExchangeWithdraw, _cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid address")?;
    let (id, pair) = creators(by, contract.exchange_id, draft)?;
    let sides = Sides::of(&pair, &contract.token_id, "token is not in exchange")?;
    let quant = positive(contract.quant, "withdraw token quant must greater than zero")?;
    sides.require_open()?;
    let other = sides.share(quant).ok_or(ContractError::Overflow)?;
    let rest = sides.this.1.checked_sub(quant).zip(sides.other.1.checked_sub(other));
    let (this, that) = rest.ok_or(words("exchange balance is not enough"))?;
    require(!other.is_zero(), "withdraw another token quant must greater than zero")?;
    require(sides.is_precise(quant, other), "Not precise enough")?;
    let account = owner(draft, &by)?;
    account.give(sides.this.0, quant).ok_or(ContractError::Overflow)?;
    account.give(sides.other.0, other).ok_or(ContractError::Overflow)?;
    *draft.exchange_mut(id) = Some(sides.with(&pair, this, that));
    Ok(Receipt { exchange: Some(id), received: other, ..Receipt::default() })
}

pub(super) fn trade(contract: &ExchangeTransaction, cx: &Context<'_>, draft: &mut Draft<'_>) -> Outcome {
    let by = address(&contract.owner_address, "Invalid address")?;
    let account = draft.accounts(&by).ok_or(ContractError::NoAccount(by))?;
    let (id, pair) = find(contract.exchange_id, draft)?;
    let sides = Sides::of(&pair, &contract.token_id, "token is not in exchange")?;
    let quant = positive(contract.quant, "token quant must greater than zero")?;
    let expected = positive(contract.expected, "token expected must greater than zero")?;
    sides.require_open()?;
    let limit = cx.params.exchange_balance_limit;
    let this = sides.this.1.checked_add(quant).filter(|it| *it <= limit).ok_or(ContractError::ExchangeLimit(limit))?;
    let is_coin = sides.this.0 == AssetId::NATIVE;
    let poor = if is_coin { "balance is not enough" } else { "token balance is not enough" };
    require(account.holds(sides.this.0) >= quant, poor)?;
    let bought = brought(sides.this.1, sides.other.1, quant);
    let bought = Units::try_from(bought).ok().filter(|it| *it >= expected);
    let bought = bought.ok_or(words("token required must greater than expected"))?;
    // Where a little stood against much, rounding can give more than there is.
    let that = sides.other.1.checked_sub(bought).ok_or(words("exchange balance is not enough"))?;
    let account = owner(draft, &by)?;
    account.take(sides.this.0, quant).ok_or(ContractError::Overflow)?;
    account.give(sides.other.0, bought).ok_or(ContractError::Overflow)?;
    *draft.exchange_mut(id) = Some(sides.with(&pair, this, that));
    Ok(Receipt { exchange: Some(id), received: bought, ..Receipt::default() })
}

/// A pair, from the side that a contract names.
struct Sides {
    this: (AssetId, Units),
    other: (AssetId, Units),
    is_first: bool,
}

impl Sides {
    fn of(pair: &Exchange, name: &[u8], otherwise: &'static str) -> Result<Self, ContractError> {
        require(is_token(name), "token id is not a valid number")?;
        let id = AssetId::parse(name).ok_or(words(otherwise))?;
        let is_first = id == pair.first.0;
        require(is_first || id == pair.second.0, otherwise)?;
        let (this, other) = if is_first { (pair.first, pair.second) } else { (pair.second, pair.first) };
        Ok(Self { this, other, is_first })
    }

    fn require_open(&self) -> Result<(), ContractError> {
        let is_open = !self.this.1.is_zero() && !self.other.1.is_zero();
        require(is_open, "Token balance in exchange is equal with 0,the exchange has been closed")
    }

    /// What of the other side goes with so much of this one, rounded down.
    fn share(&self, quant: Units) -> Option<Units> {
        let product = u128::from(self.other.1.get()).checked_mul(quant.get().into())?;
        u64::try_from(product.checked_div(self.this.1.get().into())?).ok().and_then(Units::new)
    }

    /// Whether rounding down costs no more than a ten-thousandth: java-tron has the exact share to four decimals, and goes on in floating point.
    fn is_precise(&self, quant: Units, other: Units) -> bool {
        let (product, this) = (u128::from(self.other.1.get()), u128::from(self.this.1.get()));
        let product = product.saturating_mul(quant.get().into());
        let (Some(whole), Some(rest)) = (product.checked_div(this), product.checked_rem(this)) else { return false };
        // Half a ten-thousandth goes up.
        let decimals =
            rest.saturating_mul(20_000).saturating_add(this).checked_div(this.saturating_mul(2)).unwrap_or(0);
        let whole = whole.saturating_add(decimals / 10_000);
        let exact: f64 = format!("{whole}.{:04}", decimals % 10_000).parse().unwrap_or(f64::MAX);
        let rounded = float(other);
        (exact - rounded) / rounded <= 0.0001
    }

    fn with(&self, pair: &Exchange, this: Units, other: Units) -> Exchange {
        let (this, other) = ((self.this.0, this), (self.other.0, other));
        let (first, second) = if self.is_first { (this, other) } else { (other, this) };
        Exchange { creator: pair.creator, created: pair.created, first, second }
    }
}

fn find(id: i64, draft: &Draft<'_>) -> Result<(u64, Exchange), ContractError> {
    let number = u64::try_from(id).ok();
    let found = number.and_then(|number| Some((number, draft.exchanges(&number)?.clone())));
    found.ok_or(ContractError::NoExchange(id))
}

/// A pair whose creator this is.
fn creators(by: Address, id: i64, draft: &Draft<'_>) -> Result<(u64, Exchange), ContractError> {
    draft.accounts(&by).ok_or(ContractError::NoAccount(by))?;
    let (id, pair) = find(id, draft)?;
    if pair.creator == by { Ok((id, pair)) } else { Err(ContractError::NotCreator(by)) }
}

/// `_`, or a number without zeros before it.
fn is_token(name: &[u8]) -> bool {
    let is_number =
        !name.is_empty() && name.iter().all(u8::is_ascii_digit) && (name.len() == 1 || !name.starts_with(b"0"));
    is_number || name == b"_"
}

/// What so much of what is sold brings, given what the pair holds of that and of what is bought.
#[allow(
    clippy::cast_possible_truncation,
    reason = "java-tron cuts off what is behind the point; too large a number becomes the largest"
)]
fn brought(sold_balance: Units, bought_balance: Units, quant: Units) -> i64 {
    let new_balance = sold_balance.checked_add(quant).unwrap_or(Units::MAX);
    let relayed = -SUPPLY * (1.0 - libm::pow(1.0 + float(quant) / float(new_balance), 0.0005));
    let relayed = relayed as i64;
    #[allow(clippy::cast_precision_loss, reason = "java-tron's rule")]
    let ratio = relayed as f64 / SUPPLY;
    (float(bought_balance) * (libm::pow(1.0 + ratio, 2000.0) - 1.0)) as i64
}

#[allow(clippy::cast_precision_loss, reason = "java-tron's rule")]
const fn float(amount: Units) -> f64 {
    amount.get() as f64
}

/// What java-tron puts between the two sides.
const SUPPLY: f64 = 1e18;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sold: u64, bought: u64, quant: u64) -> i64 {
        let units = |it| Units::new(it).unwrap();
        brought(units(sold), units(bought), units(quant))
    }

    /// Of java-tron's own tests.
    #[test]
    fn trades_bring_what_they_do_in_java_tron() {
        let (trx, token) = (100_000_000_000_000, 137_438_953_472);
        assert_eq!(of(trx, token, 2_000_000_000_000), 2_694_881_440);
        assert_eq!(of(trx, token, 1_000_000_000_000), 1_360_781_717);
        assert_eq!(of(trx + 1_000_000_000_000, token - 1_360_781_717, 1_000_000_000_000), 1_334_099_723);
        assert_eq!(of(token - 2_694_881_440, trx + 2_000_000_000_000, 2_694_881_440), 1_999_999_999_542);
        assert_eq!(of(1_000_000_000_000, 10_000_000, 10_000_000), 99);
        assert_eq!(of(100_000_000, 100_000_000, 1_000_000), 990_099);
        assert_eq!(of(101_000_000, 100_000_000 - 990_099, 9_000_000), 8_100_810);
        assert_eq!(of(4_732_214, 2_202_692_725_330, 29_218), 13_516_579_895);
        assert_eq!(of(1_000_000_000_000, 10_000_000, 100_000_000), 999);
    }

    #[test]
    fn trades_bring_what_strict_math_gives_to_the_unit() {
        let rows = include_str!("../../../tests/data/trades.txt").lines().filter(|it| !it.starts_with('#'));
        let mut seen = 0;
        for row in rows {
            let numbers: Vec<u64> = row.split(' ').map(|it| it.parse().unwrap()).collect();
            assert_eq!(of(numbers[0], numbers[1], numbers[2]), numbers[3] as i64, "{row}");
            seen += 1;
        }
        assert_eq!(seen, 300);
    }
}
