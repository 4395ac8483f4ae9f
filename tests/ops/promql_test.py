"""The pieces of PromQL that prometheus.py asks for are the right ones."""

import unittest

import promql


class MetricsTest(unittest.TestCase):

    def test_labels_functions_and_strings_are_no_metrics(self):
        self.assertEqual(
            promql.metrics('histogram_quantile(0.9, sum by (le, lane) '
                           '(rate(a_bucket{x=~"b|c", y!="d"}[5m])))'),
            {"a_bucket"})

    def test_both_sides_of_operators(self):
        self.assertEqual(
            promql.metrics("a / on (job) group_left (b) c > 0 or x unless "
                           "on () y and time() - z_seconds"),
            {"a", "c", "x", "y", "z_seconds"})

    def test_recorded_names_and_subqueries(self):
        self.assertEqual(
            promql.metrics("avg_over_time((a:b:c > bool 1e3)[5m:]) * 2h"),
            {"a:b:c"})

    def test_an_aggregation_without_labels(self):
        self.assertEqual(promql.metrics("sum(a) + max without (x) (b)"),
                         {"a", "b"})

    def test_what_is_no_promql_is_refused(self):
        with self.assertRaises(ValueError):
            promql.metrics("a ? b")


class OperandsTest(unittest.TestCase):

    def assert_operands(self, expression, *expected):
        self.assertEqual(promql.operands(expression), list(expected))

    def test_a_comparison_with_a_number(self):
        self.assert_operands("a > 0.01", "a")
        self.assert_operands('up{job="k == 1"} == 0', 'up{job="k == 1"}')
        self.assert_operands("3600 * deriv(a[6h]) > 50 * 2 ^ 20",
                             "3600 * deriv(a[6h])")

    def test_set_operators(self):
        self.assert_operands("rate(a[1m]) == 0 and on (job, instance) b > 0",
                             "rate(a[1m])", "b")
        self.assert_operands("a unless b", "a", "b")

    def test_parentheses(self):
        self.assert_operands("(a > 1 or (b)) > 2", "a", "(b)")
        self.assert_operands("(time() - a) > 7", "(time() - a)")

    def test_comparisons_inside_stay(self):
        self.assert_operands("a / (b > 0) > 0.1", "a / (b > 0)")

    def test_a_comparison_of_two_metrics(self):
        self.assert_operands("a > bool on (job) b", "a", "b")

    def test_no_comparison(self):
        self.assert_operands("sum(a)", "sum(a)")


if __name__ == "__main__":
    unittest.main()
