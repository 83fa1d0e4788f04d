#!/usr/bin/env python3
"""Writes dashboards/*.json out of source/*.py. With --check it writes nothing, and ends with 1 if a file is not what it would write."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "source"))

import database  # noqa: E402
import jobs  # noqa: E402
import overview  # noqa: E402
import pipeline  # noqa: E402
import slo  # noqa: E402
import workers  # noqa: E402


def main(check):
    differ = []
    for module in (overview, jobs, pipeline, workers, database, slo):
        path = HERE / "dashboards" / f"{module.__name__}.json"
        text = json.dumps(module.DASHBOARD, indent=2, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            differ.append(path.name)
    if differ:
        sys.exit(f"{', '.join(differ)}: not what source/*.py says; run deploy/grafana/build.py")


if __name__ == "__main__":
    main(check=sys.argv[1:] == ["--check"])
