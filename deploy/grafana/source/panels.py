"""Panels as Grafana's dashboard schema wants them, and their places.

A panel is described by its title, what it shows, its unit and its queries; all
else is the same for every panel of its kind, here and nowhere else.
"""

import dataclasses

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

GREEN, BLUE, ORANGE, RED, GREY = (
    "#009e73", "#56b4e9", "#e69f00", "#d55e00", "#8e8e8e")
# A policy has one colour wherever it is drawn.
POLICY_COLOURS = {
    "h2o": BLUE, "h2o_evict": "#0072b2", "snapkv": GREEN, "streaming": ORANGE,
    "tova": RED, "random": GREY, "oracle": "#cc79a7", "other": "#b8a200"}
OUTCOME_COLOURS = {"ok": GREEN, "length": BLUE, "failed": RED,
                   "cancelled": GREY, "deadline": ORANGE}
# As in the heat maps: the higher, the brighter.
BIN_COLOURS = {
    "0-0.1": "#46327e", "0.1-0.25": "#3f4889", "0.25-0.5": "#365c8d",
    "0.5-1": "#277f8e", "1-2": "#1fa187", "2-3": "#4ac16d", "3-5": "#a0da39",
    "5+": "#fde725"}


@dataclasses.dataclass(frozen=True)
class Query:
    expression: str
    legend: str = "__auto"
    instant: bool = False
    form: str = "time_series"

    def json(self, index):
        return {"datasource": DATASOURCE, "editorMode": "code",
                "expr": self.expression, "format": self.form,
                "instant": self.instant, "range": not self.instant,
                "legendFormat": self.legend, "refId": chr(ord("A") + index)}


def now(expression, legend="__auto"):
    """The present value alone."""
    return Query(expression, legend, instant=True)


def rows(expression):
    """The present values as the rows of a table, one column a label."""
    return Query(expression, instant=True, form="table")


def percentiles(query, *labels, shares=(0.5, 0.9, 0.95, 0.99)):
    """query(share, ...) for each of the shares, highest first."""
    return [Query(query(share, *labels), f"p{100 * share:g}")
            for share in reversed(shares)]


def colours(by_name):
    return [{"matcher": {"id": "byName", "options": name},
             "properties": [{"id": "color", "value": {
                 "mode": "fixed", "fixedColor": colour}}]}
            for name, colour in by_name.items()]


def to_the_right(pattern, unit):
    """Lines of these names have an axis of their own."""
    return {"matcher": {"id": "byRegexp", "options": pattern},
            "properties": [{"id": "custom.axisPlacement", "value": "right"},
                           {"id": "unit", "value": unit}]}


def thresholds(*steps):
    """(from, colour) in rising order; the first one's from is None."""
    return {"mode": "absolute",
            "steps": [{"value": value, "color": colour}
                      for value, colour in steps]}


NO_THRESHOLDS = thresholds((None, BLUE))


def panel(kind, title, description, unit, queries, options, *, width, height,
          custom=None, overrides=(), step=None, transformations=(),
          empty="no data", thresholds=NO_THRESHOLDS, colour=None, **field):
    """`field` may set min, max, decimals and mappings."""
    defaults = {"unit": unit, "noValue": empty, "thresholds": thresholds,
                "color": colour or {"mode": "palette-classic"},
                "custom": custom or {}, "mappings": [], **field}
    made = {"type": kind, "title": title, "description": description,
            "datasource": DATASOURCE, "options": options,
            "targets": [query.json(i) for i, query in enumerate(queries)],
            "fieldConfig": {"defaults": defaults,
                            "overrides": list(overrides)},
            "gridPos": {"w": width, "h": height}}
    if step:
        made["interval"] = step
    if transformations:
        made["transformations"] = list(transformations)
    return made


def lines(title, description, unit, queries, *, width=12, height=8,
          stacked=None, legend="list", log=False, **rest):
    """Over time. stacked: "normal" or "percent"."""
    custom = {
        "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1,
        "fillOpacity": 60 if stacked else 8, "gradientMode": "none",
        "showPoints": "auto", "pointSize": 4,
        # What comes each minute is still one line.
        "spanNulls": 90000,
        "stacking": {"mode": stacked or "none", "group": "A"},
        "axisPlacement": "auto", "axisBorderShow": False,
        "scaleDistribution": ({"type": "log", "log": 10} if log
                              else {"type": "linear"}),
        "thresholdsStyle": {
            "mode": "dashed" if "thresholds" in rest else "off"}}
    options = {
        "legend": {"showLegend": True, "displayMode": legend,
                   "placement": "right" if legend == "table" else "bottom",
                   "calcs": (["mean", "lastNotNull"] if legend == "table"
                             else [])},
        "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": False}}
    rest.setdefault("min", 0)
    if rest["min"] is None or log:
        del rest["min"]
    return panel("timeseries", title, description, unit, queries, options,
                 width=width, height=height, custom=custom, **rest)


def heatmap(title, description, unit, expression, counted, *, width=12,
            height=8, step="5s"):
    """A histogram's buckets over time; `counted` is what a cell counts."""
    options = {
        "calculate": False, "cellGap": 1,
        "cellValues": {"unit": f"suffix: {counted}", "decimals": 0},
        "color": {"mode": "scheme", "scheme": "Viridis", "scale": "exponential",
                  "exponent": 0.5, "steps": 64, "reverse": False,
                  "fill": "dark-orange"},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        # Cells that count nothing stay empty.
        "filterValues": {"le": 1e-9},
        "legend": {"show": True}, "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True,
                    "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit}}
    query = Query(expression, "{{le}}", form="heatmap")
    return panel("heatmap", title, description, unit, [query], options,
                 width=width, height=height, step=step,
                 empty=f"no {counted} in this time",
                 custom={"hideFrom": {"legend": False, "tooltip": False,
                                      "viz": False}})


def stat(title, description, unit, queries, *, width=4, height=4, graph=False,
         **rest):
    options = {
        "colorMode": "value", "graphMode": "area" if graph else "none",
        "justifyMode": "auto", "textMode": "auto", "orientation": "auto",
        "wideLayout": True, "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "",
                          "values": False}}
    return panel("stat", title, description, unit, queries, options,
                 width=width, height=height, colour={"mode": "thresholds"},
                 **rest)


