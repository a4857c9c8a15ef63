//! Pairs.

use super::*;
use crate::contract::{ExchangeCreate, ExchangeInject, ExchangeTransaction, ExchangeWithdraw};

const A: AssetId = AssetId::new(1_000_001);
const B: AssetId = AssetId::new(1_000_002);

fn create(first: &str, first_amount: i64, second: &str, second_amount: i64) -> ExchangeCreate {
    ExchangeCreate {
        owner_address: bytes(0),
        first_token_id: first.into(),
        first_token_balance: first_amount,
        second_token_id: second.into(),
        second_token_balance: second_amount,
    }
}

/// Account 0 has 5000 of each of two tokens, account 1 nothing of them.
fn chain() -> Chain {
    let mut chain = Chain::new();
    [A, B].into_iter().for_each(|id| chain.fund(0, id, 5000));
    chain
}

fn refuses_each<T: Clone + Into<Contract>>(chain: &mut Chain, good: &T, bad: &[(&str, fn(&mut T))]) {
    for (words, change) in bad {
        let mut contract = good.clone();
        change(&mut contract);
        chain.refuses(contract, words);
    }
}

fn nobody() -> String {
    format!("account[41{}] not exists", "09".repeat(20))
}

#[test]
fn a_pair_is_made_of_two_assets_that_its_maker_has() {
    let mut chain = chain();
    chain.params.exchange_balance_limit = units(1_000_000_000);
    let good = create("1000001", 1000, "_", 100);
    let coin = create("_", 100, "1000001", 1000);
    refuses_each(
        &mut chain,
        &good,
        &[
            ("Invalid address", |it| it.owner_address.clear()),
            ("first token id is not a valid number", |it| it.first_token_id = b"a".to_vec()),
            ("first token id is not a valid number", |it| it.first_token_id = b"01".to_vec()),
            ("second token id is not a valid number", |it| it.second_token_id.clear()),
            ("cannot exchange same tokens", |it| it.second_token_id = b"1000001".to_vec()),
            ("token balance must greater than zero", |it| it.first_token_balance = 0),
            ("token balance must greater than zero", |it| it.second_token_balance = -1),
            ("token balance must less than 1000000000", |it| it.second_token_balance = 1_000_000_001),
            ("first token balance is not enough", |it| it.first_token_balance = 5001),
            ("first token balance is not enough", |it| it.first_token_id = b"0".to_vec()),
            ("balance is not enough", |it| it.second_token_balance = 999_999_951),
            ("second token balance is not enough", |it| it.second_token_id = b"1000003".to_vec()),
        ],
    );
    refuses_each(
        &mut chain,
        &coin,
        &[
            ("balance is not enough", |it| it.first_token_balance = 999_999_951),
            ("second token balance is not enough", |it| it.second_token_balance = 5001),
        ],
    );
    chain.refuses(ExchangeCreate { owner_address: bytes(9), ..good.clone() }, &nobody());
    chain.params.exchange_create_fee = units(ALL);
    chain.refuses(good.clone(), "No enough balance for exchange create fee!");
    chain.params.exchange_create_fee = units(50);
    let receipt = chain.run(good).unwrap();
    assert_eq!((receipt.exchange, receipt.fee), (Some(1), units(50)));
    assert_eq!((chain.holds(0, A), chain.holds(0, AssetId::NATIVE), chain.burnt()), (4000, ALL / 3 - 150, 50));
    let pair = chain.state.exchanges().get(&1).unwrap();
    assert_eq!((pair.creator, pair.first, pair.second), (account(0), (A, units(1000)), (AssetId::NATIVE, units(100))));
    assert_eq!(chain.run(coin).unwrap().exchange, Some(2));
}

