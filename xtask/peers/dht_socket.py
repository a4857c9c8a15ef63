"""Asks a DHT node over a plain UDP socket: announces torrents there and has it tell them in a sample (BEP 51).

usage: dht_socket.py OWN_IP NODE_IP:PORT

Ends with success when the node has told all of them. libtorrent lends its bencode.
"""

import hashlib
import os
import socket
import sys
import time

import libtorrent as lt

host, port = sys.argv[2].rsplit(":", 1)
node = host, int(port)
own = os.urandom(20)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))


def ask(method, **arguments):
    """Asks until there is an answer, and answers what the node asks meanwhile."""
    transaction = os.urandom(2)
    query = lt.bencode({"t": transaction, "y": "q", "q": method, "a": {"id": own, **arguments}})
    for _ in range(20):
        sock.sendto(query, node)
        end = time.monotonic() + 1
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                datagram, source = sock.recvfrom(2048)
            except socket.timeout:
                break
            message = lt.bdecode(datagram)
            if message[b"y"] == b"q":
                sock.sendto(lt.bencode({"t": message[b"t"], "y": "r", "r": {"id": own}}), source)
            elif message[b"t"] == transaction:
                assert message[b"y"] == b"r", message
                return message[b"r"]
    sys.exit(f"no answer to {method}")


torrents = {hashlib.sha1(b"sampled %d" % number).digest() for number in range(3)}
for torrent in torrents:
    token = ask("get_peers", info_hash=torrent)[b"token"]
    ask("announce_peer", info_hash=torrent, port=4711, token=token)
told = ask("sample_infohashes", target=os.urandom(20))
samples = told[b"samples"]
assert len(samples) % 20 == 0, told
assert torrents <= {samples[at:at + 20] for at in range(0, len(samples), 20)}, told
assert told[b"num"] >= len(torrents) and 0 <= told[b"interval"] <= 21600, told
print("all torrents sampled, interval", told[b"interval"], flush=True)
