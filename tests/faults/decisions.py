"""Planted faults of statistics, comparisons and reports."""

from __future__ import annotations

FAULTS = {
    "an ablation whose intervals are those of one comparison alone": (
        "import gelu_patch.reporting.comparing.ablation as m;m.holm_levels = lambda p, alpha: [alpha] * len(p)",
        "tests/reporting/comparing/test_ablation.py::test_one_of_many_that_is_better_by_luck_is_not_told_apart",
    ),
    "an ablation with the first arm as its baseline, whatever was named": (
        "import gelu_patch.reporting.comparing.ablation as m; real = m.ablation_report;"
        "m.ablation_report = lambda title, arms, baseline, **k: real(title, arms, baseline=next(iter(arms)), **k)",
        "tests/reporting/comparing/test_ablation.py::test_the_baseline_is_the_one_that_was_named",
    ),
    "a diverged arm that is ranked by the seeds that did not": (
        "import gelu_patch.reporting.comparing.ablation as m; real = m._summary;"
        "m._summary = lambda values, runs: real(values, runs) | {'diverged': 0}",
        "tests/reporting/comparing/test_ablation.py::test_a_diverged_arm_is_last_and_compared_with_none_and_the_others_stay",
    ),
    "Wald instead of Tango": (
        "import gelu_patch.stats.paired as m, math\n"
        "def wald(b, c, n, level=0.95):\n"
        "    d = (c - b) / n; w = 1.96 * math.sqrt(max(b + c - (b - c) ** 2 / n, 0)) / n\n"
        "    return (d - w, d + w)\n"
        "m.tango_interval = wald",
        "tests/stats/test_paired.py",
    ),
    "a false pass at the margin by Wald's limit": (
        "import gelu_patch.stats.paired as m, numpy as np\n"
        "def wald(b, c, n, *, z=m.Z_95):\n"
        "    b, c = np.asarray(b, float), np.asarray(c, float)\n"
        "    return (c - b) / n - z * np.sqrt(np.maximum(b + c - (c - b) ** 2 / n, 0)) / n\n"
        "m.tango_lower = wald",
        "tests/stats/test_grids.py::test_accuracy_at_the_margin",
    ),
    "a margin with its sign turned round": (
        "import gelu_patch.reporting.comparing.states as m; real = m.quality_state\n"
        "m.quality_state = lambda interval, margin, **k: real(interval, -margin, **k)\n"
        "import gelu_patch.reporting.comparing.quality as q; q.quality_state = m.quality_state",
        "tests/reporting/comparing/test_quality.py::test_the_minimum_is_a_sharp_edge",
    ),
    "a loss compared with the wrong sign": (
        "import gelu_patch.reporting.comparing.quality as m; real = m.nll_result\n"
        "m.nll_result = lambda before, after, policy, **k: real(after, before, policy, **k)",
        "tests/reporting/comparing/test_language_models.py::test_a_worse_loss_must_not_ship",
    ),
    "differences that rest on three examples": (
        "import gelu_patch.stats.bootstrap as m; m.MINIMUM_EFFECTIVE_COUNT = 0.0",
        "tests/stats/test_extremes.py::test_ten_examples_must_carry_the_difference",
    ),
    "a percentile bootstrap in the place of the studentised one": (
        "import gelu_patch.stats.bootstrap as m, numpy as np\n"
        "real = m.t_statistics\n"
        "m.t_statistics = lambda centre, square, n: -np.sqrt(n) * centre",
        "tests/stats/test_grids.py::test_loss_at_the_margin",
    ),
    "a bootstrap of the arms apart": (
        "import gelu_patch.stats.counts as m, numpy as np\n"
        "real = m._difference\n"
        "def apart(sums, n, metric):\n"
        "    before, after = m._arms(sums, n)\n"
        "    return metric(after) - np.roll(metric(before), 1)\n"
        "m._difference = apart",
        "tests/stats/test_counts.py::test_the_interval_is_that_of_scikit_learn_on_resampled_examples",
    ),
    "F1 believed with few flips": (
        "import gelu_patch.stats.counts as m; m.MINIMUM_DISCORDANT = 0",
        "tests/reporting/comparing/test_gates.py::test_few_discordant_examples_refuse_f1_and_say_how_many_would_do",
    ),
    "groups that are forgotten": (
        "import gelu_patch.reporting.comparing.quality as m; m._groups = lambda predictions: None",
        "tests/reporting/comparing/test_gates.py::test_groups_shrink_the_counts_of_accuracy",
    ),
    "the examples of all seeds in one pool": (
        "import gelu_patch.reporting.comparing.seed_quality as m, gelu_patch.stats.seeds as s, dataclasses\n"
        "def pooled(one, other, **k):\n"
        "    found = s.seed_paired_t(one, other, **k); half = 1e-4\n"
        "    return dataclasses.replace(found, interval=(found.mean - half, found.mean + half))\n"
        "m.seed_paired_t = pooled",
        "tests/reporting/comparing/test_seed_arms.py::test_the_interval_is_students_over_the_seeds_and_not_over_the_examples",
    ),
    "a diverged seed that is dropped": (
        "import gelu_patch.reporting.comparing.seed_quality as m; real = m.seed_results\n"
        "m.seed_results = lambda pairs, policy: real([p for p in pairs if p.whole], policy)\n"
        "import gelu_patch.reporting.comparing.compare as c; c.seed_results = m.seed_results",
        "tests/reporting/comparing/test_seed_arms.py::test_a_diverged_run_is_shown_and_not_dropped",
    ),
    "the best of many without a correction": (
        "import gelu_patch.reporting.comparing.compare as m; m.holm = lambda p: list(p)",
        "tests/reporting/comparing/test_gates.py::test_several_candidates_are_corrected_by_holm",
    ),
    "a failed clock before a proven harm": (
        "import gelu_patch.reporting.comparing.verdict as m; real = m._first_rule_that_applies\n"
        "def first(evidence):\n"
        "    broken = [r for r in evidence.latency if r.state == 'INVALID']\n"
        "    return ('INVALID', 'clock') if broken else real(evidence)\n"
        "m._first_rule_that_applies = first",
        "tests/reporting/comparing/test_verdict.py::test_which_rule_wins",
    ),
    "a metric that is missing and passes": (
        "import gelu_patch.reporting.policy.margins as m; real = m.make_policy\n"
        "def lax(*a, **k):\n"
        "    policy = real(*a, **k); policy.required = []; return policy\n"
        "import gelu_patch.reporting.policy.policy_file as f; f.make_policy = lax",
        "tests/cli/test_compare.py::test_a_missing_metric_is_no_pass",
    ),
    "a margin that was changed afterwards and passes for the old one": (
        "import gelu_patch.reporting.policy.policy_file as m; m.read_fixed_policy = lambda folder: None",
        "tests/reporting/policy/test_policy_file.py::test_a_margin_changed_afterwards_is_on_the_banner",
    ),
    "processes that are taken for one": (
        "import gelu_patch.stats.timing as m; m._spread_out = lambda logs, *rest: [m.np.concatenate(logs)]",
        "tests/stats/test_timing.py::test_three_processes_cover_equal_arms_as_often_as_promised",
    ),
    "a plot without words": (
        "import gelu_patch.reporting.rendering.plots.canvas as m; real = m._inline;"
        "m._inline = lambda svg, alt: real(svg, '')",
        "tests/reporting/rendering/test_html.py::test_every_plot_has_words_and_a_table",
    ),
    "a page that believes the names that it is given": (
        "import jinja2, functools; real = jinja2.Environment.__init__\n"
        "def init(self, *args, **options): real(self, *args, **{**options, 'autoescape': False})\n"
        "jinja2.Environment.__init__ = init",
        "tests/reporting/rendering/test_injection.py::test_the_page_has_no_element_of_theirs",
    ),
    "a margin on the better side": (
        "import gelu_patch.reporting.rendering.plots.quality as m; real = m._difference_panel\n"
        "def panel(axes, metric, comparisons):\n"
        "    turned = [c.model_copy(deep=True) for c in comparisons]\n"
        "    for r in (r for c in turned for r in c.results): r.margin = -r.margin\n"
        "    real(axes, metric, turned)\n"
        "m._difference_panel = panel",
        "tests/reporting/rendering/test_plots.py::test_the_margin_stands_on_the_side_of_worse",
    ),
    "a Markdown cell that ends its table": (
        "import gelu_patch.reporting.rendering.markdown as m; m.escape = str",
        "tests/reporting/rendering/test_injection.py::test_markdown_holds_no_html_link_image_or_heading_of_theirs",
    ),
    "a terminal that is steered by a name": (
        "import gelu_patch.reporting.rendering.console as m; m.printable_model = lambda model: model",
        "tests/reporting/rendering/test_injection.py::test_a_terminal_is_not_steered_and_markup_is_text",
    ),
    "a model card that forgets what others wrote": (
        "import gelu_patch.reporting.rendering.model_card as m; m._with_section = lambda text, section, path: section",
        "tests/reporting/rendering/test_model_card.py::test_the_rest_of_a_card_stays",
    ),
}
