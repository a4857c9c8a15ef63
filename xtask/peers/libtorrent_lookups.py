"""What a lookup costs a libtorrent 2.x node, in a network of its kind on loopback; each node is at an address 127.A.B.1:6881.

usage: libtorrent_lookups.py NODES LOOKUPS JOIN_SECONDS SETTLE_SECONDS

The first eight nodes are the routers of the others, which join one after another within JOIN_SECONDS. Then all are left alone for
SETTLE_SECONDS. A torrent is then announced by one node and
looked up by another, again and again. The queries of a lookup are those that the session counts, less what it sends in the same time when
it is left alone. Prints one JSON line.
"""

import hashlib
import json
import random
import sys
import time

import libtorrent as lt

nodes, lookups, joining, settle = (int(argument) for argument in sys.argv[1:5])
ROOTS = 8
# A lookup on loopback ends within milliseconds; nothing tells of it.
SPAN = 0.5
ASKERS = 12

settings = {
    "enable_dht": True,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "dht_upload_rate_limit": 10_000_000,
    "dht_block_ratelimit": 100_000,
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.dht_operation_notification
    | lt.alert.category_t.stats_notification,
}
dice = random.Random(1)


def address(number):
    return f"127.{10 + number // 100}.{20 + number % 100}.1"


def start(number):
    # Routers are asked when a node knows nobody, and stand in no table.
    routers = ",".join(f"{address(other)}:6881" for other in range(ROOTS) if other < number)
    return lt.session({**settings, "dht_bootstrap_nodes": routers, "listen_interfaces": f"{address(number)}:6881"})


COUNTERS = ["dht.dht_get_peers_out", "dht.dht_ping_out", "dht.dht_find_node_out"]


def count(session):
    """Queries sent so far."""
    session.pop_alerts()
    session.post_session_stats()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for alert in session.pop_alerts():
            if isinstance(alert, lt.session_stats_alert):
                return sum(alert.values[name] for name in COUNTERS)
        time.sleep(0.002)
    raise SystemExit("no counters within 10 seconds")


sessions = []
for number in range(nodes):
    sessions.append(start(number))
    if number >= ROOTS:
        time.sleep(joining / (nodes - ROOTS))
until = time.monotonic() + settle
while time.monotonic() < until:
    for session in sessions:
        session.pop_alerts()
    time.sleep(0.5)
known = sorted(session.status().dht_nodes for session in sessions)

askers = dice.sample(sessions[ROOTS:], ASKERS)
begin = [count(session) for session in askers]
time.sleep(30)
idle = sum(count(session) for session in askers) - sum(begin)
rate = idle / 30 / ASKERS

spent, found = [], 0
for number in range(lookups):
    torrent = lt.sha1_hash(hashlib.sha1(b"lookup %d" % number).digest())
    asker = askers[number % ASKERS]
    dice.choice([session for session in sessions if session is not asker]).dht_announce(torrent, 4711, 0)
    time.sleep(SPAN)
    before, since = count(asker), time.monotonic()
    asker.dht_get_peers(torrent)
    has = False
    while time.monotonic() < since + SPAN:
        has |= any(isinstance(alert, lt.dht_get_peers_reply_alert) and alert.num_peers() for alert in asker.pop_alerts())
        time.sleep(0.005)
    after = count(asker)
    spent.append(after - before - rate * (time.monotonic() - since))
    found += has
spent.sort()
print(json.dumps({
    "libtorrent": lt.__version__,
    "nodes": nodes,
    "nodes_known": known[len(known) // 2],
    "lookups": lookups,
    "found": found,
    "idle_queries_per_second": round(rate, 3),
    "queries_mean": round(sum(spent) / len(spent), 2),
    "queries_p50": round(spent[len(spent) // 2], 2),
    "queries_max": round(spent[-1], 2),
}), flush=True)
