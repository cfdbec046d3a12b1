"""Searchers of other libraries, one file each; to add one, add a file and a line here. It is imported when used."""

SEARCHERS: dict[str, str] = {
    "cma": "optitrip.methods.adaptive.searchers.cma:Cma",
    "optuna": "optitrip.methods.adaptive.searchers.optuna:Optuna",
}
"""Searchers by name in sweep files, which is also the name of the package that each needs."""
