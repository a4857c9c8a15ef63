//! A seed and a downloader that do nothing but move bytes, for measuring the other side of a connection: `cargo xtask raw-seed` holds the
//! payload in memory and answers requests from there; `cargo xtask raw-sink` asks for all of it and throws it away.

use std::fs;
use std::io::{IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lab::Outcome;

const HANDSHAKE: usize = 68;
const BLOCK: usize = 16 * 1024;
/// Requests that are under way at a time.
const DEPTH: usize = 250;
const UNCHOKE: [u8; 5] = [0, 0, 0, 1, 1];
const INTERESTED: [u8; 5] = [0, 0, 0, 1, 2];

/// A request for a block: piece, offset in it, length.
type Request = (usize, usize, usize);

/// `raw-seed INFO_HASH FILE PIECE_LENGTH ADDRESS...`: seeds a file until it is ended, as one seed at each address.
pub(crate) fn seed(arguments: &[String]) -> Outcome<ExitCode> {
    let [_, hash, file, piece_length, addresses @ ..] = arguments else { return Err(USAGE.into()) };
    let (hash, piece_length) = (info_hash(hash)?, piece_length.parse::<usize>()?);
    let payload = Arc::new(fs::read(file)?);
    let listeners = addresses.iter().map(|it| TcpListener::bind(it.as_str())).collect::<Result<Vec<_>, _>>()?;
    writeln!(std::io::stdout(), "ready")?;
    std::thread::scope(|scope| {
        for listener in listeners {
            let payload = &payload;
            scope.spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let payload = Arc::clone(payload);
                    // A connection that breaks is the other side's affair.
                    std::thread::spawn(move || serve(stream, &hash, &payload, piece_length).ok());
                }
            });
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn serve(mut stream: TcpStream, hash: &[u8; 20], payload: &[u8], piece_length: usize) -> Outcome {
    stream.set_nodelay(true)?;
    let id = u32::from(stream.local_addr()?.port());
    let mut hello = [0; HANDSHAKE];
    stream.read_exact(&mut hello)?;
    if !hello.starts_with(b"\x13BitTorrent protocol") {
        // Who begins with encryption comes again without when it is hung up on.
        return Ok(());
    }
    let pieces = payload.len().div_ceil(piece_length);
    let mut bitfield = vec![0xff_u8; pieces.div_ceil(8)];
    if let Some(last) = bitfield.last_mut().filter(|_| !pieces.is_multiple_of(8)) {
        *last = 0xff << (8 - pieces % 8);
    }
    let mut hello = handshake(hash, id);
    hello.extend(u32::try_from(bitfield.len() + 1)?.to_be_bytes());
    hello.push(5);
    hello.extend(bitfield);
    hello.extend(UNCHOKE);
    stream.write_all(&hello)?;
    let mut frames = Frames::default();
    loop {
        let mut requests: Vec<Request> = Vec::new();
        frames.read(&mut stream)?;
        while let Some(frame) = frames.next() {
            if let [6, numbers @ ..] = frame
                && let Ok(numbers) = <&[u8; 12]>::try_from(numbers)
            {
                let [piece, offset, length] = [0, 4, 8].map(|at| number(numbers.get(at..at + 4)));
                requests.push((piece, offset, length));
            }
        }
        answer(&mut stream, &requests, payload, piece_length)?;
    }
}

/// Sends blocks, as many with one call as the system takes.
fn answer(stream: &mut TcpStream, requests: &[Request], payload: &[u8], piece_length: usize) -> Outcome {
    for requests in requests.chunks(500) {
        let headers: Vec<[u8; 13]> = requests
            .iter()
            .map(|(piece, offset, length)| {
                let mut header = [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
                for (at, number) in [(0, length + 9), (5, *piece), (9, *offset)] {
                    let bytes = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
                    header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = from);
                }
                header
            })
            .collect();
        let mut slices = Vec::with_capacity(requests.len() * 2);
        for (header, (piece, offset, length)) in headers.iter().zip(requests) {
            let start = piece * piece_length + offset;
            let block = payload.get(start..start + length).ok_or("a block that is not there was asked for")?;
            slices.extend([IoSlice::new(header), IoSlice::new(block)]);
        }
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = stream.write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}

/// `raw-sink INFO_HASH LENGTH PIECE_LENGTH ADDRESS [BYTES]`: downloads everything, or so much of it, and prints the seconds from the first block
/// to the last.
pub(crate) fn sink(arguments: &[String]) -> Outcome<ExitCode> {
    let [_, hash, length, piece_length, address, rest @ ..] = arguments else { return Err(USAGE.into()) };
    let (hash, length, piece_length) = (info_hash(hash)?, length.parse::<usize>()?, piece_length.parse::<usize>()?);
    let wanted = rest.first().map_or(Ok(length), |bytes| bytes.parse::<usize>())?.min(length);
    let mut stream = TcpStream::connect(address.as_str())?;
    stream.set_nodelay(true)?;
    // One that is not ready may say nothing at all, and one that has others to serve lets one wait for some rounds.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&handshake(&hash, std::process::id()))?;
    stream.read_exact(&mut [0; HANDSHAKE])?;
    stream.write_all(&INTERESTED)?;
    if wanted == length {
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    }
    let mut frames = Frames::default();
    let (mut asked, mut received, mut is_unchoked, mut is_seed, mut begin) = (0, 0, false, false, None);
    while received < wanted {
        let mut requests = Vec::new();
        // A few at a time, as real downloaders do.
        if is_unchoked && is_seed && (asked - received) / BLOCK <= DEPTH * 3 / 4 {
            while (asked - received) / BLOCK < DEPTH && asked < wanted {
                let block = BLOCK.min(wanted - asked).min(piece_length - asked % piece_length);
                requests.extend([0, 0, 0, 13, 6]);
                for number in [asked / piece_length, asked % piece_length, block] {
                    requests.extend(u32::try_from(number)?.to_be_bytes());
                }
                asked += block;
            }
        }
        stream.write_all(&requests)?;
        frames.read(&mut stream)?;
        while let Some(frame) = frames.next() {
            match frame {
                [1] => is_unchoked = true,
                // What was asked for and has not come will not come.
                [0] => (is_unchoked, asked) = (false, received),
                // Bits behind the last piece are not set.
                [5, bits @ ..] => {
                    let pieces = length.div_ceil(piece_length);
                    let there: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
                    if usize::try_from(there)? < pieces {
                        return Err("it has not all pieces".into());
                    }
                    is_seed = true;
                }
                [7, rest @ ..] => {
                    begin.get_or_insert_with(Instant::now);
                    received += rest.len().saturating_sub(8);
                }
                _ => {}
            }
        }
    }
    let seconds = begin.map_or(0.0, |begin: Instant| begin.elapsed().as_secs_f64());
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "bytes": received, "seconds": seconds }))?;
    Ok(ExitCode::SUCCESS)
}

