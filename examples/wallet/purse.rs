//! Wallet files, and the vouchers that a wallet has signed.

use crate::commands::Context;
use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use unchoke_core::Seed;
use unchoke_examples::{Failure, beside, tell, write_private};
use unchoke_token::voucher::Voucher;
use unchoke_token::wallet::{Account, Cost, Wallet};
use unchoke_token::{Address, Signer as _};
use zeroize::Zeroizing;

/// Reads the password: the first line of a file, or of standard input.
fn password(context: &Context) -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    match &context.password_file {
        Some(path) => {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| Failure::Failed(format!("the password in {}: {error}", path.display())))?;
            let text = Zeroizing::new(text);
            line.push_str(text.lines().next().unwrap_or_default());
        }
        None => {
            tell("password, then Enter (it is shown):");
            std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::failed(&error))?;
        }
    }
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    if line.is_empty() { Err(Failure::Usage("an empty password protects nothing".into())) } else { Ok(line) }
}

/// The bytes of a new wallet file, if there is none yet.
pub(crate) fn sealed(context: &Context, wallet: &Wallet) -> Result<Vec<u8>, Failure> {
    if context.wallet.exists() {
        return Err(Failure::Usage(format!("{} is there already", context.wallet.display())));
    }
    let mut rng = Seed::new(rand::random()).rng();
    let password = password(context)?;
    wallet.seal(password.as_bytes(), Cost::default(), &mut rng).map_err(|error| Failure::failed(&error))
}

pub(crate) fn account(context: &Context) -> Result<Account, Failure> {
    let file = fs::read(&context.wallet).map_err(|error| {
        Failure::Failed(format!("{} cannot be read ({error}): `wallet create` makes one", context.wallet.display()))
    })?;
    let wallet = Wallet::open(&file, password(context)?.as_bytes()).map_err(|error| Failure::failed(&error))?;
    Ok(wallet.account(context.account))
}

pub(crate) fn address(context: &Context) -> Result<Address, Failure> {
    account(context).map(|account| account.address())
}

/// The last voucher of a channel, if one was signed.
pub(crate) fn voucher(context: &Context, channel: &str) -> Result<Option<Voucher>, Failure> {
    match fs::read(voucher_path(context, channel)) {
        Ok(bytes) => Voucher::from_bytes(&bytes).map(Some).map_err(|error| Failure::failed(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::failed(&error)),
    }
}

/// Keeps a voucher. It has to be here before its signature is anywhere.
pub(crate) fn keep_voucher(context: &Context, channel: &str, voucher: &Voucher) -> Result<(), Failure> {
    let path = voucher_path(context, channel);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::failed(&error))?;
    }
    write(&path, &voucher.to_bytes())
}

/// The last voucher of a channel with its signature, as `pay` has printed it.
pub(crate) fn last_voucher(context: &Context, channel: &str) -> Result<String, Failure> {
    let voucher = voucher(context, channel)?.ok_or(Failure::Failed("no voucher".into()))?;
    sign(&account(context)?, &voucher)
}

/// The bytes of a voucher and its signature, in hexadecimal digits.
pub(crate) fn sign(account: &Account, voucher: &Voucher) -> Result<String, Failure> {
    let signature =
        account.sign(&unchoke_token::Signable::Voucher(voucher)).map_err(|error| Failure::failed(&error))?;
    Ok(voucher.to_bytes().iter().chain(&signature).map(|byte| format!("{byte:02x}")).collect())
}

/// Where the last voucher of a channel lies.
pub(crate) fn voucher_path(context: &Context, channel: &str) -> PathBuf {
    beside(&context.wallet, VOUCHERS).join(channel)
}

/// Writes a file whole or not at all. Keys are among what is written, so only the owner may read any of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_private(path, bytes).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

/// How the folder of a wallet's vouchers ends.
pub(crate) const VOUCHERS: &str = "vouchers";
