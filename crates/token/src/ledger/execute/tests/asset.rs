//! Tokens.

use super::*;
use crate::contract::{ParticipateAssetIssue, TransferAsset, UnfreezeAsset, UpdateAsset};

const TOKEN: AssetId = AssetId::new(1_000_001);

fn name() -> Vec<u8> {
    TOKEN.name().into_bytes()
}

/// Account 0 has issued a token.
fn issued() -> Chain {
    let mut chain = Chain::new();
    assert_eq!(chain.run(issue(0)).unwrap().issued, Some(TOKEN));
    chain
}

#[test]
fn an_issue_is_refused_in_java_trons_words() {
    let mut chain = Chain::new();
    let frozen = |frozen_amount, frozen_days| FrozenSupply { frozen_amount, frozen_days };
    let bad: &[(&str, fn(&mut AssetIssue))] = &[
        ("Invalid ownerAddress", |it| it.owner_address = vec![0xa0; 21]),
        ("Invalid assetName", |it| it.name.clear()),
        ("Invalid assetName", |it| it.name = vec![b'a'; 33]),
        ("Invalid assetName", |it| it.name = b"a b".to_vec()),
        ("Invalid assetName", |it| it.name = vec![0x7f]),
        ("assetName can't be trx", |it| it.name = b"TrX".to_vec()),
        ("precision cannot exceed 6", |it| it.precision = 7),
        ("precision cannot exceed 6", |it| it.precision = -1),
        ("Invalid abbreviation for token", |it| it.abbr = b" ".to_vec()),
        ("Invalid url", |it| it.url.clear()),
        ("Invalid url", |it| it.url = vec![b'a'; 257]),
        ("Invalid description", |it| it.description = vec![0; 201]),
        ("Start time should be not empty", |it| it.start_time = 0),
        ("End time should be not empty", |it| it.end_time = 0),
        ("End time should be greater than start time", |it| it.end_time = it.start_time),
        ("Start time should be greater than HeadBlockTime", |it| it.start_time = START as i64),
        ("Start time should be greater than HeadBlockTime", |it| it.start_time = -5),
        ("TotalSupply must greater than 0!", |it| it.total_supply = 0),
        ("TotalSupply must greater than 0!", |it| it.total_supply = i64::MIN),
        ("TrxNum must greater than 0!", |it| it.trx_num = 0),
        ("Num must greater than 0!", |it| it.num = -1),
        ("PublicFreeAssetNetUsage must be 0!", |it| it.public_free_asset_net_usage = 1),
        ("Frozen supply list length is too long", |it| {
            it.frozen_supply = vec![FrozenSupply { frozen_amount: 1, frozen_days: 1 }; 11];
        }),
        ("Invalid FreeAssetNetLimit", |it| it.free_asset_net_limit = -1),
        ("Invalid FreeAssetNetLimit", |it| it.free_asset_net_limit = 57_600_000_000),
        ("Invalid PublicFreeAssetNetLimit", |it| it.public_free_asset_net_limit = -1),
        ("Invalid PublicFreeAssetNetLimit", |it| it.public_free_asset_net_limit = 57_600_000_000),
        ("Account not exists", |it| it.owner_address = bytes(9)),
    ];
    for (words, change) in bad {
        let mut contract = issue(0);
        change(&mut contract);
        chain.refuses(contract, words);
    }
    let days = "frozenDuration must be less than 3652 days and more than 1 days";
    for (entry, words) in [
        (frozen(0, 1), "Frozen supply must be greater than 0!"),
        (frozen(991, 1), "Frozen supply cannot exceed total supply"),
        (frozen(1, 0), days),
        (frozen(1, 3653), days),
    ] {
        chain.refuses(AssetIssue { frozen_supply: vec![frozen(10, 1), entry], ..issue(0) }, words);
    }
    let late = AssetIssue { start_time: i64::MAX - 1, end_time: i64::MAX, ..issue(0) };
    chain.refuses(late, "Start time and frozen days would cause expire time overflow");
    // What is wrong first is told first.
    chain.refuses(AssetIssue { url: Vec::new(), num: 0, ..issue(9) }, "Invalid url");
    chain.params.asset_issue_fee = units(ALL);
    chain.refuses(issue(0), "No enough balance for fee!");
    chain.params.asset_issue_fee = Units::ZERO;
    chain.run(issue(0)).unwrap();
    chain.refuses(issue(0), "An account can only issue one asset");
}

