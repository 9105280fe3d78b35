#!/usr/bin/env python3
"""The reliability campaign: kills, disks, broken images and files, determinism, concurrency, hostile names, growth.

    python3 campaign.py --binary target/release/deepcluster --minutes 50 [--parts kill,images] [--seed 31] [--data images]

`--data` is a folder of small JPEG files in class folders (10,000 of CIFAR-10's size are meant); without it 3,000 are drawn. The
seed is that of the day unless one is given. One line per part is printed, with counts; faults go to WORK/faults.jsonl, one object a line. The exit code is 1 where there are faults. Part `disk` needs root
for its tmpfs and passes over itself without; `strace` deepens part `kill`. Nothing but the standard library is needed, Linux only.
"""

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import Context, write_faults
from drawings import draw

# Name and share of the time.
PARTS = {"kill": 24, "images": 16, "files": 22, "determinism": 8, "disk": 12, "concurrency": 7, "injection": 2, "growth": 9}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--data", help="a folder of small JPEG files in class folders; drawn without")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "deepcluster-campaign"))
    parser.add_argument("--seed", type=int, default=int(time.strftime("%Y%m%d")), help="that of the day unless given")
    parser.add_argument("--only", default="", help="part files: only targets whose name matches")
    arguments = parser.parse_args()
    names = arguments.parts.split(",")
    data = arguments.data or draw(Path(arguments.work) / "drawn")
    context = Context(Path(arguments.binary).resolve(), data, arguments.work, arguments.seed)
    context.only = arguments.only
    print(f"seed {arguments.seed}: --seed {arguments.seed} repeats this campaign", flush=True)
    total = sum(PARTS[name] for name in names)
    num_faults = 0
    for name in names:
        folder = context.begin(name, arguments.minutes * 60 * PARTS[name] / total)
        begin = time.monotonic()
        try:
            importlib.import_module(f"part_{name}").part(context, folder)
        except Exception:
            context.fault("the campaign itself failed", traceback.format_exc()[-800:])
        num_faults += len(context.faults)
        write_faults(context.work / "faults.jsonl", name, context.faults)
        print(f"{context.line()} seconds={time.monotonic() - begin:.0f}", flush=True)
    return 1 if num_faults else 0


if __name__ == "__main__":
    sys.exit(main())
