//! Histories of accounts.

use crate::world::{World, units};
use unchoke_token::AssetId;
use unchoke_token::contract::{
    AssetIssue, ChannelRelease, ExchangeCreate, ExchangeInject, ExchangeTransaction, ExchangeWithdraw, FrozenSupply,
    ParticipateAssetIssue, Transfer, TransferAsset, UnfreezeAsset, VaultDeposit,
};
use unchoke_token::history::History;
use unchoke_token::ledger::{Cursor, Ledger as _};

fn world_with_history() -> (World, History) {
    let mut world = World::new(2, |params| params.channels.min_dispute = 5);
    let deposit = |amount| VaultDeposit { owner_address: world.bytes(0), asset_name: b"_".to_vec(), amount };
    let deposits: Vec<_> = (1..=25).map(deposit).collect();
    for deposit in deposits {
        world.apply(0, deposit).unwrap();
        world.seal(1);
    }
    let open = world.channel(500);
    let id = world.apply(0, open).unwrap().channel.unwrap();
    let release = ChannelRelease { owner_address: world.bytes(1), channel: id.as_bytes().to_vec(), claims: Vec::new() };
    world.apply(1, release).unwrap();
    world.seal(1);
    let mut history = History::new([world.address(0), world.address(1)]);
    let (mut cursor, mut events) = (Cursor::default(), Vec::new());
    while cursor.height() <= world.ledger.head().number {
        cursor = world.ledger.events(cursor, &mut events).unwrap();
    }
    events.iter().for_each(|event| history.handle_event(event));
    (world, history)
}

#[test]
fn pages_hold_every_entry_once_and_what_came_and_went_is_the_balance() {
    let (world, history) = world_with_history();
    for number in [0, 1] {
        let account = world.address(number);
        let (mut seen, mut from) = (Vec::new(), None);
        loop {
            let page = history.page(Some(&account), from, 10);
            seen.extend(page.entries.iter().map(|it| (it.height, it.id)));
            let Some(next) = page.next else { break };
            from = Some(next);
        }
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1] && pair[0].0 >= pair[1].0));
        assert_eq!(seen.len(), [27, 2][number]);
        let all = history.page(Some(&account), None, usize::MAX).entries;
        let sum: i128 = all.iter().flat_map(|it| &it.changes).map(|it| it.amount).sum();
        let balance = world.ledger.balance(&account, AssetId::NATIVE);
        assert_eq!(1_000_000 + sum, i128::from(balance.get()));
    }
    assert_eq!(world.ledger.balance(&world.address(0), AssetId::NATIVE), units(1_000_000 - 325));
}

#[test]
fn a_table_has_a_row_for_each_change() {
    let (world, history) = world_with_history();
    let table = history.to_csv(|_| 3);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().all(|row| row.len() == 10));
    assert_eq!(rows.len(), 1 + 25 + 4);
    assert_eq!(rows[1][3..7], [&*world.address(0).to_string(), "VaultDeposit", "_", "-0.001"]);
    assert!(rows.iter().any(|row| row[4] == "ChannelRelease" && row[6] == "0.500"));
}

#[test]
fn tokens_and_pairs_add_up_too() {
    let mut world = World::new(2, |params| params.free_net_limit = 300);
    let start = world.ledger.head().time.get() as i64;
    let issue = AssetIssue {
        owner_address: world.bytes(0),
        name: b"TOKEN".to_vec(),
        total_supply: 10_000,
        frozen_supply: vec![FrozenSupply { frozen_amount: 500, frozen_days: 1 }],
        trx_num: 2,
        num: 3,
        start_time: start + 1000,
        end_time: start + 1_000_000,
        url: b"https://example.org".to_vec(),
        ..AssetIssue::default()
    };
    let id = world.apply(0, issue).unwrap().issued.unwrap();
    world.seal(1);
    let name = id.name().into_bytes();
    let [a, b] = [world.bytes(0), world.bytes(1)];
    let (asset_name, owner_address, to_address) = (name.clone(), a.clone(), b.clone());
    world.apply(0, TransferAsset { asset_name, owner_address, to_address, amount: 700 }).unwrap();
    let (asset_name, owner_address, to_address) = (name.clone(), b.clone(), a.clone());
    world.apply(1, ParticipateAssetIssue { owner_address, to_address, asset_name, amount: 100 }).unwrap();
    world.apply(0, Transfer { owner_address: a.clone(), to_address: b.clone(), amount: 9 }).unwrap();
    let pair = ExchangeCreate {
        owner_address: a.clone(),
        first_token_id: name.clone(),
        first_token_balance: 1000,
        second_token_id: b"_".to_vec(),
        second_token_balance: 5000,
    };
    let exchange_id = world.apply(0, pair).unwrap().exchange.unwrap() as i64;
    let (owner_address, token_id) = (b, b"_".to_vec());
    world.apply(1, ExchangeTransaction { owner_address, exchange_id, token_id, quant: 500, expected: 1 }).unwrap();
    let (owner_address, token_id) = (a.clone(), name.clone());
    world.apply(0, ExchangeInject { owner_address, exchange_id, token_id, quant: 100 }).unwrap();
    let (owner_address, token_id) = (a.clone(), name);
    world.apply(0, ExchangeWithdraw { owner_address, exchange_id, token_id, quant: 500 }).unwrap_err();
    world.ledger.seal(unchoke_token::Timestamp::new(start as u64 + 90_000_000)).unwrap();
    world.apply(0, UnfreezeAsset { owner_address: a }).unwrap();
    world.seal(1);
    let mut history = History::new([world.address(0), world.address(1)]);
    let mut events = Vec::new();
    world.ledger.events(Cursor::default(), &mut events).unwrap();
    events.iter().for_each(|event| history.handle_event(event));
    for (number, asset) in [(0, id), (1, id), (0, AssetId::NATIVE), (1, AssetId::NATIVE)] {
        let account = world.address(number);
        let begun = if asset == AssetId::NATIVE { 1_000_000 } else { 0 };
        let all = history.page(Some(&account), None, usize::MAX).entries;
        let changes = all.iter().flat_map(|it| &it.changes).filter(|it| it.asset == asset);
        let sum: i128 = changes.map(|it| it.amount).sum();
        assert_eq!(begun + sum, i128::from(world.ledger.balance(&account, asset).get()), "{number} {asset}");
    }
}
