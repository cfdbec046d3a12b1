"""Restores a sweep's journal from a copy, and copies it while the sweep runs: the options `restore` and `mirror`."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from optitrip.app.context import Context, Options
from optitrip.config.sweep import Sweep
from optitrip.errors import InputError, Stopped
from optitrip.journal.mirror import Mirror
from optitrip.output.outcome import Outcome
from optitrip.runtime.remote import Remote, open_remote
from optitrip.store.restore import Restore
from optitrip.store.state_dir import JOURNAL, RESULT, StateDir
from optitrip.tracking.secrets import redacted, without_password


def restored(context: Context) -> str | None:
    """Restore the sweep's journal if that is asked for; return the writer of its copy.

    Raise Stopped if the copy cannot be read now: whoever begins anew instead would evaluate again what is there.
    """
    options, sweep = context.options, context.sweep
    if options.fresh and options.restore is not None:
        raise InputError("--fresh starts over and --restore continues: give one of them")
    for option, uri in (("--mirror", options.mirror), ("--restore", options.restore)):
        if uri is not None:
            remote_of(option, uri, options, sweep)
    if options.restore is None or options.root is None or options.has_result(sweep):
        return None
    uri, place = options.restore, without_password(options.restore)
    remote = remote_of("--restore", uri, options, sweep)
    restore = Restore(remote, place, folder_of(options, sweep), options.root / sweep.label, sweep)
    try:
        return restore(context.observers.notice, trust=options.trust, accept_changes=options.accept_changes)
    except OSError as error:
        text = f"{place} cannot be read: {redacted(str(error), uri):.500}; nothing was evaluated"
        raise Stopped(f"{text}. The same command tries again; without --restore it starts from what is here") from None
    except (ValueError, NotImplementedError, ImportError) as error:  # PyArrow's, for a URI with what it does not know
        raise InputError(f"--restore was {place!r:.200}: {redacted(str(error), uri):.500}") from None


def mirror_of(context: Context, state: StateDir, replaces: str | None) -> Mirror | None:
    """Return the mirror of an opened journal, if one is asked for; `replaces` is the writer of the restored copy."""
    options, sweep = context.options, context.sweep
    if options.mirror is None or state.path is None or not state.writable:
        return None
    return Mirror(
        remote_of("--mirror", options.mirror, options, sweep),
        without_password(options.mirror),
        folder_of(options, sweep),
        state.path / JOURNAL,
        sweep.identity,
        context.observers.notice,
        replaces=replaces if options.restore == options.mirror else None,
        fresh=options.fresh,
        hide=partial(redacted, uri=options.mirror),
    )


def finished(context: Context, mirror: Mirror | None, outcome: Outcome, names: list[str]) -> Outcome:
    """Make the last copy, with the result files; return the outcome with what there is to say of it."""
    if mirror is None:
        return outcome
    with context.phases.time("mirror"):
        mirror.finish([*names, RESULT] if names else [])
    return replace(outcome, phases=context.phases.seconds, notices=context.log.notices)


def remote_of(option: str, uri: str, options: Options, sweep: Sweep) -> Remote:
    """Open what an option names; raise InputError if that is nothing a copy can be in."""
    try:
        remote = open_remote(uri, options.folder)
    except InputError as error:
        raise InputError(f"{option} was {without_password(uri)!r:.200}; {error}") from None
    folder: Path | None = getattr(remote, "path", None)
    if (
        folder is not None
        and options.root is not None
        and (folder / sweep.label).resolve() == (options.root / sweep.label).resolve()
    ):
        raise InputError(
            f"{option} was {uri!r:.200}, which is the folder of state directories itself; wanted another one"
        )
    return remote


def folder_of(options: Options, sweep: Sweep) -> str:
    """Return the folder of a sweep in a mirror; each shard has its own."""
    above = options.shard.state_root(Path()) if options.shard else Path()
    return (above / sweep.label).as_posix()
