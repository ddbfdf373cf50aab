"""Writes snnprof/activity.schema.json, the JSON Schema of a run file; docs/make_hardware.py writes that of a profile.

python docs/make_schema.py           writes it
python docs/make_schema.py --check   fails if it is not current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from snnprof.records import json_schema

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "snnprof" / "activity.schema.json"


def main() -> int:
    text = json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        SCHEMA.write_text(text, encoding="utf-8", newline="\n")
        return 0
    current = SCHEMA.exists() and SCHEMA.read_text(encoding="utf-8") == text
    if not current:
        print(f"{SCHEMA.relative_to(ROOT)} is not current: run python docs/make_schema.py", file=sys.stderr)
    return not current


if __name__ == "__main__":
    sys.exit(main())