#[test]
fn an_issue_gives_the_issuer_what_is_not_frozen_and_burns_the_fee() {
    let mut chain = issued();
    let receipt = chain.run(issue(1)).unwrap();
    assert_eq!((receipt.issued, receipt.fee), (Some(AssetId::new(1_000_002)), units(100)));
    assert_eq!((chain.holds(0, TOKEN), chain.holds(0, AssetId::NATIVE), chain.burnt()), (990, ALL / 3 - 100, 200));
    let frozen = &chain.state.accounts().get(&account(0)).unwrap().frozen;
    assert_eq!((frozen.len(), frozen[0].amount, frozen[0].expires.get()), (1, units(10), START + 10 + 86_400_000));
    let asset = chain.state.assets().get(&TOKEN).unwrap();
    assert_eq!((asset.owner, asset.total_supply, asset.precision), (account(0), units(1000), 6));
    assert_eq!((asset.net_limit, asset.public_net_limit), (5, 6));
    assert_eq!(chain.state.supply(TOKEN), 1000);
}

#[test]
fn a_token_moves_as_far_as_it_is_there() {
    let mut chain = issued();
    let good = TransferAsset { asset_name: name(), owner_address: bytes(0), to_address: bytes(1), amount: 400 };
    let bad: &[(&str, fn(&mut TransferAsset))] = &[
        ("Invalid ownerAddress", |it| it.owner_address.clear()),
        ("Invalid toAddress", |it| it.to_address.push(0)),
        ("Amount must be greater than 0.", |it| it.amount = 0),
        ("Amount must be greater than 0.", |it| it.amount = -1),
        ("Cannot transfer asset to yourself.", |it| it.to_address = bytes(0)),
        ("No owner account!", |it| it.owner_address = bytes(9)),
        ("No asset!", |it| it.asset_name = b"1000002".to_vec()),
        ("No asset!", |it| it.asset_name = b"_".to_vec()),
        ("No asset!", |it| it.asset_name = b"BitTorrent".to_vec()),
        ("assetBalance must be greater than 0.", |it| (it.owner_address, it.to_address) = (bytes(1), bytes(0))),
        ("assetBalance is not sufficient.", |it| it.amount = 991),
    ];
    for (words, change) in bad {
        let mut contract = good.clone();
        change(&mut contract);
        chain.refuses(contract, words);
    }
    chain.params.create_new_account_fee = units(ALL);
    let to_new = TransferAsset { to_address: bytes(9), ..good.clone() };
    chain.refuses(to_new.clone(), "Validate TransferAssetActuator error, insufficient fee.");
    chain.params.create_new_account_fee = units(7);
    assert_eq!(chain.run(good.clone()).unwrap().fee, Units::ZERO);
    assert_eq!(chain.run(to_new).unwrap().fee, units(7));
    assert_eq!((chain.holds(0, TOKEN), chain.holds(1, TOKEN), chain.holds(9, TOKEN)), (190, 400, 400));
    assert_eq!(chain.burnt(), 107);
    // A state that no issue leads to, to reach a sum that is no amount.
    chain.fund(1, TOKEN, Units::MAX.get() - 400);
    chain.refuses(TransferAsset { amount: 1, ..good }, "long overflow");
}

#[test]
fn a_sale_gives_what_the_price_says_rounded_down_while_it_lasts() {
    let mut chain = issued();
    chain.time = START + 10;
    let good = ParticipateAssetIssue { owner_address: bytes(1), to_address: bytes(0), asset_name: name(), amount: 100 };
    let bad: &[(&str, fn(&mut ParticipateAssetIssue))] = &[
        ("Invalid ownerAddress", |it| it.owner_address.clear()),
        ("Invalid toAddress", |it| it.to_address.clear()),
        ("Amount must greater than 0!", |it| it.amount = 0),
        ("Cannot participate asset Issue yourself !", |it| it.owner_address = bytes(0)),
        ("Account does not exist!", |it| it.owner_address = bytes(9)),
        ("No enough balance !", |it| it.amount = 1_000_000_001),
        ("No asset named 7", |it| it.asset_name = b"7".to_vec()),
        ("Can not process the exchange!", |it| it.amount = 1),
        ("Asset balance is not enough !", |it| it.amount = 1487),
    ];
    for (words, change) in bad {
        let mut contract = good.clone();
        change(&mut contract);
        chain.refuses(contract, words);
    }
    let of_other = ParticipateAssetIssue { to_address: bytes(2), ..good.clone() };
    chain.refuses(of_other, &format!("The asset is not issued by 41{}", "02".repeat(20)));
    // 100 · 2 / 3.
    assert_eq!(chain.run(good.clone()).unwrap().received, units(66));
    assert_eq!((chain.holds(0, TOKEN), chain.holds(1, TOKEN)), (924, 66));
    assert_eq!(chain.holds(0, AssetId::NATIVE), ALL / 3 - 100 + 100);
    assert_eq!(chain.holds(1, AssetId::NATIVE), ALL / 3 - 100);
    for (time, is_on) in [(START + 9, false), (START + 10, true), (START + 19, true), (START + 20, false)] {
        chain.time = time;
        let outcome = chain.run(good.clone()).map_err(|error| error.to_string());
        assert_eq!(outcome.err(), (!is_on).then(|| "No longer valid period!".to_owned()));
    }
    chain.time = START + 10;
    chain.fund(1, AssetId::NATIVE, Units::MAX.get() - ALL);
    chain.refuses(ParticipateAssetIssue { amount: i64::MAX / 2 + 1, ..good.clone() }, "long overflow");
    let mut draft = Draft::new(&chain.state);
    *draft.account_mut(account(0)) = None;
    let changes = draft.finish();
    chain.state.apply(changes, |_| {});
    chain.refuses(good, "To account does not exist!");
}

