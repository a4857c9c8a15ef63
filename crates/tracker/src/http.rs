//! Trackers over HTTP ([BEP 3], [BEP 7], [BEP 23], [BEP 48]): one request and one answer per connection.
//!
//! [BEP 3]: https://www.bittorrent.org/beps/bep_0003.html
//! [BEP 7]: https://www.bittorrent.org/beps/bep_0007.html
//! [BEP 23]: https://www.bittorrent.org/beps/bep_0023.html
//! [BEP 48]: https://www.bittorrent.org/beps/bep_0048.html

mod body;
mod client;
mod connection;
mod message;
mod query;

pub use client::{HttpEvent, HttpTracker};
pub use connection::{HttpServerConnection, ServerRequest};
pub use message::{MAX_BODY, MAX_HEAD};
