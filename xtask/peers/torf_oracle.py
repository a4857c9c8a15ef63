"""What torf makes of a folder, and what it reads in torrents.

usage: torf_oracle.py version
       torf_oracle.py read TORRENT
       torf_oracle.py create PATH PIECE_LENGTH OUTPUT [--private] [--comment TEXT] [--tracker URL[,URL]...]... [--web-seed URL]...

It knows v1 alone. "read" prints the info-hash.
"""

import argparse
import sys

import torf

if sys.argv[1] == "version":
    print(torf.__version__)
elif sys.argv[1] == "read":
    print(torf.Torrent.read(sys.argv[2]).infohash)
else:
    parser = argparse.ArgumentParser()
    parser.add_argument("create")
    parser.add_argument("path")
    parser.add_argument("piece_length", type=int)
    parser.add_argument("output")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--comment")
    parser.add_argument("--tracker", action="append", default=[])
    parser.add_argument("--web-seed", action="append", default=[])
    arguments = parser.parse_args()
    torrent = torf.Torrent(
        path=arguments.path,
        piece_size=arguments.piece_length,
        private=arguments.private,
        comment=arguments.comment,
        trackers=[tier.split(",") for tier in arguments.tracker],
        webseeds=arguments.web_seed,
    )
    torrent.generate()
    torrent.write(arguments.output, overwrite=True)
