"""Writes snnprof/activity.schema.json, the JSON Schema of a run file; docs/make_hardware.py writes that of a profile.

python docs/make_schema.py           writes it
python docs/make_schema.py --check   fails if it is not current
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from generated import ROOT, write_or_check

from snnprof.records import json_schema

SCHEMA = ROOT / "snnprof" / "activity.schema.json"


def main() -> int:
    return write_or_check({SCHEMA: json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"}, Path(__file__).name)


if __name__ == "__main__":
    sys.exit(main())
