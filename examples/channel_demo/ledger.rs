//! The ledger behind a socket, and what its clients believe of it: proofs alone.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unchoke_core::Seed;
use unchoke_core::keys::SecretKey;
use unchoke_examples::Failure;
use unchoke_token::channel::Channel;
use unchoke_token::contract::Contract;
use unchoke_token::ledger::{ChainParams, EmbeddedLedger, Genesis, Key, Ledger as _, MemoryLedgerStore, Proven};
use unchoke_token::{
    Address, AssetId, BlockId, ChannelId, Height, KeySigner, LedgerId, Schemes, Signable, SignedTransaction, Signer,
    Timestamp, Transaction, Units,
};

/// The first byte of a question.
const HEAD: u8 = 0;
const SUBMIT: u8 = 1;
const PROVE: u8 = 2;
/// Where the other side can be reached: told, and asked for.
const TELL: u8 = 3;
const ASK: u8 = 4;
/// Between blocks.
const BLOCK: Duration = Duration::from_millis(50);
/// Bytes of a message.
const MAX: usize = 1 << 20;

/// The ledger in this process.
pub(crate) struct Served {
    address: SocketAddr,
    ledger: Arc<Mutex<State>>,
}

struct State {
    ledger: EmbeddedLedger,
    operator: Address,
    /// Where the payee listens.
    meeting: Vec<u8>,
}

/// A client of it.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    schemes: Schemes,
    id: LedgerId,
    operator: Address,
}

/// What a transaction refers to.
pub(crate) struct Reference {
    pub(crate) height: Height,
    block: BlockId,
    time: Timestamp,
}

impl Served {
    pub(crate) fn start(operator: &Seed, accounts: &[Address], balance: u64) -> Result<Self, Failure> {
        let signer = KeySigner::new(SecretKey::from_seed(operator));
        let operator = signer.address();
        let mut genesis = Genesis::default();
        genesis.time = now();
        let balance = Units::new(balance).unwrap_or(Units::MAX);
        genesis.balances = accounts.iter().map(|address| (*address, balance)).collect();
        let store = Box::new(MemoryLedgerStore::default());
        let ledger =
            EmbeddedLedger::open(&genesis, ChainParams::embedded(), Schemes::default(), Box::new(signer), store);
        let ledger = ledger.map_err(|error| Failure::failed(&error))?;
        let state = Arc::new(Mutex::new(State { ledger, operator, meeting: Vec::new() }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| Failure::failed(&error))?;
        let address = listener.local_addr().map_err(|error| Failure::failed(&error))?;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                // A client that is gone or talks nonsense is left alone.
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        let sealing = Arc::clone(&state);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(BLOCK);
                // In memory nothing fails but the signer, which does not.
                let _ = lock(&sealing).ledger.seal(now());
            }
        });
        Ok(Self { address, ledger: state })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn balance(&self, address: &Address) -> u64 {
        lock(&self.ledger).ledger.balance(address, AssetId::NATIVE).get()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let question = read(&mut stream)?;
        let (kind, body) = question.split_first().ok_or(io::ErrorKind::InvalidData)?;
        let mut state = lock(state);
        let answer = match *kind {
            HEAD => {
                let head = state.ledger.head();
                let (id, time) = (head.id(), head.time.get().to_be_bytes());
                [&state.ledger.id().as_bytes()[..], state.operator.as_bytes(), id.as_bytes(), &time].concat()
            }
            SUBMIT => match SignedTransaction::decode(body) {
                Ok(transaction) => {
                    state.ledger.submit(&transaction).map_or_else(|it| it.to_string().into(), |_| Vec::new())
                }
                Err(error) => error.to_string().into(),
            },
            PROVE => {
                Key::from_bytes(body).and_then(|key| state.ledger.prove(&key)).map(|it| it.encode()).unwrap_or_default()
            }
            TELL => {
                state.meeting = body.to_vec();
                Vec::new()
            }
            ASK => state.meeting.clone(),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        drop(state);
        write(stream.get_mut(), &answer)?;
    }
}

