"""How long it takes to read a list of 240,000 rows, and to choose validation items among as many with rare tags.

Run with ``python benchmarks/list_reading.py [rows]``; the last line is JSON with the seconds.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from timesformer.data.items import Item
from timesformer.data.manifest import load
from timesformer.data.splits import hold_out


def main(rows: int) -> None:
    """Print the seconds of reading a table, and of dividing items of which each pair has a tag of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(100):
            (Path(folder) / f"{number}.mp4").touch()
        table = Path(folder) / "t.csv"
        lines = (f"{n % 100}.mp4,class {n % 701},{n // 100},{n // 100 + 1}\n" for n in range(rows))
        table.write_text("path,label,start,end\n" + "".join(lines))
        begun = time.perf_counter()
        read = len(load(table).items)
        reading = time.perf_counter() - begun
    items = [Item(Path(f"/{n}.mp4"), ("often", f"tag {n // 2}"), name=f"{n}.mp4") for n in range(rows)]
    begun = time.perf_counter()
    hold_out(items)
    dividing = time.perf_counter() - begun
    print(json.dumps({"rows": read, "reading_s": round(reading, 2), "rare_tags_s": round(dividing, 2)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 240_000)
