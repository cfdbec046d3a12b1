"""Records stored sweeps in MLflow, with nothing evaluated and no loss imported."""

from collections.abc import Sequence
from pathlib import Path

from optitrip.errors import InputError, Stopped
from optitrip.journal.facts import Outbox, RecordedRun
from optitrip.runtime.interrupts import failure
from optitrip.store.lookup import find_stored_sweep
from optitrip.store.state_dir import JOURNAL, check_trusted
from optitrip.tracking.location import tracking_uri
from optitrip.tracking.mlflow_client import InProcessClient
from optitrip.tracking.secrets import redacted, without_password
from optitrip.tracking.settle import delivery, send


def sync(name: str, root: Path, overrides: Sequence[str] = (), *, trust: bool = False) -> RecordedRun:
    """Send what the MLflow run of a sweep holds, as of the end of its last command; return the run.

    Raises InputError if no command of it has ended, Stopped if MLflow cannot be written to.
    """
    sweep, folder = find_stored_sweep(name, root, overrides)
    if not trust:
        check_trusted(folder)
    uri = tracking_uri()
    with delivery(folder / JOURNAL, sweep.identity) as journal:
        if (record := journal.fact(Outbox)) is None:
            raise InputError(f"{sweep.label} has nothing to deliver yet; `optitrip sweep {name}` runs and records it")
        try:
            return send(journal, sweep.identity, record, uri, sweep.tracking.experiment, InProcessClient())
        except BaseException as error:
            reason = redacted(str(failure(error)).strip() or repr(error), uri)
            where = without_password(uri)
            raise Stopped(f"recording in MLflow at {where} failed ({reason:.500}); try again later") from None
