"""The landing: bytes as received, never overwritten, nothing outside its folder, no partial files."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.core.errors import LandingError
from pipelines.extract.landing import Landing, LandingStore


class Clock:
    """A clock that advances by one second per reading."""

    def __init__(self) -> None:
        self.now = datetime(2024, 1, 1)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> LandingStore:
    return LandingStore(tmp_path / "home")


def land(
    store: LandingStore, content: bytes, *, part: str = "a.csv", clock: Clock | None = None, key: str = ""
) -> Landing:
    file = store.home.parent / "incoming"
    file.write_bytes(content)
    return store.land_file(
        file, source="files.example", partition="history", part=part, request={"key": key}, clock=clock or Clock()
    )


def test_bytes_are_kept_as_received_with_their_digest(store: LandingStore) -> None:
    landing = land(store, b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert landing.path.read_bytes() == b"\xef\xbb\xbfa,b\r\n1,2\r\n"
    assert landing.sha256 == hashlib.sha256(landing.path.read_bytes()).hexdigest()
    assert store.all() == [landing]


def test_landing_the_same_bytes_again_makes_no_new_version(store: LandingStore) -> None:
    clock = Clock()
    first = land(store, b"x", clock=clock)
    assert land(store, b"x", clock=clock) == first
    assert len(store.all()) == 1


def test_different_bytes_are_a_new_version_and_the_old_one_stays(store: LandingStore) -> None:
    clock = Clock()
    first = land(store, b"x", clock=clock)
    second = land(store, b"y", clock=clock)
    assert (first.version, second.version) == (1, 2)
    assert first.path.read_bytes() == b"x"
    assert store.current() == [second]


def test_going_back_to_older_bytes_is_a_new_version_too(store: LandingStore) -> None:
    clock = Clock()
    land(store, b"x", clock=clock)
    land(store, b"y", clock=clock)
    third = land(store, b"x", clock=clock)
    assert third.version == 3
    assert store.current() == [third]


def test_landing_the_same_bytes_again_heals_what_was_altered_or_lost(store: LandingStore) -> None:
    first = land(store, b"x")
    first.path.write_bytes(b"y")
    assert land(store, b"x") == first
    assert list(store.verify([first])) == []
    first.path.unlink()
    assert land(store, b"x") == first
    assert (list(store.verify([first])), store.all()) == ([], [first])


def test_a_link_in_an_inbox_is_not_landed(store: LandingStore, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(b"x")
    (store.home / "inbox" / "example").mkdir(parents=True)
    link = store.home / "inbox" / "example" / "a.csv"
    link.symlink_to(tmp_path / "secret.csv")
    with pytest.raises(LandingError, match="a symbolic link"):
        store.land_file(link, source="files.example", partition="history", part="a.csv", request={})
    assert store.all() == []


def test_another_request_for_the_same_bytes_is_a_new_version(store: LandingStore) -> None:
    clock = Clock()
    land(store, b"x", clock=clock, key="mapping one")
    assert land(store, b"x", clock=clock, key="mapping two").version == 2


@pytest.mark.parametrize(
    "part", ["../../x", "/etc/passwd", "..", ".hidden", "'; drop table x;--", "a/b\\c", "x" * 500, "a\0b"]
)
def test_no_name_escapes_the_landing_folder(store: LandingStore, part: str) -> None:
    landing = land(store, b"x", part=part)
    folder = store.home / "raw" / "files.example" / "history"
    assert landing.path.resolve().parent == folder.resolve()
    assert store.all()[0].part == part


def test_names_that_are_equal_after_cleaning_have_different_paths(store: LandingStore) -> None:
    one, other = land(store, b"x", part="a/b"), land(store, b"x", part="a?b")
    assert one.path != other.path
    assert len(store.current()) == 2


def test_bytes_without_a_manifest_are_not_landed_and_are_overwritten_by_the_next_landing(store: LandingStore) -> None:
    landing = land(store, b"x")
    landing.path.with_name(landing.path.name + ".manifest.json").unlink()
    assert store.all() == []
    assert land(store, b"x").path == landing.path
    assert len(store.all()) == 1


def test_a_missing_file_is_an_error_that_names_it(store: LandingStore, tmp_path: Path) -> None:
    with pytest.raises(LandingError, match=r"cannot read .*nothing\.csv"):
        store.land_file(tmp_path / "nothing.csv", source="files.example", partition="history", part="p", request={})
    assert not list(store.raw_dir.rglob("*.part"))


def test_a_damaged_manifest_counts_as_not_landed_and_is_named(store: LandingStore) -> None:
    landing = land(store, b"x")
    manifest = landing.path.with_name(landing.path.name + ".manifest.json")
    manifest.write_text("{", encoding="utf-8")
    assert store.all() == []
    [fault] = store.damaged_manifests()
    assert manifest.name in fault


def test_altered_and_missing_bytes_are_found(store: LandingStore) -> None:
    clock = Clock()
    altered, lost, intact = (land(store, b"x", part=p, clock=clock) for p in ("altered", "lost", "intact"))
    altered.path.write_bytes(b"y")
    lost.path.unlink()
    faults = list(store.verify([altered, lost, intact]))
    assert len(faults) == 2
    assert "was altered" in faults[0]
    assert "is missing" in faults[1]


def test_a_mapping_is_kept_under_its_digest(store: LandingStore) -> None:
    digest = store.keep_mapping("files.example", b"name = 'x'")
    assert store.mapping_path("files.example", digest).read_bytes() == b"name = 'x'"
    assert store.keep_mapping("files.example", b"name = 'x'") == digest