def by(label):
    """Rows in the order of a label; rows that are alike keep theirs."""
    return {"id": "sortBy", "options": {
        "fields": {}, "sort": [{"field": label, "desc": False}]}}


def matrix(column, row):
    """One row for each value of a label, one column for each of another."""
    return (by(column), by(row),
            {"id": "groupingToMatrix", "options": {
                "rowField": row, "columnField": column, "valueField": "Value",
                "emptyValue": "null"}})


def bars(title, description, unit, expression, row, column=None, *, width=12,
         height=9, **rest):
    """A group of bars for each value of `row`, one bar for each of `column`."""
    options = {
        "orientation": "vertical", "barWidth": 0.9, "groupWidth": 0.8,
        "barRadius": 0.05, "stacking": "none", "showValue": "auto",
        "fullHighlight": False, "xTickLabelRotation": 0,
        "xTickLabelMaxLength": 0, "xTickLabelSpacing": 0,
        "legend": {"showLegend": column is not None, "displayMode": "list",
                   "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none", "hideZeros": False}}
    if column:
        transformations = matrix(column, row)
        options["xField"] = f"{row}\\{column}"
    else:
        transformations = (
            by(row),
            {"id": "organize", "options": {
                "excludeByName": {"Time": True}, "indexByName": {},
                "renameByName": {}, "includeByName": {}}})
        options["xField"] = row
    return panel("barchart", title, description, unit, [rows(expression)],
                 options, width=width, height=height,
                 custom={"fillOpacity": 80, "lineWidth": 0,
                         "gradientMode": "none", "axisPlacement": "auto",
                         "axisBorderShow": False,
                         "thresholdsStyle": {"mode": "off"}},
                 transformations=transformations, **{"min": 0, **rest})


def table(title, description, unit, expression, transformations, *, width=24,
          height=6, coloured=False, **rest):
    cell = {"type": "color-background", "mode": "gradient"} if coloured else {
        "type": "auto"}
    return panel("table", title, description, unit, [rows(expression)],
                 {"frameIndex": 0, "showHeader": True, "cellHeight": "sm",
                  "sortBy": []},
                 width=width, height=height,
                 custom={"align": "auto", "cellOptions": cell,
                         "inspect": False, "filterable": False},
                 transformations=transformations, **rest)


@dataclasses.dataclass(frozen=True)
class Row:
    title: str
    panels: list


def lay_out(board_rows):
    """Panels from left to right and from top to bottom, with their ids."""
    placed, y = [], 0
    for row in board_rows:
        placed.append({"type": "row", "title": row.title, "collapsed": False,
                       "panels": [],
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})
        x, y, tallest = 0, y + 1, 0
        for each in row.panels:
            place = each["gridPos"]
            if x + place["w"] > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            placed.append({**each, "gridPos": {**place, "x": x, "y": y}})
            x += place["w"]
            tallest = max(tallest, place["h"])
        y += tallest
    return [{"id": i, **each} for i, each in enumerate(placed, start=1)]


def choose_instance():
    return {"name": "instance", "label": "Server", "type": "query",
            "description": "The servers whose figures are added up.",
            "datasource": DATASOURCE, "multi": True, "includeAll": True,
            "allValue": ".*", "refresh": 2, "sort": 1, "hide": 0,
            "current": {"text": ["All"], "value": ["$__all"]},
            "query": {"qryType": 1, "refId": "instance",
                      "query": "label_values(kvrecall_serving, instance)"}}


def choose_label(label, metric, title, description, current):
    return {"name": label, "label": title, "type": "query",
            "description": description, "datasource": DATASOURCE,
            "multi": False, "includeAll": False, "refresh": 2, "sort": 1,
            "hide": 0, "current": {"text": current, "value": current},
            "query": {
                "qryType": 1, "refId": label,
                "query": "label_values("
                         f'{metric}{{instance=~"$instance"}}, {label})'}}


def dashboard(uid, title, description, board_rows, *, variables=(), since,
              refresh):
    return {
        "uid": uid, "title": title, "description": description,
        "tags": ["kvrecall"], "schemaVersion": 41, "version": 1,
        "editable": False, "graphTooltip": 1, "timezone": "browser",
        "time": {"from": f"now-{since}", "to": "now"}, "refresh": refresh,
        "timepicker": {"refresh_intervals":
                       ["1s", "5s", "10s", "30s", "1m", "5m"]},
        "annotations": {"list": []},
        # The other dashboard, with the same time and servers.
        "links": [{"type": "dashboards", "tags": ["kvrecall"],
                   "title": "kvrecall", "tooltip": "", "icon": "external link",
                   "asDropdown": False, "includeVars": True, "keepTime": True,
                   "targetBlank": False}],
        "templating": {"list": [
            {"name": "datasource", "label": "Data source",
             "type": "datasource", "query": "prometheus", "hide": 0,
             "description": "The Prometheus that scrapes the servers.",
             "multi": False, "includeAll": False,
             "current": {"text": "Prometheus",
                         "value": "kvrecall-prometheus"}},
            choose_instance(), *variables]},
        "panels": lay_out(board_rows)}
