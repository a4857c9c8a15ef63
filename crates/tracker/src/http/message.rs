//! The little of HTTP/1.1 that a tracker needs (RFC 9112): heads by lines, and bodies by length, by chunks or until the end.

use crate::error::TrackerError;
use bytes::{Buf as _, BytesMut};

/// The most bytes of a head: start line and header fields.
pub const MAX_HEAD: usize = 16 * 1024;
/// The most bytes of a body.
pub const MAX_BODY: usize = 1024 * 1024;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// Where the line that was returned last, or is under way, began.
    start: usize,
    /// Bytes taken from the stream so far.
    pub(crate) taken: usize,
    head: usize,
}

impl Lines {
    /// The next line without its end, once it is there. All lines of a head together are limited.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Vec<u8>>, TrackerError> {
        if self.line.is_empty() {
            self.start = self.taken;
        }
        let end = input.iter().position(|byte| *byte == b'\n');
        let part = input.split_to(end.map_or(input.len(), |at| at.saturating_add(1)));
        self.taken = self.taken.saturating_add(part.len());
        self.head = self.head.saturating_add(part.len());
        if self.head > MAX_HEAD {
            return Err(TrackerError::TooLarge { what: "head", limit: MAX_HEAD });
        }
        self.line.extend_from_slice(&part);
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        line.pop();
        line.pop_if(|byte| *byte == b'\r');
        Ok(Some(line))
    }

    /// A new limit starts here: the line of a chunk has little to do with the head.
    fn restart(&mut self) {
        self.head = 0;
    }
}

/// A header field: name in lower case, value without the white space around it.
pub(crate) fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return None;
    }
    let name = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// A decimal number: digits and nothing else.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// An HTTP answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct Response {
    lines: Lines,
    state: State,
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    length: Option<usize>,
    chunked: bool,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Status,
    Headers,
    Length(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailers,
    UntilEnd,
    Done,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            lines: Lines::default(),
            state: State::Status,
            status: 0,
            location: None,
            length: None,
            chunked: false,
            body: Vec::new(),
        }
    }

    /// Takes bytes; `true` once the answer is whole.
    pub(crate) fn take(&mut self, input: &mut BytesMut) -> Result<bool, TrackerError> {
        while self.state != State::Done && !input.is_empty() {
            match self.state {
                State::Length(left) => {
                    let left = self.take_body(input, left)?;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                }
                State::Chunk(left) => {
                    let left = self.take_body(input, left)?;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                }
                State::UntilEnd => {
                    self.take_body(input, usize::MAX)?;
                }
                _ => {
                    let Some(line) = self.lines.next(input)? else { break };
                    self.take_line(&line)?;
                }
            }
        }
        Ok(self.state == State::Done)
    }

    /// The stream has ended: an answer without a length is whole now, any other is not.
    pub(crate) fn end(&mut self) -> Result<(), TrackerError> {
        match self.state {
            State::UntilEnd | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(TrackerError::Truncated(self.lines.taken)),
        }
    }

    fn take_body(&mut self, input: &mut BytesMut, left: usize) -> Result<usize, TrackerError> {
        let count = left.min(input.len());
        if self.body.len().saturating_add(count) > MAX_BODY {
            return Err(TrackerError::TooLarge { what: "body", limit: MAX_BODY });
        }
        self.body.extend_from_slice(input.get(..count).unwrap_or_default());
        input.advance(count);
        self.lines.taken = self.lines.taken.saturating_add(count);
        Ok(left.saturating_sub(count))
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), TrackerError> {
        let offset = self.lines.start;
        match self.state {
            State::Status => {
                let rest = line.strip_prefix(b"HTTP/1.").ok_or(TrackerError::malformed("status line", offset))?;
                let code = match rest {
                    [b'0' | b'1', b' ', code @ ..] => code.split(|byte| *byte == b' ').next(),
                    _ => None,
                };
                self.status = code
                    .filter(|code| code.len() == 3)
                    .and_then(decimal)
                    .and_then(|code| u16::try_from(code).ok())
                    .ok_or(TrackerError::malformed("status line", offset))?;
                self.state = State::Headers;
            }
            State::Headers if line.is_empty() => self.end_of_head()?,
            State::Headers => self.take_header(line, offset)?,
            State::ChunkSize => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits)
                    .ok()
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| usize::from_str_radix(digits, 16).ok())
                    .ok_or(TrackerError::malformed("chunk size", offset))?;
                self.check_len(self.body.len().saturating_add(size))?;
                self.lines.restart();
                self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(TrackerError::malformed("chunk end", offset)),
            State::Trailers if line.is_empty() => self.state = State::Done,
            _ => {}
        }
        Ok(())
    }

    fn take_header(&mut self, line: &[u8], offset: usize) -> Result<(), TrackerError> {
        let (name, value) = field(line).ok_or(TrackerError::malformed("header field", offset))?;
        match name.as_str() {
            "content-length" => {
                let length = decimal(value)
                    .and_then(|length| usize::try_from(length).ok())
                    .filter(|length| self.length.is_none_or(|before| before == *length))
                    .ok_or(TrackerError::malformed("content-length", offset))?;
                self.length = Some(length);
            }
            "transfer-encoding" if value.eq_ignore_ascii_case(b"chunked") => self.chunked = true,
            "transfer-encoding" => return Err(TrackerError::malformed("transfer-encoding", offset)),
            "content-encoding" if !value.eq_ignore_ascii_case(b"identity") && !value.is_empty() => {
                return Err(TrackerError::malformed("content-encoding", offset));
            }
            "location" => {
                let graphic = value.iter().all(u8::is_ascii_graphic) && !value.is_empty();
                let location = std::str::from_utf8(value).ok().filter(|_| graphic);
                self.location = Some(location.ok_or(TrackerError::malformed("location", offset))?.to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), TrackerError> {
        if (100..200).contains(&self.status) {
            // An interim answer says nothing; the real one follows within the same limit.
            (self.length, self.chunked, self.location) = (None, false, None);
            self.state = State::Status;
            return Ok(());
        }
        self.lines.restart();
        self.state = match self.length {
            _ if self.status == 204 || self.status == 304 => State::Done,
            _ if self.chunked => State::ChunkSize,
            Some(0) => State::Done,
            Some(length) => {
                self.check_len(length)?;
                State::Length(length)
            }
            None => State::UntilEnd,
        };
        Ok(())
    }

    fn check_len(&self, length: usize) -> Result<(), TrackerError> {
        if length > MAX_BODY {
            return Err(TrackerError::TooLarge { what: "body", limit: MAX_BODY });
        }
        Ok(())
    }
}
