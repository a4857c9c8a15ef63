//! Contracts on a state by hand: each refusal has its words and changes nothing, each success its effect, and of every asset there stays what
//! there was.

#![allow(clippy::type_complexity, reason = "lists of what is wrong, each with its words")]

use super::*;
use crate::contract::{AccountCreate, AssetIssue, FrozenSupply, Transfer};
use crate::ledger::state::State;

mod asset;
mod exchange;

/// A state, and what contracts are carried out under.
struct Chain {
    state: State,
    params: ChainParams,
    schemes: Schemes,
    time: u64,
}

const START: u64 = 1_700_000_000_000;
const ALL: u64 = 3_000_000_000;

fn account(number: u8) -> Address {
    Address::from_digest(&[number; 32])
}

/// The field of a contract.
fn bytes(number: u8) -> Vec<u8> {
    account(number).as_bytes().to_vec()
}

fn units(units: u64) -> Units {
    Units::new(units).unwrap()
}

/// Of an asset that says nothing wrong.
fn issue(by: u8) -> AssetIssue {
    AssetIssue {
        owner_address: bytes(by),
        name: b"BitTorrent".to_vec(),
        abbr: b"BTT".to_vec(),
        total_supply: 1000,
        frozen_supply: vec![FrozenSupply { frozen_amount: 10, frozen_days: 1 }],
        trx_num: 3,
        precision: 6,
        num: 2,
        start_time: START as i64 + 10,
        end_time: START as i64 + 20,
        url: b"x".to_vec(),
        free_asset_net_limit: 5,
        public_free_asset_net_limit: 6,
        ..AssetIssue::default()
    }
}

impl Chain {
    /// Accounts 0 to 2 with a thousand million units each.
    fn new() -> Self {
        let (mut params, state) = (ChainParams::genesis(), State::default());
        params.create_new_account_fee = units(7);
        params.asset_issue_fee = units(100);
        params.exchange_create_fee = units(50);
        let mut chain = Self { state, params, schemes: Schemes::default(), time: START };
        (0..3).for_each(|it| chain.fund(it, AssetId::NATIVE, ALL / 3));
        chain
    }

    /// Another hand of an asset out of nowhere.
    fn fund(&mut self, number: u8, asset: AssetId, amount: u64) {
        let mut draft = Draft::new(&self.state);
        draft.totals_mut().last_token = draft.totals().last_token.max(1_000_000);
        draft.account_mut(account(number)).get_or_insert_default().give(asset, units(amount)).unwrap();
        let changes = draft.finish();
        self.state.apply(changes, |_| {});
    }

    fn run(&mut self, contract: impl Into<Contract>) -> Result<Receipt, ContractError> {
        let ledger = LedgerId::new([1; 32]);
        let cx = Context {
            ledger: &ledger,
            params: &self.params,
            schemes: &self.schemes,
            height: Height::new(5),
            head_time: Timestamp::new(self.time),
        };
        let mut draft = Draft::new(&self.state);
        let receipt = execute(&contract.into(), &cx, &mut draft)?;
        let (changes, before) = (draft.finish(), self.state.clone());
        self.state.apply(changes, |_| {});
        let ids = before.assets().keys().copied().chain([AssetId::NATIVE]);
        ids.for_each(|id| assert_eq!(self.state.supply(id), before.supply(id)));
        Ok(receipt)
    }

    /// Runs what has to be refused.
    #[track_caller]
    fn refuses(&mut self, contract: impl Into<Contract>, words: &str) {
        assert_eq!(self.run(contract).unwrap_err().to_string(), words);
    }

    fn holds(&self, number: u8, asset: AssetId) -> u64 {
        self.state.accounts().get(&account(number)).map_or(0, |it| it.holds(asset).get())
    }

    fn burnt(&self) -> u64 {
        self.state.totals().burnt.get()
    }
}

#[test]
fn the_coin_moves_and_opens_accounts() {
    let mut chain = Chain::new();
    let good = Transfer { owner_address: bytes(0), to_address: bytes(1), amount: 5 };
    let most = i64::try_from(ALL / 3).unwrap();
    let with = |change: fn(&mut Transfer)| {
        let mut contract = good.clone();
        change(&mut contract);
        contract
    };
    chain.refuses(with(|it| it.owner_address = vec![0x41; 20]), "Invalid ownerAddress!");
    chain.refuses(with(|it| it.to_address = vec![0xa0; 21]), "Invalid toAddress!");
    chain.refuses(with(|it| it.to_address = bytes(0)), "Cannot transfer TRX to yourself.");
    chain.refuses(with(|it| it.owner_address = bytes(9)), "Validate TransferContract error, no OwnerAccount.");
    for amount in [0, -1] {
        chain.refuses(Transfer { amount, ..good.clone() }, "Amount must be greater than 0.");
    }
    let poor = "Validate TransferContract error, balance is not sufficient.";
    chain.refuses(Transfer { amount: most + 1, ..good.clone() }, poor);
    // To a new account, its fee has to be there, too.
    let to_new = Transfer { to_address: bytes(9), amount: most - 6, ..good.clone() };
    chain.refuses(to_new.clone(), poor);
    chain.refuses(Transfer { amount: i64::MAX, ..to_new.clone() }, "long overflow");
    chain.fund(2, AssetId::NATIVE, Units::MAX.get() - ALL / 3);
    chain.refuses(Transfer { to_address: bytes(2), amount: most, ..good.clone() }, "long overflow");
    assert_eq!(chain.run(good).unwrap(), Receipt::default());
    assert_eq!((chain.holds(0, AssetId::NATIVE), chain.holds(1, AssetId::NATIVE)), (ALL / 3 - 5, ALL / 3 + 5));
    assert_eq!(chain.run(Transfer { amount: most - 12, ..to_new }).unwrap().fee, units(7));
    assert_eq!((chain.holds(0, AssetId::NATIVE), chain.burnt()), (0, 7));
    assert_eq!(chain.state.accounts().get(&account(9)).unwrap().created, Timestamp::new(START));
}

#[test]
fn accounts_are_opened_once_and_for_a_fee() {
    let mut chain = Chain::new();
    let good = AccountCreate { owner_address: bytes(0), account_address: bytes(9), kind: 0 };
    chain.refuses(AccountCreate { owner_address: Vec::new(), ..good.clone() }, "Invalid ownerAddress");
    let nobody = AccountCreate { owner_address: bytes(8), ..good.clone() };
    chain.refuses(nobody, &format!("Account[41{}] not exists", "08".repeat(20)));
    chain.refuses(AccountCreate { account_address: vec![1], ..good.clone() }, "Invalid account address");
    chain.refuses(AccountCreate { account_address: bytes(1), ..good.clone() }, "Account has existed");
    assert_eq!(chain.run(good.clone()).unwrap().fee, units(7));
    assert_eq!((chain.holds(0, AssetId::NATIVE), chain.burnt()), (ALL / 3 - 7, 7));
    assert_eq!(chain.state.accounts().get(&account(9)).unwrap().created, Timestamp::new(START));
    chain.refuses(good, "Account has existed");
    let poor = AccountCreate { owner_address: bytes(9), account_address: bytes(8), kind: 0 };
    chain.refuses(poor, "Validate CreateAccountActuator error, insufficient fee.");
}
