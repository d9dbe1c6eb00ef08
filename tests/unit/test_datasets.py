"""The data sets of a warehouse, their folders, and files waiting in the inbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from pipelines.operations.datasets import (
    Dataset,
    claim_folders,
    find_datasets,
    read_dataset,
    refused_in_inbox,
    uncovered_in_inbox,
    waiting_files,
)

MAPPING = """
dataset = "{name}"
[[ignore]]
pattern = "notes.txt"
because = "no data"
[[file]]
pattern = "prices*.csv"
[[file.rows]]
table = "candles"
[[file]]
pattern = "extra.csv"
required = false
[[file.rows]]
table = "open_interest"
"""


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", mappings=tmp_path / "mappings")
    settings.mappings_dir.mkdir()
    write_mapping(settings.mappings_dir / "example.toml")
    return settings


def write_mapping(path: Path, name: str = "example") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MAPPING.replace("{name}", name), encoding="utf-8")
    return path


def of(settings: Settings, name: str) -> Dataset:
    """The data set of this name, or one whose mapping cannot be read."""
    found = [dataset for dataset in find_datasets(settings) if dataset.name == name]
    return found[0] if found else Dataset(name=name, mapping=settings.mappings_dir / f"{name}.toml", fault="gone")


def test_a_document_beside_the_data_stops_no_folder(home: Settings, tmp_path: Path) -> None:
    folder = write_files(home.inbox_dir / "example", "prices.csv", "README.md", "notes.txt")
    other = write_files(home.inbox_dir / "no_mapping", "x.csv")
    later = (folder / "prices.csv").stat().st_mtime + 60
    assert waiting_files(home, of(home, "example"), now=later) == (folder / "prices.csv",)
    assert uncovered_in_inbox(home, find_datasets(home)) == (folder / "README.md", other / "x.csv")
    bought = write_files(tmp_path / "root" / "bought", "prices.csv", "README.md")
    assert claim_folders(find_datasets(home), tmp_path / "root").folders == {"example": (bought,)}


def write_files(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("x", encoding="utf-8")
    return folder


def test_a_mapping_defines_the_tables_of_its_data_set(home: Settings) -> None:
    [dataset] = find_datasets(home)
    assert (dataset.name, dataset.source) == ("example", "files.example")
    assert dataset.tables == ("candles", "open_interest")


def test_a_mapping_that_is_not_toml_is_a_data_set_with_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "My Archive.toml"
    path.write_text("dataset = ", encoding="utf-8")
    dataset = read_dataset(path)
    assert dataset.name == "my_archive"
    assert str(path) in (dataset.fault or "")


def test_an_imported_data_set_is_known_without_its_mapping_file(home: Settings) -> None:
    kept = write_mapping(home.raw_dir / "files.older" / "_mappings" / "abc.toml", "older")
    assert {dataset.name: dataset.mapping for dataset in find_datasets(home)}["older"] == kept


def test_the_mapping_in_the_folder_overrides_the_one_kept_from_an_import(home: Settings) -> None:
    write_mapping(home.raw_dir / "files.example" / "_mappings" / "abc.toml")
    [dataset] = find_datasets(home)
    assert dataset.mapping.parent == home.mappings_dir


def test_a_mapping_given_on_the_command_line_overrides_both(home: Settings, tmp_path: Path) -> None:
    named = write_mapping(tmp_path / "elsewhere" / "mine.toml")
    [dataset] = find_datasets(home, extra=[named])
    assert dataset.mapping == named


def test_a_folder_belongs_to_the_mapping_that_matches_all_of_its_files(home: Settings, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "root" / "deep" / "archive", "prices_2024.csv", "extra.csv", "notes.txt")
    claims = claim_folders(find_datasets(home), tmp_path / "root")
    assert claims.folders == {"example": (folder,)}
    assert claims.unclaimed == ()


@pytest.mark.parametrize(
    "names",
    [("prices.csv", "unknown.csv"), ("extra.csv",), ("notes.txt",)],
    ids=["an unknown file", "a required file is missing", "only ignored files"],
)
def test_a_folder_that_matches_no_mapping_is_reported(home: Settings, tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = write_files(tmp_path / "root" / "archive", *names)
    claims = claim_folders(find_datasets(home), tmp_path / "root")
    assert claims.folders == {}
    assert claims.unclaimed == (folder,)


def test_a_file_waits_until_it_has_not_changed_for_ten_seconds(home: Settings) -> None:
    folder = write_files(home.inbox_dir / "example", "prices.csv")
    os.utime(folder / "prices.csv", (1000.0, 1000.0))
    assert waiting_files(home, of(home, "example"), now=1009.0) == ()
    assert waiting_files(home, of(home, "example"), now=1011.0) == (folder / "prices.csv",)


def test_a_data_set_without_inbox_has_no_waiting_files(home: Settings) -> None:
    assert waiting_files(home, of(home, "example"), now=0.0) == ()


def test_links_and_special_files_in_an_inbox_are_refused_by_name(home: Settings, tmp_path: Path) -> None:
    folder = home.inbox_dir / "example"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "prices.csv").write_text("x", encoding="utf-8")
    (folder / "sub" / "prices.csv").write_text("x", encoding="utf-8")
    (folder / "link.csv").symlink_to(tmp_path / "outside" / "prices.csv")
    (folder / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    (folder / "broken.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.csv")
    (home.inbox_dir / "other").symlink_to(tmp_path / "outside", target_is_directory=True)
    later = (folder / "sub" / "prices.csv").stat().st_mtime + 60
    assert waiting_files(home, of(home, "example"), now=later) == (folder / "sub" / "prices.csv",)
    assert waiting_files(home, of(home, "other"), now=later) == ()
    assert refused_in_inbox(home) == (
        folder / "broken.csv", folder / "link.csv", folder / "linked", folder / "pipe.csv", home.inbox_dir / "other",
    )  # fmt: skip
