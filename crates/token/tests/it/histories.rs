//! Histories of accounts.

use crate::world::{World, units};
use unchoke_token::contract::{ChannelOpen, ChannelRelease, VaultDeposit};
use unchoke_token::history::History;
use unchoke_token::ledger::{Cursor, Ledger as _};
use unchoke_token::{AssetId, SchemeId, Signer as _};

fn world_with_history() -> (World, History) {
    let mut world = World::new(2, |params| params.channels.min_dispute = 5);
    let deposit = |amount| VaultDeposit { owner_address: world.bytes(0), asset_name: b"_".to_vec(), amount };
    let deposits: Vec<_> = (1..=25).map(deposit).collect();
    for deposit in deposits {
        world.apply(0, deposit).unwrap();
        world.seal(1);
    }
    let open = ChannelOpen {
        owner_address: world.bytes(0),
        payee_address: world.bytes(1),
        asset_name: b"_".to_vec(),
        deposit: 500,
        voucher_scheme: SchemeId::ED25519.get().into(),
        voucher_key: world.accounts[0].public_key(),
        salt: vec![1; 16],
        ledger: world.ledger.id().as_bytes().to_vec(),
        opened_at: world.ledger.head().number.get() as i64,
        dispute: 5,
        ..ChannelOpen::default()
    };
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