#[test]
fn its_maker_adds_to_both_sides_alike() {
    let mut chain = chain();
    chain.run(create("1000001", 1000, "1000002", 100)).unwrap();
    let good = ExchangeInject { owner_address: bytes(0), exchange_id: 1, token_id: b"1000002".to_vec(), quant: 10 };
    refuses_each(
        &mut chain,
        &good,
        &[
            ("Invalid address", |it| it.owner_address.clear()),
            ("Exchange[7] not exists", |it| it.exchange_id = 7),
            ("Exchange[-1] not exists", |it| it.exchange_id = -1),
            ("token id is not a valid number", |it| it.token_id = b"x".to_vec()),
            ("token id is not in exchange", |it| it.token_id = b"_".to_vec()),
            ("injected token quant must greater than zero", |it| it.quant = 0),
            ("the calculated token quant  must be greater than 0", |it| {
                (it.token_id, it.quant) = (b"1000001".to_vec(), 9)
            }),
            ("token balance must less than 1000000000000000", |it| it.quant = 1_000_000_000_000_000),
            ("long overflow", |it| it.quant = i64::MAX),
            ("token balance is not enough", |it| it.quant = 4901),
            ("another token balance is not enough", |it| it.quant = 401),
        ],
    );
    chain.refuses(ExchangeInject { owner_address: bytes(9), ..good.clone() }, &nobody());
    let other = format!("account[41{}] is not creator", "01".repeat(20));
    chain.refuses(ExchangeInject { owner_address: bytes(1), ..good.clone() }, &other);
    chain.run(good.clone()).unwrap();
    assert_eq!((chain.holds(0, A), chain.holds(0, B)), (3900, 4890));
    chain.run(create("_", 999_990_000, "1000001", 100)).unwrap();
    let coin = ExchangeInject { exchange_id: 2, token_id: b"_".to_vec(), quant: 9_999_900, ..good.clone() };
    chain.refuses(coin.clone(), "balance is not enough");
    chain.refuses(ExchangeInject { token_id: b"1000001".to_vec(), quant: 1, ..coin }, "balance is not enough");
    close(&mut chain, 1);
    chain.refuses(good, "Token balance in exchange is equal with 0,the exchange has been closed");
}

#[test]
fn its_maker_takes_from_both_sides_as_far_as_that_is_exact() {
    let mut chain = chain();
    chain.run(create("1000001", 1000, "1000002", 300)).unwrap();
    let good = ExchangeWithdraw { owner_address: bytes(0), exchange_id: 1, token_id: b"1000001".to_vec(), quant: 100 };
    refuses_each(
        &mut chain,
        &good,
        &[
            ("Invalid address", |it| it.owner_address.clear()),
            ("Exchange[2] not exists", |it| it.exchange_id = 2),
            ("token id is not a valid number", |it| it.token_id.clear()),
            ("token is not in exchange", |it| it.token_id = b"7".to_vec()),
            ("withdraw token quant must greater than zero", |it| it.quant = 0),
            ("exchange balance is not enough", |it| it.quant = 1001),
            ("long overflow", |it| (it.token_id, it.quant) = (b"1000002".to_vec(), i64::MAX)),
            ("withdraw another token quant must greater than zero", |it| it.quant = 3),
            ("Not precise enough", |it| it.quant = 101),
        ],
    );
    chain.refuses(ExchangeWithdraw { owner_address: bytes(9), ..good.clone() }, &nobody());
    let other = format!("account[41{}] is not creator", "02".repeat(20));
    chain.refuses(ExchangeWithdraw { owner_address: bytes(2), ..good.clone() }, &other);
    assert_eq!(chain.run(good.clone()).unwrap().received, units(30));
    assert_eq!((chain.holds(0, A), chain.holds(0, B)), (4100, 4730));
    chain.run(ExchangeWithdraw { token_id: b"1000002".to_vec(), quant: 270, ..good.clone() }).unwrap();
    assert_eq!((chain.holds(0, A), chain.holds(0, B)), (5000, 5000));
    chain.refuses(good, "Token balance in exchange is equal with 0,the exchange has been closed");
}