#[test]
fn frozen_supply_comes_when_its_time_has_come() {
    let mut chain = Chain::new();
    let frozen =
        [(10, 2), (20, 1), (30, 3)].map(|(frozen_amount, frozen_days)| FrozenSupply { frozen_amount, frozen_days });
    chain.run(AssetIssue { frozen_supply: frozen.to_vec(), ..issue(0) }).unwrap();
    let good = UnfreezeAsset { owner_address: bytes(0) };
    chain.refuses(UnfreezeAsset { owner_address: vec![1] }, "Invalid address");
    chain.refuses(UnfreezeAsset { owner_address: bytes(9) }, &format!("Account[41{}] not exists", "09".repeat(20)));
    chain.refuses(UnfreezeAsset { owner_address: bytes(1) }, "no frozen supply balance");
    chain.time = START + 10 + 86_400_000 - 1;
    chain.refuses(good.clone(), "It's not time to unfreeze asset supply");
    chain.time = START + 10 + 2 * 86_400_000;
    assert_eq!(chain.run(good.clone()).unwrap().received, units(30));
    assert_eq!((chain.holds(0, TOKEN), chain.state.supply(TOKEN)), (970, 1000));
    chain.refuses(good.clone(), "It's not time to unfreeze asset supply");
    chain.time += 86_400_000;
    assert_eq!(chain.run(good.clone()).unwrap().received, units(30));
    chain.refuses(good.clone(), "no frozen supply balance");
    let mut draft = Draft::new(&chain.state);
    let broken = draft.account_mut(account(2)).as_mut().unwrap();
    broken.frozen.push(crate::ledger::record::Frozen { amount: units(1), expires: Timestamp::default() });
    let changes = draft.finish();
    chain.state.apply(changes, |_| {});
    chain.refuses(UnfreezeAsset { owner_address: bytes(2) }, "this account has not issued any asset");
}

#[test]
fn an_issuer_changes_texts_and_limits_and_nothing_else() {
    let mut chain = issued();
    let good = UpdateAsset {
        owner_address: bytes(0),
        description: b"new".to_vec(),
        url: b"y".to_vec(),
        new_limit: 50,
        new_public_limit: 60,
    };
    let bad: &[(&str, fn(&mut UpdateAsset))] = &[
        ("Invalid ownerAddress", |it| it.owner_address.clear()),
        ("Account does not exist", |it| it.owner_address = bytes(9)),
        ("Account has not issued any asset", |it| it.owner_address = bytes(1)),
        ("Invalid url", |it| it.url.clear()),
        ("Invalid description", |it| it.description = vec![0; 201]),
        ("Invalid FreeAssetNetLimit", |it| it.new_limit = -1),
        ("Invalid PublicFreeAssetNetLimit", |it| it.new_public_limit = 57_600_000_000),
    ];
    for (words, change) in bad {
        let mut contract = good.clone();
        change(&mut contract);
        chain.refuses(contract, words);
    }
    let mut expected = chain.state.assets().get(&TOKEN).unwrap().clone();
    (expected.description, expected.url) = (b"new".to_vec(), b"y".to_vec());
    (expected.net_limit, expected.public_net_limit) = (50, 60);
    chain.run(good.clone()).unwrap();
    assert_eq!(chain.state.assets().get(&TOKEN), Some(&expected));
    let mut draft = Draft::new(&chain.state);
    *draft.asset_mut(TOKEN) = None;
    let changes = draft.finish();
    chain.state.apply(changes, |_| {});
    chain.refuses(good, "Asset is not existed in AssetIssueV2Store");
}