/// Reads a message: its length, then its bytes.
pub(crate) fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).ok().filter(|len| *len <= MAX);
    let mut bytes = vec![0; len.ok_or(io::ErrorKind::InvalidData)?];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn write(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat())
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).map_err(|error| Failure::failed(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::failed(&error))?;
        let mut stream = BufReader::new(stream);
        let answer = ask(&mut stream, &[HEAD])?;
        let (id, rest) = answer.split_first_chunk::<32>().ok_or_else(nonsense)?;
        let operator = rest.get(..21).and_then(|it| Address::from_slice(it).ok()).ok_or_else(nonsense)?;
        Ok(Self { stream, schemes: Schemes::default(), id: LedgerId::new(*id), operator })
    }

    pub(crate) const fn id(&self) -> LedgerId {
        self.id
    }

    pub(crate) fn reference(&mut self) -> Result<Reference, Failure> {
        let answer = ask(&mut self.stream, &[HEAD])?;
        let rest = answer.get(53..).and_then(|it| it.split_first_chunk::<32>()).ok_or_else(nonsense)?;
        let time = u64::from_be_bytes(rest.1.try_into().map_err(|_| nonsense())?);
        let block = BlockId::new(*rest.0);
        Ok(Reference { height: block.number(), block, time: Timestamp::new(time) })
    }

    /// Makes a transaction of this contract.
    pub(crate) fn build(&mut self, signer: &KeySigner, contract: Contract) -> Result<SignedTransaction, Failure> {
        let Reference { height, block, time } = self.reference()?;
        let expiration = Timestamp::new(time.get().saturating_add(60_000));
        let transaction = Transaction::new(contract, height.get(), block.as_bytes(), now(), expiration);
        let signature = signer.sign(&Signable::Transaction(&transaction)).map_err(|error| Failure::failed(&error))?;
        Ok(transaction.with_signatures(vec![signature]))
    }

    /// Hands a transaction in. What the ledger says against it is told.
    pub(crate) fn submit(&mut self, transaction: &SignedTransaction) -> Result<Option<String>, Failure> {
        let answer = ask(&mut self.stream, &[&[SUBMIT], &transaction.encode()[..]].concat())?;
        Ok((!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned()))
    }

    /// The channel as the last block has it, proved; the outer `None` while the ledger cannot prove anything of it.
    pub(crate) fn channel(&mut self, id: ChannelId) -> Result<Option<Option<Channel>>, Failure> {
        let key = Key::Channel(id);
        let answer = ask(&mut self.stream, &[&[PROVE], &key.to_bytes()[..]].concat())?;
        if answer.is_empty() {
            return Ok(None);
        }
        let proven = Proven::decode(&answer).map_err(|error| Failure::failed(&error))?;
        if !proven.verify(&key, &self.operator, &self.schemes) {
            return Err(Failure::Failed("the ledger's proof is wrong".into()));
        }
        Ok(Some(proven.channel()))
    }

    pub(crate) fn tell_meeting(&mut self, address: SocketAddr) -> Result<(), Failure> {
        ask(&mut self.stream, &[&[TELL], address.to_string().as_bytes()].concat()).map(drop)
    }

    pub(crate) fn meeting(&mut self) -> Result<Option<SocketAddr>, Failure> {
        let answer = ask(&mut self.stream, &[ASK])?;
        Ok(std::str::from_utf8(&answer).ok().and_then(|it| it.parse().ok()))
    }
}

fn ask(stream: &mut BufReader<TcpStream>, question: &[u8]) -> Result<Vec<u8>, Failure> {
    write(stream.get_mut(), question).map_err(|error| Failure::failed(&error))?;
    read(stream).map_err(|error| Failure::failed(&error))
}

fn nonsense() -> Failure {
    Failure::Failed("the ledger does not speak as it should".into())
}
