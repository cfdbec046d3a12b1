"""The part of a session that searches with a searcher that learns."""

from collections.abc import Mapping
from typing import Any, Unpack

from optitrip.api.inputs import by_name, check_importable, with_constants
from optitrip.api.options import CALL_OPTIONS, RunOptions, takes_options
from optitrip.api.runner import Runner
from optitrip.methods.search.answer import SearchAnswer


class AskTell(Runner):
    """The adaptive searches of a `Session`."""

    @takes_options(CALL_OPTIONS)
    def ask_tell(
        self,
        loss: Any,
        space: Mapping[str, Any],
        *,
        searcher: Any,
        candidates: int,
        batch: int = 16,
        settings: Mapping[str, Any] | None = None,
        best: int = 10,
        stop: Mapping[str, Any] | None = None,
        seed: int = 0,
        maximize: bool = False,
        plain: bool = False,
        as_dict: bool = False,
        constants: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        recheck: Mapping[str, int] | None = None,
        repeats: int = 1,
        deterministic: bool | float = True,
        **options: Unpack[RunOptions],
    ) -> SearchAnswer:
        """Ask a searcher for batches of candidates, tell it the loss of each, and return the best.

        For a fixed batch, the answer is the same for any number of workers, bit for bit.

        Args:
            loss, space: as for `search`.
            searcher: "cma" or "optuna", each of which needs its package, or your own: a class that is called with the
                unit cube (`size`, `names`, ...), the seed and the size of a batch, and has two methods: `ask(count)`
                returns points of the unit cube, an array of shape (count, size); `tell(points, losses)` gets their
                losses, smaller is better and NaN failed. A coordinate is mapped to a value by the inverse CDF of its
                variable. A sweep is resumed by asking and telling again, so a searcher must be deterministic.
            candidates: number of candidates to evaluate.
            batch: number of candidates to ask for at a time, which are evaluated in parallel.
            settings: options of the searcher, e.g. {"sampler": "GP"} for Optuna.
            best: as for `search`.
            stop: when to end early: `target_loss`, or `no_improvement`, a number of candidates.
            seed: seed of the searcher.
            maximize, plain, as_dict, constants, arguments: as for `search`.
            recheck, repeats, deterministic: as for `search`.
            options: as for `search`.

        Raises:
            optitrip.OptitripError, optitrip.Interrupted: as for `search`; `NoAnswer` also if the searcher fails, and
                `StateError` if it asks for other points than those that are stored.
        """
        check_importable("searcher", searcher, {**self._options, **options}.get("state_dir"))
        method = {"use": "adaptive", "searcher": searcher, "candidates": candidates, "batch": batch, "best": best}
        method |= {"options": settings or {}} | ({"recheck": recheck} if recheck is not None else {})
        bound, held = by_name("arguments", arguments), by_name("constants", constants)
        objective: dict[str, Any] = {"maximize": maximize, "plain": plain, "as_dict": as_dict, "arguments": bound}
        objective |= {"repeats": repeats, "deterministic": deterministic}
        space = with_constants(space, held, bound)
        tables = {"seed": seed, "objective": objective, "space": space, "method": method, "stop": by_name("stop", stop)}
        return self._python_sweep(loss, tables, options)
