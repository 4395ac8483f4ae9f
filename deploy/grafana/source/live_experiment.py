"""Live experiment: what a researcher watches while a run goes on.

From top to bottom: how far it is, how sure the model is, what the policies would
have held, both against each other, and what the model would have said.
"""

from . import panels as p
from . import queries as q

POLICY, BUDGET = 'policy="$policy"', 'budget="$budget"'
DONE = 'outcome=~"ok|length"'
NO_STEPS = "no steps in this time"
NO_GAPS = "no gap lanes in this time (submit --gap)"
RECALL = {"min": 0, "max": 1, "decimals": 3, "empty": NO_STEPS}
POLICY_LINES = p.colours(p.POLICY_COLOURS)


def progress():
    ended = q.increase("kvrecall_samples_total")
    left = " + ".join((q.gauge("kvrecall_samples_running"),
                       q.gauge("kvrecall_samples_waiting")))
    return p.Row("Progress", [
        p.stat("Done, of all",
               "Of the samples that ended in the time shown or are still to do, "
               "those that ended.",
               "percentunit", [p.now(q.ratio(ended, f"{ended} + {left}"))],
               min=0, max=1, empty="nothing to do"),
        p.stat("Time left",
               "Samples running and waiting, at the pace of the last five "
               "minutes of work; the slowest server's. Recorded by "
               "deploy/prometheus/rules.",
               "s",
               [p.now("max (" + q.select("instance:kvrecall_samples_left"
                                         ":eta_seconds") + ")")],
               decimals=1, empty="no sample ended yet"),
        p.stat("Done", "Samples that ended well in the time shown.", "short",
               [p.now(q.increase("kvrecall_samples_total", DONE))], width=3,
               decimals=0),
        p.stat("Running", "Samples in the engine, or made ready for it.",
               "short", [p.now(q.gauge("kvrecall_samples_running"))], width=3),
        p.stat("Waiting", "Samples in the queue.", "short",
               [p.now(q.gauge("kvrecall_samples_waiting"))], width=3),
        p.stat("Failed",
               "Samples that failed or ran out of time in the time shown; "
               "kvrecall-client show RUN says why.",
               "short",
               [p.now(q.increase("kvrecall_samples_total",
                                 'outcome=~"failed|deadline"'))],
               width=3, decimals=0,
               thresholds=p.thresholds((None, p.GREEN), (0.5, p.RED))),
        p.stat("Tokens a second", "Generated tokens, one per decode step.",
               "suffix: tok/s",
               [p.Query(q.rate("kvrecall_generation_tokens_total"))],
               graph=True, decimals=1),
        p.lines("Tokens a second, by task",
                "Left: generated tokens. Right: prompt tokens of the samples "
                "that were started.",
                "suffix: tok/s",
                [p.Query(q.rate("kvrecall_generation_tokens_total",
                                by=("task",)) + " > 0",
                         "{{task}}"),
                 p.Query(q.rate("kvrecall_prompt_tokens_total", by=("task",))
                         + " > 0", "{{task}} prompt")],
                height=7, step="2s", empty="no tokens in this time",
                overrides=[p.to_the_right("/ prompt$/", "suffix: tok/s")]),
        p.lines("Samples that ended, a minute",
                "ok: an end-of-text token. length: the most tokens it may "
                "have. deadline: the run's time limit.",
                "suffix: /min",
                [p.Query("60 * " + q.rate("kvrecall_samples_total",
                                          by=("outcome",)), "{{outcome}}")],
                height=7, stacked="normal", step="10s",
                overrides=p.colours(p.OUTCOME_COLOURS)),
    ])


def entropy():
    steps = "kvrecall_entropy_steps_total"
    return p.Row("How sure the model is", [
        p.heatmap("Entropy of the next token",
                  "Each step's entropy before the token is chosen, in nats; 0 "
                  "is certain, ln of the vocabulary is no idea at all.",
                  "suffix: nats", q.heat("kvrecall_token_entropy_nats"),
                  "steps", height=9),
        p.lines("Entropy, mean and percentiles",
                "Over the steps of each moment. Percentiles are read from "
                "buckets, so they are estimates.",
                "suffix: nats",
                [p.Query(q.percentile(0.9, "kvrecall_token_entropy_nats"),
                         "p90"),
                 p.Query(q.mean("kvrecall_token_entropy_nats"), "mean"),
                 p.Query(q.percentile(0.5, "kvrecall_token_entropy_nats"),
                         "p50")],
                width=6, height=9, step="5s", empty=NO_STEPS),
        p.lines("Steps by entropy",
                "Share of the steps in each bin of entropy, in nats.",
                "percentunit",
                [p.Query(q.share(q.rate(steps, by=("entropy_bin",)),
                                 q.rate(steps)), "{{entropy_bin}}")],
                width=6, height=9, stacked="normal", max=1, step="5s",
                empty=NO_STEPS, overrides=p.colours(p.BIN_COLOURS)),
    ])


