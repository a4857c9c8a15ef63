//! Transactions that TRON's own tools have made, made by ours from the same fields.

use serde_json::Value;
use unchoke_token::contract::{
    AccountCreate, AssetIssue, ExchangeCreate, ExchangeInject, ExchangeTransaction, ExchangeWithdraw, FrozenSupply,
    ParticipateAssetIssue, Transfer, TransferAsset, UnfreezeAsset, UpdateAsset,
};
use unchoke_token::{Contract, Timestamp, Transaction};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn contract(kind: &str, fields: &Value) -> Contract {
    let bytes = |name: &str| fields[name].as_str().map(hex).unwrap_or_default();
    let int = |name: &str| fields[name].as_i64().unwrap_or(0);
    let int32 = |name: &str| i32::try_from(int(name)).unwrap();
    let owner_address = bytes("owner_address");
    match kind {
        "AccountCreateContract" => {
            AccountCreate { owner_address, account_address: bytes("account_address"), kind: int32("type") }.into()
        }
        "TransferContract" => Transfer { owner_address, to_address: bytes("to_address"), amount: int("amount") }.into(),
        "TransferAssetContract" => TransferAsset {
            owner_address,
            asset_name: bytes("asset_name"),
            to_address: bytes("to_address"),
            amount: int("amount"),
        }
        .into(),
        "ParticipateAssetIssueContract" => ParticipateAssetIssue {
            owner_address,
            asset_name: bytes("asset_name"),
            to_address: bytes("to_address"),
            amount: int("amount"),
        }
        .into(),
        "AssetIssueContract" => AssetIssue {
            owner_address,
            name: bytes("name"),
            abbr: bytes("abbr"),
            total_supply: int("total_supply"),
            frozen_supply: fields["frozen_supply"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| FrozenSupply {
                    frozen_amount: it["frozen_amount"].as_i64().unwrap(),
                    frozen_days: it["frozen_days"].as_i64().unwrap(),
                })
                .collect(),
            trx_num: int32("trx_num"),
            precision: int32("precision"),
            num: int32("num"),
            start_time: int("start_time"),
            end_time: int("end_time"),
            description: bytes("description"),
            url: bytes("url"),
            free_asset_net_limit: int("free_asset_net_limit"),
            public_free_asset_net_limit: int("public_free_asset_net_limit"),
            ..AssetIssue::default()
        }
        .into(),
        "UnfreezeAssetContract" => UnfreezeAsset { owner_address }.into(),
        "UpdateAssetContract" => UpdateAsset {
            owner_address,
            description: bytes("description"),
            url: bytes("url"),
            new_limit: int("new_limit"),
            new_public_limit: int("new_public_limit"),
        }
        .into(),
        "ExchangeCreateContract" => ExchangeCreate {
            owner_address,
            first_token_id: bytes("first_token_id"),
            first_token_balance: int("first_token_balance"),
            second_token_id: bytes("second_token_id"),
            second_token_balance: int("second_token_balance"),
        }
        .into(),
        "ExchangeInjectContract" => ExchangeInject {
            owner_address,
            exchange_id: int("exchange_id"),
            token_id: bytes("token_id"),
            quant: int("quant"),
        }
        .into(),
        "ExchangeWithdrawContract" => ExchangeWithdraw {
            owner_address,
            exchange_id: int("exchange_id"),
            token_id: bytes("token_id"),
            quant: int("quant"),
        }
        .into(),
        "ExchangeTransactionContract" => ExchangeTransaction {
            owner_address,
            exchange_id: int("exchange_id"),
            token_id: bytes("token_id"),
            quant: int("quant"),
            expected: int("expected"),
        }
        .into(),
        other => unreachable!("{other}"),
    }
}

#[test]
fn transactions_of_every_kind_have_the_bytes_and_ids_that_tron_gives_them() {
    let all: Value = serde_json::from_str(include_str!("../data/transactions.json")).unwrap();
    let all = all["transactions"].as_array().unwrap();
    assert_eq!(all.len(), 13);
    let mut block_id = [0; 32];
    block_id[8..16].copy_from_slice(&hex("6c2763abadf9ed29"));
    let (made, lapses) = (Timestamp::new(1_581_308_626_092), Timestamp::new(1_581_308_685_000));
    for one in all {
        let contract = contract(one["type"].as_str().unwrap(), &one["fields"]);
        let mut transaction = Transaction::new(contract, 0x0add, &block_id, made, lapses);
        transaction.permission_id = i32::try_from(one["permission_id"].as_i64().unwrap()).unwrap();
        let raw = hex(one["raw"].as_str().unwrap());
        assert_eq!(transaction.to_raw(), raw, "{}", one["name"]);
        assert_eq!(Transaction::from_raw(&raw).as_ref(), Ok(&transaction));
        let signed = transaction.with_signatures(Vec::new());
        assert_eq!(Some(signed.id().to_string().as_str()), one["id"].as_str());
    }
}
