"""Updates requirements.lock, and those of DuckDB 2.0, PostgreSQL and Spark, from pyproject.toml: pins and hashes, no index URL.

The only part of the project that needs uv and the network. scripts/setup.py installs from the lock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = "requirements.lock"
DUCKDB2_LOCK = "requirements-duckdb2.lock"
# The other major version the tests are run with; it replaces one package of the main lock.
DUCKDB2 = "duckdb==2.0.0"
POSTGRES_LOCK = "requirements-postgres.lock"
# What the extra `postgres` installs beside the main lock, for an image: nothing of it is in the main lock.
POSTGRES = ("dagster-postgres==0.29.27", "psycopg2-binary")
SPARK_LOCK = "requirements-spark.lock"
# What the extra `spark` installs beside the main lock. PySpark comes as a source distribution: setuptools builds it.
SPARK = ("dbt-spark==1.11.0", "pyspark==4.3.0", "py4j", "sqlparams", "setuptools")
OLDEST_PYTHON = "3.11"
# Pins keep their extras because pip in hash mode treats `gql` and `gql[requests]` as different packages.
COMPILE_OPTIONS = [
    *("--no-config", "--quiet", "--no-header", "--annotation-style", "line"),
    *("--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-strip-extras"),
]

# Index options that a package client writes. The lock must be installable from any index.
ADDRESS_OPTION = re.compile(r"^\s*(-i|-f|--(index-url|extra-index-url|default-index|index|find-links|trusted-host))\b")


def inputs_digest(pyproject: Path) -> str:
    """Digest of everything in pyproject.toml that determines the lock; the lock's header has it to detect a stale lock."""
    document = tomllib.loads(pyproject.read_text())
    inputs = [
        document["project"]["requires-python"],
        sorted(document["project"]["dependencies"]),
        {name: sorted(members) for name, members in sorted(document["dependency-groups"].items())},
        DUCKDB2,
        *POSTGRES,
        *SPARK,
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def without_addresses(lines: Sequence[str]) -> list[str]:
    """Lock lines without index options. Raises ValueError if a URL remains, as in a pin by URL."""
    kept = [line for line in lines if not ADDRESS_OPTION.match(line)]
    for line in kept:
        if "://" in line:
            raise ValueError(f"the lock contains a URL: {line.strip()!r}. Depend on a released version instead.")
    return kept


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without package-client settings, so that a machine's mirrors do not affect the lock."""
    return {name: value for name, value in environment.items() if not name.startswith(("UV_", "PIP_"))}


def compile_lock(
    uv: str, arguments: Sequence[str], *, stdin: str | None = None, known: Path | None = None
) -> list[str]:
    """Lines of a lock for the requirements in `arguments` and `stdin`. uv prefers the pins of `known` if they still fit."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / LOCK
        if known is not None and known.exists():
            shutil.copy(known, output)
        subprocess.run(
            [uv, "pip", "compile", *arguments, *COMPILE_OPTIONS, "--output-file", str(output)],
            cwd=ROOT,
            env=clean_environment(os.environ),
            input=stdin,
            stdout=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return without_addresses(output.read_text().splitlines())


def write(path: Path, lines: Sequence[str]) -> None:
    head = [
        f"# Versions this project is tested with, Python {OLDEST_PYTHON} and newer. Made by `make lock`.",
        f"# inputs: {inputs_digest(ROOT / 'pyproject.toml')}",
    ]
    scratch = path.with_name(path.name + ".new")
    scratch.write_text("\n".join([*head, *lines]) + "\n")
    scratch.replace(path)
    print(f"{path.name}: {sum('==' in line and not line.startswith(' ') for line in lines)} pins")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the pins that still fit; add and drop what changed")
    options = parser.parse_args(arguments)

    uv = shutil.which(os.environ.get("UV", "uv"))
    if uv is None:
        print(
            "lock: uv was not found. Install it (python3 -m pip install uv) or give its path: make lock UV=/path/to/uv",
            file=sys.stderr,
        )
        return 1
    groups = ["--group", "dev", "--group", "build", "--group", "locked"]
    write(ROOT / LOCK, compile_lock(uv, ["pyproject.toml", *groups], known=ROOT / LOCK if options.keep else None))
    write(ROOT / DUCKDB2_LOCK, compile_lock(uv, ["-", "--no-deps"], stdin=DUCKDB2))
    for name, packages in ((POSTGRES_LOCK, POSTGRES), (SPARK_LOCK, SPARK)):
        known = ROOT / name if options.keep else None
        write(ROOT / name, compile_lock(uv, ["-", "--no-deps"], stdin="\n".join(packages), known=known))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