const USAGE: &str = "usage: cargo xtask raw-seed INFO_HASH FILE PIECE_LENGTH ADDRESS... | raw-sink INFO_HASH LENGTH PIECE_LENGTH ADDRESS [BYTES]";

/// The first message of a peer with this number.
fn handshake(hash: &[u8; 20], number: u32) -> Vec<u8> {
    let mut bytes = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(hash);
    bytes.extend(format!("-RW0000-{number:012}").bytes());
    bytes
}

fn info_hash(text: &str) -> Outcome<[u8; 20]> {
    let mut hash = [0; 20];
    for (at, byte) in hash.iter_mut().enumerate() {
        let digits = text.get(at * 2..at * 2 + 2).filter(|_| text.len() == 40).ok_or("an info-hash has 40 digits")?;
        *byte = u8::from_str_radix(digits, 16)?;
    }
    Ok(hash)
}

fn number(bytes: Option<&[u8]>) -> usize {
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or([0xff; 4]);
    usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Messages out of a stream.
#[derive(Default)]
struct Frames {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Frames {
    /// Waits for more bytes.
    fn read(&mut self, stream: &mut TcpStream) -> Outcome {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.buffer.resize(512 * 1024, 0);
        match stream.read(self.buffer.get_mut(self.end..).unwrap_or_default())? {
            0 => Err("the other side has ended the connection".into()),
            read => {
                self.end += read;
                Ok(())
            }
        }
    }

    /// The next whole message, without its length.
    fn next(&mut self) -> Option<&[u8]> {
        let there = self.buffer.get(self.start..self.end)?;
        let length = number(Some(there.get(..4)?));
        let frame = self.start + 4..self.start + 4 + length;
        there.get(4..4 + length)?;
        self.start = frame.end;
        self.buffer.get(frame)
    }
}
