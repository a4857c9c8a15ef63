"""Seeds many small torrents to nobody and prints what that costs as one line of JSON.

usage: libtorrent_many.py FOLDER COUNT

Each torrent is one file of 32 KiB in pieces of 16 KiB that is there and has to be checked. kib_each is anonymous memory.
"""

import json
import os
import sys
import time

import libtorrent as lt

folder, count = sys.argv[1], int(sys.argv[2])


def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def cpu():
    times = os.times()
    return times.user + times.system


made = []
for number in range(count):
    name = f"file {number}"
    with open(os.path.join(folder, name), "wb") as file:
        file.write(number.to_bytes(8, "big") * 2048 + bytes(16384))
    files = lt.file_storage()
    files.add_file(name, 32768)
    torrent = lt.create_torrent(files, 16384, lt.create_torrent.v1_only)
    lt.set_piece_hashes(torrent, folder)
    made.append(lt.torrent_info(torrent.generate()))
session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "hashing_threads": os.cpu_count(),
    # None waits for another.
    "active_checking": count,
    "active_seeds": count,
    "active_limit": count,
})
before, begin = anonymous(), time.monotonic()
handles = []
for info in made:
    parameters = lt.add_torrent_params()
    parameters.ti, parameters.save_path = info, folder
    parameters.flags &= ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    handles.append(session.add_torrent(parameters))
for handle in handles:
    while not handle.status().is_seeding:
        time.sleep(0.005)
seconds, memory = time.monotonic() - begin, anonymous() - before
time.sleep(12)
used = cpu()
time.sleep(10)
print(json.dumps({
    "torrents": count,
    "seconds_until_all_seed": seconds,
    "kib_each": memory / count,
    "idle_cpu_share": (cpu() - used) / 10,
}))