/// The limit of what rounding may cost is a ten-thousandth of the other side's share.
#[test]
fn a_share_is_exact_enough_up_to_a_ten_thousandth() {
    let mut chain = chain();
    chain.fund(0, A, 100_000_000);
    chain.run(create("1000001", 30_000, "_", 100_000_000)).unwrap();
    let take =
        |quant| ExchangeWithdraw { owner_address: bytes(0), exchange_id: 1, token_id: b"1000001".to_vec(), quant };
    // One is 3333.33…, of which a third is lost: just about a ten-thousandth.
    assert_eq!(chain.run(take(1)).unwrap().received, units(3333));
    let mut chain = self::chain();
    chain.run(create("1000001", 3000, "_", 9_999_000)).unwrap();
    assert_eq!(chain.run(take(1)).unwrap().received, units(3333));
    let mut chain = self::chain();
    chain.run(create("1000001", 3000, "_", 9_997_999)).unwrap();
    chain.refuses(take(1), "Not precise enough");
}

#[test]
fn anybody_trades_and_gets_no_less_than_expected() {
    let mut chain = chain();
    chain.fund(0, B, 10_000_000);
    chain.fund(0, AssetId::NATIVE, 1_000_000_000_000);
    chain.run(create("_", 1_000_000_000_000, "1000002", 10_000_000)).unwrap();
    let good = ExchangeTransaction {
        owner_address: bytes(1),
        exchange_id: 1,
        token_id: b"_".to_vec(),
        quant: 100_000_000,
        expected: 999,
    };
    refuses_each(
        &mut chain,
        &good,
        &[
            ("Invalid address", |it| it.owner_address.clear()),
            ("Exchange[0] not exists", |it| it.exchange_id = 0),
            ("token id is not a valid number", |it| it.token_id = b"__".to_vec()),
            ("token is not in exchange", |it| it.token_id = b"1000001".to_vec()),
            ("token quant must greater than zero", |it| it.quant = 0),
            ("token expected must greater than zero", |it| it.expected = 0),
            ("token balance must less than 1000000000000000", |it| it.quant = i64::MAX),
            ("balance is not enough", |it| it.quant = 1_000_000_001),
            ("token balance is not enough", |it| it.token_id = b"1000002".to_vec()),
            ("token required must greater than expected", |it| it.expected = 1000),
        ],
    );
    chain.refuses(ExchangeTransaction { owner_address: bytes(9), ..good.clone() }, &nobody());
    assert_eq!(chain.run(good.clone()).unwrap().received, units(999));
    assert_eq!(chain.state.exchanges().get(&1).unwrap().second, (B, units(9_999_001)));
    assert_eq!((chain.holds(1, B), chain.holds(1, AssetId::NATIVE)), (999, 900_000_000));
    close(&mut chain, 1);
    chain.refuses(good, "Token balance in exchange is equal with 0,the exchange has been closed");
}

#[test]
fn a_trade_that_rounding_makes_bring_more_than_there_is_is_refused() {
    let (mut chain, most) = (chain(), 1_000_000_000_000_000);
    chain.fund(0, A, most);
    chain.fund(1, AssetId::NATIVE, most);
    chain.run(create("_", 1, "1000001", most as i64)).unwrap();
    let trade = ExchangeTransaction {
        owner_address: bytes(1),
        exchange_id: 1,
        token_id: b"_".to_vec(),
        quant: most as i64 - 1,
        expected: 1,
    };
    chain.refuses(trade, "exchange balance is not enough");
}

/// Moves all of a pair's first side to who has made it, as no contract does.
fn close(chain: &mut Chain, id: u64) {
    let mut draft = Draft::new(&chain.state);
    let pair = draft.exchange_mut(id).as_mut().unwrap();
    let (asset, amount) = pair.first;
    pair.first.1 = Units::ZERO;
    draft.account_mut(account(0)).as_mut().unwrap().give(asset, amount).unwrap();
    let changes = draft.finish();
    chain.state.apply(changes, |_| {});
}
