"""The documentation dbt reads of the contract is the contract's own. Rendering only; no dbt is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.errors import ContractError
from pipelines.storage.dbt_sources import render_sources_yml, render_staging_yml

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "warehouse" / "schema"
MODELS = ROOT / "dbt_project" / "models"
RENEW = "run: python -m pipelines.storage.dbt_sources"


def test_the_committed_sources_are_those_of_the_ddl() -> None:
    assert (MODELS / "sources.yml").read_text(encoding="utf-8") == render_sources_yml(SCHEMA), RENEW


def test_the_committed_staging_documentation_is_that_of_the_ddl() -> None:
    committed = {file.stem: file.read_text(encoding="utf-8") for file in (MODELS / "staging").glob("*.yml")}
    assert committed == render_staging_yml(SCHEMA), RENEW


def test_a_staging_model_is_documented_beside_its_sql() -> None:
    assert set(render_staging_yml(SCHEMA)) == {file.stem for file in (MODELS / "staging").glob("*.sql")}


def test_a_comment_with_quotes_and_colons_stays_what_it_is(tmp_path: Path) -> None:
    ddl = (SCHEMA / "ops.landings.sql").read_text(encoding="utf-8")
    comment = "One row: \"quoted\", and the venue''s own \\ backslash"
    for file in SCHEMA.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    start = ddl.index("comment on table ops.landings is '")
    end = ddl.index("';", start)
    changed = ddl[:start] + f"comment on table ops.landings is '{comment}" + ddl[end:]
    (tmp_path / "ops.landings.sql").write_text(changed, encoding="utf-8")

    rendered = render_sources_yml(tmp_path)

    assert r'description: "One row: \"quoted\", and the venue' + "'s" + r' own \\ backslash"' in rendered


def test_an_undocumented_column_is_refused(tmp_path: Path) -> None:
    for file in SCHEMA.glob("*.sql"):
        text = file.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith("comment on column clean.candles.close is")]
        (tmp_path / file.name).write_text("\n".join(lines), encoding="utf-8")

    with pytest.raises(ContractError, match=r"candles"):
        render_sources_yml(tmp_path)
