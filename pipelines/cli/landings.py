"""The commands landing and forget: show refused landings, accept, forget, repair them. No landed byte is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pipelines.cli.screen import Screen
from pipelines.core.errors import ConfigError, LandingError
from pipelines.core.paths import require_writable
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore, Refusal

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Landing ids, or their first characters.")]
Reason = Annotated[str, typer.Option("--because", help="Why; it is kept with the landing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]

landing = typer.Typer(
    no_args_is_help=True, help="Landings: show why some are refused, accept or forget them, repair what was lost."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(landing, name="landing")
    app.command("forget")(forget_data_set)


@landing.command("show")
def show(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Landing ids; none: every refused one.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show why landings were refused; without an id, list all refused ones."""
    store, screen = LandingStore(Settings.load().root), Screen()
    chosen = _named(store, ids) if ids else store.all()
    refusals = store.refusals(chosen)
    if as_json:
        screen.json(
            [_details(store, one, refusals.get(one.landing_id)) for one in chosen if ids or one.landing_id in refusals]
        )
    elif ids:
        for one in chosen:
            details = _details(store, one, refusals.get(one.landing_id))
            screen.table(one.landing_id, [{"what": name, "value": value} for name, value in details.items()])
    else:
        rows = [
            {"id": x.landing_id, "source": x.source, "partition": x.partition, "part": x.part, "reason": x.reason,
             "detail": x.detail, "refused_at": x.refused_at}
            for x in refusals.values()
        ]  # fmt: skip
        screen.table("Refused landings", rows, empty="none")


@landing.command("accept")
def accept(ids: Ids, *, because: Reason) -> None:
    """Load landings that the gate refused, because their data is right. The next load takes them.

    A landing that could not be read cannot be accepted: it is read again once the code or the mapping has changed.
    """
    store, screen = _writable_store(), Screen()
    chosen = _named(store, ids)
    refusals = store.refusals(chosen)
    for one in chosen:
        refusal = refusals.get(one.landing_id)
        if refusal is None:
            raise ConfigError(f"landing {one.landing_id} is not refused; there is nothing to accept.")
        if refusal.reason != "gate":
            raise ConfigError(
                f"landing {one.landing_id} was refused because it is {refusal.reason}: {refusal.detail} Only what the gate "
                "refused can be accepted."
            )
    for one in chosen:
        store.accept(one, reason=because)
        screen.note(f"accepted {one.landing_id} {one.source} {one.partition} {one.part}; 'leverhouse run' loads it")


@landing.command("forget")
def forget(ids: Ids, *, because: Reason) -> None:
    """Treat landings as never landed. The next load removes their rows; a venue is asked again for what they held."""
    store = _writable_store()
    _forget(store, _named(store, ids), because)


@landing.command("repair")
def repair(
    *,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Treat what is gone as never landed, so that it is fetched or imported again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write lost manifests again from the books, and say which landed bytes are gone.

    A manifest is written from ops.landings where its bytes are as they were received. What is missing or altered is listed with
    what to do; the exit code is then 66, unless it is forgotten. 'leverhouse restore DIR' comes first where there is a backup.
    """
    from pipelines.cli.screen import Bar
    from pipelines.operations.repair import repair_landing

    settings, screen = Settings.load(), Screen()
    with Bar(screen) as bar:
        report = repair_landing(settings, forget_because="its bytes are lost" if forget else None, progress=bar.show)
    if as_json:
        screen.json(asdict(report))
    else:
        screen.note(f"{len(report.manifests)} manifest(s) written again from {report.books}")
        screen.table("Gone", [asdict(one) for one in report.lost], empty="nothing")
        for line in report.unknown:
            screen.note(f"damaged: {line}")
        if report.manifests or report.forgotten:
            screen.note("'leverhouse run' loads what came back and removes the rows of what is forgotten")
    left = len(report.lost) - len(report.forgotten) + len(report.unknown)
    if left:
        raise LandingError(f"{left} landing(s) are gone or damaged; the list says what to do.")


def forget_data_set(
    data_set: Annotated[str, typer.Argument(help="A data set of files, as its mapping names it, or a source.")],
    *,
    because: Reason = "undone by hand",
) -> None:
    """Undo an import: treat every landing of a data set as never landed. The next load removes its rows."""
    from pipelines.operations.import_check import forget_refusals, refused_imports

    settings, store = Settings.load(), _writable_store()
    source = data_set if "." in data_set else f"files.{data_set}"
    chosen = store.all(source)
    refused = [x for x in refused_imports(settings) if x.source == source]
    forget_refusals(settings, source)
    if not chosen and refused:
        Screen().note(f"{len(refused)} refused import(s) of {source} forgotten; nothing of it is landed")
        return
    if not chosen:
        known = sorted({one.source for one in store.all()})
        raise ConfigError(f"nothing is landed of {source}; there are landings of {', '.join(known) or 'no source'}.")
    _forget(store, chosen, because)


def _writable_store() -> LandingStore:
    settings = Settings.load()
    require_writable(settings)
    return LandingStore(settings.root)


def _forget(store: LandingStore, chosen: Sequence[Landing], because: str) -> None:
    for one in chosen:
        store.forget(one, reason=because)
    Screen().note(f"{len(chosen)} landing(s) forgotten; 'leverhouse run' removes their rows")


def _named(store: LandingStore, ids: Sequence[str]) -> list[Landing]:
    """The landings whose ids start so. Raises ConfigError for one that is unknown or ambiguous."""
    landings = store.all()
    found: dict[str, Landing] = {}
    for text in ids:
        matching = [one for one in landings if one.landing_id.startswith(text)]
        if len(matching) != 1:
            problem = "no landing has" if not matching else f"{len(matching)} landings have"
            raise ConfigError(
                f"{problem} an id that starts with {text!r}; 'leverhouse landing show' lists the refused ones."
            )
        found[matching[0].landing_id] = matching[0]
    return list(found.values())


def _details(store: LandingStore, one: Landing, refusal: Refusal | None) -> dict[str, Any]:
    details: dict[str, Any] = asdict(one) | {"accepted": store.is_accepted(one)}
    if refusal is None:
        return details | {"refused": None}
    return details | {
        "refused": refusal.reason, "detail": refusal.detail, "page": refusal.page, "sample": list(refusal.sample),
        "refused_at": refusal.refused_at,
    }  # fmt: skip