def recall():
    histogram = "kvrecall_recall_ratio"
    means = q.mean_in_range(f"{histogram}_sum", f"{histogram}_count",
                            by=("policy", "budget"))
    return p.Row("What the policies would have held", [
        p.lines("Recall by policy, budget $budget",
                "Share of the positions with the highest attention that each "
                "policy would have held; scope global. random is what chance "
                "gives, oracle the ceiling.",
                "none",
                [p.Query(q.mean(histogram, BUDGET, by=("policy",)),
                         "{{policy}}")],
                height=9, legend="table", step="5s", overrides=POLICY_LINES,
                **RECALL),
        p.lines("Recall by budget, policy $policy",
                "The same for one policy: how much more a larger budget holds.",
                "none",
                [p.Query(q.mean(histogram, POLICY, by=("budget",)),
                         "budget {{budget}}")],
                height=9, legend="table", step="5s", **RECALL),
        p.lines("How recall spreads, $policy at $budget",
                "Percentiles over the steps of each moment, estimated from "
                "buckets: the lowest tenth is where the policy fails.",
                "none",
                [p.Query(q.percentile(share, histogram, POLICY, BUDGET),
                         f"p{100 * share:g}")
                 for share in (0.9, 0.75, 0.5, 0.25, 0.1)],
                step="5s", **RECALL),
        p.heatmap("Recall, $policy at $budget",
                  "Each step's recall.", "none",
                  q.heat(histogram, POLICY, BUDGET), "steps"),
        p.table("Mean recall in the time shown",
                "All policies and budgets that steps were computed for; scope "
                "global.",
                "none", means, p.matrix("budget", "policy"), height=7,
                coloured=True, colour={"mode": "continuous-RdYlGr"},
                **RECALL),
    ])


def recall_against_entropy():
    total, steps = "kvrecall_recall_sum_total", "kvrecall_recall_steps_total"
    return p.Row("Recall against entropy", [
        p.bars("Recall by entropy and policy, budget $budget",
               "Mean recall of the steps in each bin of entropy (nats), over "
               "the time shown: does a policy lose what is needed when the "
               "model is unsure? The oracle, always 1, is left out.",
               "none",
               q.mean_in_range(total, steps, BUDGET, 'policy!="oracle"',
                               by=("policy", "entropy_bin")),
               "entropy_bin", "policy", overrides=POLICY_LINES, **RECALL),
        p.bars("Recall by entropy and budget, policy $policy",
               "The same for one policy, at each budget.",
               "none",
               q.mean_in_range(total, steps, POLICY,
                               by=("budget", "entropy_bin")),
               "entropy_bin", "budget", **RECALL),
        p.bars("Steps in each bin",
               "What the bars above rest on: a bin of few steps says little. "
               "Steps of one answer are not independent; kvrecall-client "
               "analyze RUN gives intervals.",
               "short",
               q.increase("kvrecall_entropy_steps_total",
                          by=("entropy_bin",)),
               "entropy_bin", width=24, height=6, decimals=0,
               empty=NO_STEPS),
    ])


def gaps():
    lanes = ("policy", "budget")
    fetched = q.ratio(
        q.rate("kvrecall_positions_fetched_back_total", by=lanes),
        q.rate("kvrecall_recall_steps_total", by=lanes)) + " > 0"
    return p.Row("What the model would have said", [
        p.lines("Divergence, by lane",
                "Mean KL divergence of the next-token distribution with less "
                "to attend from the full model's.",
                "suffix: nats",
                [p.Query(q.mean("kvrecall_gap_kl_nats", by=("lane",)),
                         "{{lane}}")],
                width=8, height=9, step="5s", empty=NO_GAPS),
        # No mean: the sum of what is mostly below 0 falls, and a rate takes
        # each fall for a restart.
        p.lines("Change of the token's log-probability, median by lane",
                "Below 0 the chosen token became less likely. Estimated from "
                "buckets; all below -20 counts as -20.",
                "suffix: nats",
                [p.Query(q.percentile(0.5, "kvrecall_gap_logprob_change_nats",
                                      by=("lane",)), "{{lane}}")],
                width=8, height=9, step="5s", min=None, empty=NO_GAPS),
        p.lines("Positions fetched back a step",
                "What policies with a trigger, such as h2o_evict@entropy(2), "
                "took back into what they hold.",
                "short", [p.Query(fetched, "{{policy}}, {{budget}}")],
                width=8, height=9, step="5s",
                empty="no trigger fetched anything back in this time"),
    ])


def dashboard():
    counted = "; the server counts those of its --metrics-"
    return p.dashboard(
        "kvrecall-live", "kvrecall: live experiment",
        "A study while it runs: progress, entropy, recall of the policies, and "
        "recall against entropy.",
        [progress(), entropy(), recall(), recall_against_entropy(), gaps()],
        variables=[
            p.choose_label("policy", "kvrecall_recall_steps_total", "Policy",
                           f"For panels of one policy{counted}policies.",
                           "h2o"),
            p.choose_label("budget", "kvrecall_recall_steps_total", "Budget",
                           f"For panels of one budget{counted}budgets.",
                           "0.2")],
        since="15m", refresh="1s")
