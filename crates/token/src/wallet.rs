//! Wallets: accounts derived from words, in an encrypted file, with limits on what they sign.
//!
//! Keys never leave: what is to be signed comes in as the object that it is, and [`Account`] is a [`Signer`] that may refuse.

mod keyfile;
mod words;

use crate::address::Address;
use crate::ids::SchemeId;
use crate::signer::{KeySigner, Refused, Signable, Signer};
use std::fmt;
use unchoke_core::keys::SecretKey;

pub use keyfile::{Cost, KeyFileError};
pub use words::{Words, WordsError};

/// What all accounts of a wallet are derived from, and how many there are.
///
/// ```
/// use unchoke_core::Seed;
/// use unchoke_token::Signer as _;
/// use unchoke_token::wallet::{Cost, Wallet, Words};
///
/// let wallet = Wallet::create(&Seed::new([7; 32]));
/// let address = wallet.account(0).address();
///
/// // In a file, under a password. A real file takes the default cost.
/// let file = wallet.seal(b"correct horse", Cost::lowest(), &mut Seed::new([8; 32]).rng())?;
/// assert_eq!(Wallet::open(&file, b"correct horse")?.account(0).address(), address);
/// assert!(Wallet::open(&file, b"wrong horse").is_err());
///
/// // On paper.
/// let words = wallet.words().phrase();
/// assert_eq!(Wallet::from_words(words.parse::<Words>()?, "").account(0).address(), address);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Wallet {
    words: Words,
    passphrase: zeroize::Zeroizing<String>,
    accounts: u32,
}

/// An account of a wallet. It signs for itself alone.
pub struct Account {
    index: u32,
    signer: KeySigner,
}

impl Wallet {
    /// A new wallet with one account. The seed comes from the operating system, and is not needed again.
    #[must_use]
    pub fn create(seed: &unchoke_core::Seed) -> Self {
        let mut entropy = zeroize::Zeroizing::new([0; 32]);
        seed.rng().fill(&mut *entropy);
        Self::from_words(Words::from_entropy(&entropy), "")
    }

    /// The wallet that words stand for, with one account. Another passphrase is another wallet.
    #[must_use]
    pub fn from_words(words: Words, passphrase: &str) -> Self {
        Self { words, passphrase: passphrase.to_owned().into(), accounts: 1 }
    }

    /// Reads an encrypted file.
    ///
    /// # Errors
    /// If the password is wrong, or the bytes are no such file.
    pub fn open(file: &[u8], password: &[u8]) -> Result<Self, KeyFileError> {
        let keyfile::Contents { entropy, passphrase, accounts } = keyfile::open(file, password)?;
        let words = Words::from_bytes(&entropy).ok_or(KeyFileError::Contents)?;
        Ok(Self { words, passphrase, accounts })
    }

    /// Writes an encrypted file: argon2id over the password, XChaCha20-Poly1305 over the contents. `rng` gives the salt and the nonce.
    ///
    /// # Errors
    /// If the cost is beyond what argon2 allows.
    pub fn seal(&self, password: &[u8], cost: Cost, rng: &mut unchoke_core::Rng) -> Result<Vec<u8>, KeyFileError> {
        let contents = keyfile::Contents {
            entropy: self.words.entropy(),
            passphrase: self.passphrase.clone(),
            accounts: self.accounts,
        };
        keyfile::seal(&contents, password, cost, rng)
    }

    /// The words to write down. Whoever has them has the wallet.
    #[must_use]
    pub const fn words(&self) -> &Words {
        &self.words
    }

    /// The account with a number, at `m/44'/195'/0'/0'/number'` (BIP-44 with TRON's coin type; SLIP-10).
    #[must_use]
    pub fn account(&self, index: u32) -> Account {
        let seed = self.words.seed(&self.passphrase);
        let path = [44, 195, 0, 0, index & !HARDENED];
        // No number of the path has the highest bit.
        let key = SecretKey::derive(&*seed, &path).unwrap_or_else(|| SecretKey::from_bytes(&[0; 32]));
        Account { index, signer: KeySigner::new(key) }
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = Account> + '_ {
        (0..self.accounts).map(|index| self.account(index))
    }

    /// One account more.
    pub fn add_account(&mut self) -> Account {
        let index = self.accounts;
        self.accounts = self.accounts.saturating_add(1).min(MAX_ACCOUNTS);
        self.account(index)
    }

    /// A seed for the ticks of channels that an account pays through. It is derived from the words, so that it outlives the file.
    #[must_use]
    pub fn channel_seed(&self, index: u32) -> unchoke_core::Seed {
        let seed = self.words.seed(&self.passphrase);
        let digest = unchoke_core::hash::sha256(&[&seed[..], b"channels", &index.to_be_bytes()].concat());
        unchoke_core::Seed::new(*digest.as_bytes())
    }
}

impl Account {
    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }
}

impl Signer for Account {
    fn scheme(&self) -> SchemeId {
        self.signer.scheme()
    }

    fn address(&self) -> Address {
        self.signer.address()
    }

    fn public_key(&self) -> Vec<u8> {
        self.signer.public_key()
    }

    fn sign(&self, what: &Signable<'_>) -> Result<Vec<u8>, Refused> {
        if let Signable::Transaction(transaction) = what
            && transaction.contract.owner_address() != self.address().as_bytes()
        {
            return Err(Refused::Policy("the transaction is another account's"));
        }
        self.signer.sign(what)
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Account({}, {})", self.index, self.address())
    }
}

const HARDENED: u32 = 1 << 31;
/// Accounts of a wallet, at most.
const MAX_ACCOUNTS: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Transfer;
    use crate::ids::Timestamp;
    use crate::transaction::Transaction;

    const PHRASE: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    #[test]
    fn the_same_words_give_the_same_accounts_and_a_passphrase_gives_others() {
        let words = || PHRASE.parse::<Words>().unwrap();
        let (wallet, again) = (Wallet::from_words(words(), ""), Wallet::from_words(words(), ""));
        assert_eq!(wallet.account(0).address(), again.account(0).address());
        assert_ne!(wallet.account(0).address(), wallet.account(1).address());
        assert_ne!(wallet.account(0).address(), Wallet::from_words(words(), "TREZOR").account(0).address());
        // The key at the path, from the seed that BIP-39 gives for these words.
        let expected = "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04";
        let seed: String = words().seed("TREZOR").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(seed, expected);
    }

    #[test]
    fn an_account_signs_its_own_transactions_alone() {
        let wallet = Wallet::from_words(PHRASE.parse().unwrap(), "");
        let (own, other) = (wallet.account(0), wallet.account(1));
        let transfer = Transfer { owner_address: other.address().as_bytes().to_vec(), ..Transfer::default() };
        let transaction = Transaction::new(transfer, 0, &[0; 32], Timestamp::new(1), Timestamp::new(2));
        assert!(other.sign(&Signable::Transaction(&transaction)).is_ok());
        assert!(matches!(own.sign(&Signable::Transaction(&transaction)), Err(Refused::Policy(_))));
    }

    #[test]
    fn secrets_are_not_printed() {
        let wallet = Wallet::from_words(PHRASE.parse().unwrap(), "hush");
        let text = format!("{wallet:?} {:?} {:?} {:?}", wallet.words(), wallet.account(0), wallet.channel_seed(0));
        assert!(!text.contains("abandon") && !text.contains("hush"), "{text}");
    }
}
