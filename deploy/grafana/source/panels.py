"""What dashboards are made of: panels with a title, a unit, a description and queries, laid out on Grafana's grid of 24 columns."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

GREEN, ORANGE, RED = "green", "orange", "red"
# More is worse: from 1 on something is wrong.
NONE_IS_GOOD = [(None, GREEN), (1, RED)]
# More is better, of a share that should be near to all.
NEARLY_ALL = [(None, RED), (0.95, ORANGE), (0.99, GREEN)]
# More is worse, of what there is no more of than there is.
USED = [(None, GREEN), (0.7, ORANGE), (0.9, RED)]
UP = [(None, RED), (1, GREEN)]


def stat(title, expr, unit, description, steps=None, legend="", width=4, height=4, values=None, decimals=None):
    """The newest value, large; one for each series."""
    panel = _panel("stat", title, [(expr, legend)], unit, description, width, height, steps, instant=True)
    panel["options"] = {
        "colorMode": "value" if steps else "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    defaults = panel["fieldConfig"]["defaults"]
    if values:
        defaults["mappings"] = [{"type": "value", "options": {key: {"text": text} for key, text in values.items()}}]
    if decimals is not None:
        defaults["decimals"] = decimals
    return panel


def bars(title, expr, unit, description, legend, steps=None, width=8, height=8, least=0, most=None):
    """The newest value of each series as a bar."""
    panel = _panel("bargauge", title, [(expr, legend)], unit, description, width, height, steps, instant=True)
    panel["options"] = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
    }
    panel["fieldConfig"]["defaults"]["min"] = least
    if most is not None:
        panel["fieldConfig"]["defaults"]["max"] = most
    return panel


def graph(title, queries, unit, description, steps=None, stack=False, width=8, height=8, least=0, log=False):
    """Values over time. `queries` is a list of (query, legend)."""
    panel = _panel("timeseries", title, queries, unit, description, width, height, steps, instant=False)
    panel["options"] = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = panel["fieldConfig"]["defaults"]
    defaults["color"] = {"mode": "palette-classic"}
    if least is not None:
        defaults["min"] = least
    defaults["custom"] = {
        "drawStyle": "line",
        "fillOpacity": 30 if stack else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    return panel


def table(title, queries, description, columns, width=12, height=9, sort=None, matrix=None, unit="short"):
    """One row for each set of labels.

    `queries` is a list of (query, name of its column), `columns` a list of (column, what it is called, unit, steps or None), in their order;
    `sort` a column by its new name, worst first. `matrix` is (rows, columns): labels that span the table, for one query.
    """
    panel = _panel("table", title, queries, unit, description, width, height, None, instant=True)
    for target in panel["targets"]:
        target["format"] = "table"
        del target["legendFormat"]
    if matrix:
        rows, across = matrix
        panel["transformations"] = [
            {"id": "groupingToMatrix", "options": {"rowField": rows, "columnField": across, "valueField": "Value"}}
        ]
    else:
        # A single query's column is called Value, that of several by its letter as well.
        values = {name: "Value" if len(queries) == 1 else f"Value #{_letter(i)}" for i, (_, name) in enumerate(queries)}
        original = [values.get(column, column) for column, *_ in columns]
        panel["transformations"] = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
        panel["transformations"].append({
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: place for place, name in enumerate(original)},
                "renameByName": {name: called for name, (_, called, *_) in zip(original, columns)},
            },
        })
    for _, called, of_column, steps in columns:
        properties = [{"id": "unit", "value": of_column}]
        if steps:
            properties.append({"id": "thresholds", "value": _thresholds(steps)})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
            properties.append({"id": "color", "value": {"mode": "thresholds"}})
        panel["fieldConfig"]["overrides"].append({"matcher": {"id": "byName", "options": called}, "properties": properties})
    panel["options"] = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"], "fields": ""}}
    if sort:
        panel["options"]["sortBy"] = [{"displayName": sort, "desc": True}]
    panel["fieldConfig"]["defaults"]["custom"] = {"align": "auto", "filterable": True}
    return panel


def row(title):
    """A heading; what follows it is below it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def variable(name, label, query):
    """A choice among the values of a label; all of them at first."""
    return {
        "type": "query", "name": name, "label": label, "datasource": SOURCE,
        "query": {"query": query, "refId": name}, "definition": query,
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def dashboard(uid, title, description, panels, variables=(), since="now-6h", refresh="30s"):
    """A dashboard. Panels are placed from left to right, as many beside each other as fit."""
    return {
        "uid": uid, "title": f"Holdfast / {title}", "description": description, "tags": ["holdfast"],
        "schemaVersion": 38, "version": 1, "editable": True, "graphTooltip": 1, "timezone": "browser", "weekStart": "",
        "time": {"from": since, "to": "now"}, "timepicker": {}, "refresh": refresh, "fiscalYearStartMonth": 0,
        "liveNow": False,
        "links": [{
            "type": "dashboards", "title": "Holdfast", "tags": ["holdfast"], "asDropdown": False, "includeVars": False,
            "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
        }],
        "templating": {"list": [{
            "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1,
            "hide": 0, "includeAll": False, "multi": False, "options": [], "regex": "", "current": {},
        }, *variables]},
        "annotations": {"list": [
            _annotation("Leader changes", "orange", "holdfast_leader == 1 unless on (instance, duty) holdfast_leader offset 1m == 1",
                        "{{instance}} leads the {{duty}}"),
            _annotation("Restarts", "blue", 'process_start_time_seconds{job=~"producer|worker|reporter"} * 1000',
                        "{{job}} {{instance}} has started", at_value=True),
        ]},
        "panels": _placed(panels),
    }


def _panel(kind, title, queries, unit, description, width, height, steps, instant):
    return {
        "type": kind, "title": title, "description": description, "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {
                "unit": unit, "mappings": [], "color": {"mode": "thresholds"},
                "thresholds": _thresholds(steps or [(None, GREEN)]),
            },
            "overrides": [],
        },
        "targets": [{
            "refId": _letter(i), "datasource": SOURCE, "editorMode": "code", "expr": " ".join(expr.split()), "legendFormat": legend,
            "instant": instant, "range": not instant,
        } for i, (expr, legend) in enumerate(queries)],
    }


def _annotation(name, color, expr, text, at_value=False):
    return {
        "name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": color, "expr": expr,
        "titleFormat": text, "step": "1m", "useValueForTime": at_value,
    }


def _thresholds(steps):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def _letter(index):
    return chr(ord("A") + index)


def _placed(panels):
    """Numbers the panels, and gives each its place: in a line as long as there is room, a heading in a line of its own."""
    x = y = tallest = 0
    for number, panel in enumerate(panels, start=1):
        panel["id"] = number
        size = panel.setdefault("gridPos", {"w": WIDTH, "h": 1})
        if x + size["w"] > WIDTH or panel["type"] == "row":
            x, y, tallest = 0, y + tallest, 0
        panel["gridPos"] = {"x": x, "y": y, **size}
        x, tallest = x + size["w"], max(tallest, size["h"])
    return panels
