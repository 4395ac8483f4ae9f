"""PromQL of the panels.

Every rate is over Grafana's $__rate_interval, and every selector follows the
dashboard's choice of instances. A mean divides by what is above 0 only, so that
a policy that no step had gives no line, instead of NaN.
"""


def select(metric, *labels):
    inside = ", ".join(('instance=~"$instance"', *labels))
    return f"{metric}{{{inside}}}"


def aggregate(operator, expression, by=()):
    clause = f" by ({', '.join(by)})" if by else ""
    return f"{operator}{clause} ({expression})"


def gauge(metric, *labels, by=(), operator="sum"):
    return aggregate(operator, select(metric, *labels), by)


def rate(metric, *labels, by=()):
    """A second."""
    return aggregate(
        "sum", f"rate({select(metric, *labels)}[$__rate_interval])", by)


def increase(metric, *labels, by=(), window="$__range"):
    return aggregate("sum", f"increase({select(metric, *labels)}[{window}])",
                     by)


def ratio(above, below):
    return f"{above} / ({below} > 0)"


def share(parts, whole):
    """Each part of what is summed over all labels."""
    return f"{parts} / on () group_left () ({whole} > 0)"


def mean(histogram, *labels, by=()):
    return ratio(rate(f"{histogram}_sum", *labels, by=by),
                 rate(f"{histogram}_count", *labels, by=by))


def mean_in_range(total, count, *labels, by=()):
    """The mean over all of the time that the dashboard shows."""
    return ratio(increase(total, *labels, by=by),
                 increase(count, *labels, by=by))


def percentile(share, histogram, *labels, by=()):
    buckets = rate(f"{histogram}_bucket", *labels, by=(*by, "le"))
    return f"histogram_quantile({share}, {buckets})"


def heat(histogram, *labels):
    return increase(f"{histogram}_bucket", *labels, by=("le",),
                    window="$__rate_interval")
