"""A search of named scalar variables as one HTML page, which works from a disk and without a network."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from itertools import count
from typing import Any

import numpy as np

from optitrip.core.arrays import Array, Coded, Column, ours
from optitrip.methods.importance import Importance, importance, most_used, numbers
from optitrip.methods.search.axes import Losses, axis_of, dimension, label, short
from optitrip.methods.search.picture import some_failed
from optitrip.methods.search.table import CandidateTable, best_rows
from optitrip.output.pictures import WIDE_RATIO
from optitrip.output.text import short_name
from optitrip.space.columns import ranking_columns, scalar_columns, scalars
from optitrip.space.variables import Variable

BEST_SHARE, MOST_BEST, REST, LINES, FAILED = 0.01, 300, 2_000, 500, 200
"""Share of candidates called the best; most of them, of the others as dots and as lines, and of failed ones, drawn."""
IN_TABLE, MOST_PANELS, PANELS_A_ROW = 20, 24, 3
MOST_VARIABLES = 200
"""Most variables that are looked at."""
BEST_COLOUR, REST_COLOUR, FAILED_COLOUR = "#c0392b", "#b8bec4", "#222222"
MARGIN = {"t": 32, "r": 20, "b": 50}
"""Margins of figures in pixels; the buttons of plotly.js are at the top, which touch screens always show."""
STYLE = (
    "body{font:14px system-ui,sans-serif;margin:1.5em auto;padding:0 1em;max-width:1200px;color:#222}"
    "table{border-collapse:collapse}"
    "th,td{padding:3px 10px;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}"
    "p{max-width:60em;color:#444}.wide{overflow-x:auto}"
)


def reported(table: CandidateTable) -> list[Variable]:
    """Return the variables that a report is about: drawn scalars; there is none if nearly all candidates failed."""
    if np.isfinite(table.result.loss).sum() < 2:
        return []
    return [variable for variable in scalars(table.candidates.space) if variable.distribution.drawn]


@ours()  # losses may be near the end of float64
def report_html(table: CandidateTable, title: str, word: str) -> bytes:
    """Return the page: loss against each variable, parallel coordinates, importance, and the best candidates."""
    from plotly.offline import get_plotlyjs

    result, variables = table.result, reported(table)
    index, loss = finite_losses(table)
    best = best_rows(-loss if result.maximize else loss, min(max(round(BEST_SHARE * len(loss)), 1), MOST_BEST))
    rest = np.setdiff1d(np.arange(0, len(loss), 1 + len(loss) // REST), best)
    used = most_used(len(variables[:MOST_VARIABLES]))
    drawn = np.flatnonzero(table.drawn(index))[:used]
    ranked = ranked_variables(table, variables[:MOST_VARIABLES], index[drawn], loss[drawn])
    shown = [variable for variable, _ in ranked[:MOST_PANELS]]
    chosen = np.concatenate([rest, best])
    columns = scalar_columns(table.candidates, index[chosen])
    failures = result.failures
    failed = some_failed(failures, 1 + failures.count // FAILED) if failures.count else np.empty(0, np.int64)
    word = label(word) + (" by the screen" if table.screening else " of the first rung" if table.halved else "")
    log = bool(loss.min() > 0 and np.quantile(loss, 0.995) / loss.min() > WIDE_RATIO)
    losses = Losses(loss[chosen], len(rest), word, log=log, maximize=result.maximize)
    left_out = f" Of {len(variables):,} parameters the most important are shown." if len(variables) > len(shown) else ""
    # Candidates that were asked for crowd where the loss is small: from them importance cannot be estimated.
    known = [(variable, found) for variable, found in ranked if found is not None and table.independent]
    sections = [
        f"<h1>{escape(title)}</h1>",
        f"<h2>{word} by parameter</h2><p>Red: the best {len(best):,} of {len(loss):,} candidates. Grey: "
        f"{len(rest):,} of the others.{' Black crosses: some that failed.' if len(failed) else ''}{left_out}</p>",
        figure(*panels(shown, columns, losses, scalar_columns(table.candidates, failed)), number=0),
        "<h2>Parallel coordinates</h2><p>The same, with fewer of the others. Drag along an axis to select; drag its "
        "name to move it.</p>",
        figure(*parallel(shown, columns, losses), number=1),
        importance_section(known[:MOST_PANELS], len(drawn)),
        f"<h2>The best {IN_TABLE}</h2>" + best_table(table.best(IN_TABLE)),
    ]
    page = f'<!doctype html><html><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    page += f"<script>{get_plotlyjs()}</script></head><body>{''.join(sections)}</body></html>\n"
    return page.encode(errors="backslashreplace")


def finite_losses(table: CandidateTable) -> tuple[Array, Array]:
    """Return the indices and losses of stored candidates that did not fail, the best few of all included."""
    result = table.result
    rows = np.isfinite(result.loss)
    index, loss = result.index[rows], result.loss[rows]
    if table.screening or table.halved:
        return index, loss
    other = ~np.isin(result.best_index, index)
    return np.append(index, result.best_index[other]), np.append(loss, result.best_loss[other])


def ranked_variables(
    table: CandidateTable, variables: Sequence[Variable], index: Array, loss: Array
) -> list[tuple[Variable, Importance | None]]:
    """Return variables with their importance, the most important first."""
    columns = ranking_columns(table.candidates, index)
    found = [(variable, importance(numbers(columns[variable.name]), loss)) for variable in variables]
    return sorted(found, key=lambda pair: -pair[1].share if pair[1] else 0.0)


def panels(
    variables: Sequence[Variable], columns: Mapping[str, Column], losses: Losses, failed: Mapping[str, Column]
) -> tuple[list[Any], dict[str, Any], int]:
    """Return traces, layout and height of a grid with the loss against each variable."""
    traces: list[Any] = []
    layout: dict[str, Any] = {"showlegend": False, "margin": {**MARGIN, "l": 70}}
    rows = -(-len(variables) // PANELS_A_ROW)
    size = 3 if losses.others > 200 else 5
    for number, variable in enumerate(variables):
        row, place = divmod(number, PANELS_A_ROW)
        suffix, column = str(number + 1) if number else "", columns[variable.name]
        wide, high = (1 - 0.07 * (PANELS_A_ROW - 1)) / PANELS_A_ROW, (1 - 0.12 * (rows - 1)) / rows
        left, low = place * (wide + 0.07), 1 - row * (high + 0.12) - high
        x_name, y_name = f"x{suffix}", f"y{suffix}"
        x_place = {"domain": short([left, left + wide]), "anchor": y_name}
        heading = {} if place == 0 else {"title": {}}
        y_place = {**heading, "domain": short([max(low, 0), low + high]), "anchor": x_name}
        layout |= {f"xaxis{suffix}": axis_of(variable, column) | x_place, f"yaxis{suffix}": losses.axis | y_place}
        axes = {"xaxis": x_name, "yaxis": y_name, "mode": "markers", "type": "scattergl", "hoverinfo": "x+y"}
        x, edge = spread(column), losses.others
        crosses = spread(failed[variable.name])
        traces += [
            {**axes, **points(x[:edge], losses.values[:edge]), "marker": {"size": size, "color": REST_COLOUR}},
            {**axes, **points(x[edge:], losses.values[edge:]), "marker": {"size": size + 2, "color": BEST_COLOUR}},
            {
                **axes,
                **points(crosses, np.full(len(crosses), losses.top)),
                "marker": {"size": 5, "color": FAILED_COLOUR, "symbol": "x-thin-open"},
            },
        ]
    return traces, layout, 290 * rows


def points(x: Array, y: Array) -> dict[str, Any]:
    return {"x": short(x), "y": short(y)}


def spread(column: Column) -> Array:
    """Return a column as numbers; options of a choice are spread so that dots do not hide one another."""
    if not isinstance(column, Coded):
        return column
    return column.codes + 0.7 * (np.arange(len(column.codes)) * 0.6180339887 % 1 - 0.5)


def parallel(
    variables: Sequence[Variable], columns: Mapping[str, Column], losses: Losses
) -> tuple[list[Any], dict[str, Any], int]:
    """Return a trace, the layout and the height of parallel coordinates, in which the best are drawn last."""
    best = np.arange(len(losses.values)) >= losses.others
    rows = np.flatnonzero(best | (np.arange(len(best)) % (1 + losses.others // LINES) == 0))
    axes = {variable.name: axis_of(variable, columns[variable.name]) for variable in variables}
    dimensions = [dimension(axis, columns[name], rows) for name, axis in axes.items()]
    dimensions.append(dimension(losses.axis, losses.values, rows))
    line = {
        "color": best[rows].astype(int).tolist(),
        "colorscale": [[0, "#dde1e5"], [1, BEST_COLOUR]],
        "cmin": 0,
        "cmax": 1,
    }
    trace = {"type": "parcoords", "dimensions": dimensions, "line": line}
    return [trace], {"margin": {"t": 60, "b": 30, "l": 80, "r": 80}}, 420


def importance_section(known: Sequence[tuple[Variable, Importance]], count: int) -> str:
    """Return the bars of importance with a text that says what they are; empty if nothing is known."""
    if not known:
        return ""
    names = [label(variable.name) for variable, _ in known]
    places = list(range(len(known)))
    bars: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "y": places,
        "x": short([found.share for _, found in known]),
    }
    bars |= {"marker": {"color": "#4c78a8"}, "width": 0.6, "hoverinfo": "x"}
    bars["error_x"] = {"type": "data", "array": short([found.interval for _, found in known]), "color": "#222"}
    chance: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "y": places,
        "x": short([found.chance for _, found in known]),
    }
    chance |= {"marker": {"symbol": "line-ns-open", "size": 16, "color": "#d62728"}, "hoverinfo": "x"}
    yaxis = {"tickvals": places, "ticktext": names, "autorange": "reversed", "automargin": True}
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "share of the variance of the ranks"}},
        "yaxis": yaxis,
        "showlegend": False,
    }
    layout["margin"] = {**MARGIN, "l": 80}
    text = (
        f"Share of the variance of the loss's ranks that each parameter explains alone, over {count:,} candidates: the "
        "first-order Sobol' index from given data (Plischke, Borgonovo, Smith, 2013), corrected for chance, with its "
        "95 % interval (jackknife). Of parameters without influence, 95 % stay below the red mark. What two parameters "
        "do only together is in none of the bars. A parameter that only some candidates have is compared among these."
    )
    return f"<h2>Importance</h2><p>{text}</p>{figure([bars, chance], layout, 80 + 34 * len(known), number=2)}"


def best_table(columns: Mapping[str, Column]) -> str:
    heads = "".join(f"<th>{escape(short_name(name))}</th>" for name in columns)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    cells = ("".join(f"<td>{escape(cell(value))}</td>" for value in row) for row in rows)
    body = "".join(f"<tr><td>{rank}</td>{row}</tr>" for rank, row in zip(count(1), cells, strict=False))
    return f'<div class="wide"><table><tr><th>rank</th>{heads}</tr>{body}</table></div>'


def cell(value: Any) -> str:
    if isinstance(value, float):  # NaN where a conditional parameter does not exist
        return "-" if np.isnan(value) else f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else short_name(str(value))


def figure(traces: Sequence[Any], layout: Mapping[str, Any], height: int, *, number: int) -> str:
    """Return the HTML of a figure; names in it are neither tags nor formulas."""
    whole = {"template": {}, "height": height, "font": {"size": 12}, "plot_bgcolor": "white", **layout}
    config = {"typesetMath": False, "displaylogo": False, "responsive": True}
    given = ",".join(json.dumps(part).replace("<", "\\u003c") for part in (traces, whole, config))
    return f'<div id="figure{number}"></div><script>Plotly.newPlot("figure{number}",{given})</script>'
