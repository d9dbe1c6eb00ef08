"""Manifests that a load has read are not read again, and one that was altered since is."""

from __future__ import annotations

from pathlib import Path

from pipelines.extract.landing import LandingStore
from pipelines.extract.manifests import FOLDER


def test_a_remembered_manifest_counts_only_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"1")
    store = LandingStore(tmp_path, remembers=True)
    landed = [
        store.land_file(file, source="files.x", partition="history", part=part, request={"n": 1}) for part in ("a", "b")
    ]
    assert store.all() == LandingStore(tmp_path).all() == landed
    lines = (tmp_path / FOLDER / "files.x.jsonl").read_bytes()
    assert store.all() == landed
    assert (tmp_path / FOLDER / "files.x.jsonl").read_bytes() == lines

    [manifest] = tmp_path.glob(f"raw/files.x/history/a~{landed[0].landing_id}.manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert store.all() == landed[1:]
    assert len(store.damaged_manifests()) == 1
    manifest.unlink()
    assert (store.all(), store.damaged_manifests()) == (landed[1:], [])


def test_lines_that_were_cut_short_cost_nothing_but_a_reading(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"1")
    store = LandingStore(tmp_path, remembers=True)
    landed = store.land_file(file, source="files.x", partition="history", part="a", request={"n": 1})
    assert store.all() == [landed]
    cache = tmp_path / FOLDER / "files.x.jsonl"
    cache.write_bytes(cache.read_bytes()[:-20])
    assert LandingStore(tmp_path).all() == store.all() == store.all() == [landed]
