"""Validates deploy/monitoring, and that it says the same as docs/monitoring.md."""

import itertools
import json
import re
import tempfile
import unittest
from pathlib import Path

import promql_parser
import yaml
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardType
from programs import DEPLOY, HERE, ROOT, needs, output

MONITORING = DEPLOY / "monitoring"
PAGE = ROOT / "docs" / "monitoring.md"
ALERTS = MONITORING / "alerts.yaml"
DASHBOARD = MONITORING / "grafana-dashboard.json"

# The labels that Prometheus adds to each sample.
TARGET_LABELS = {"job", "instance"}


def documented_samples():
    """The samples of docs/monitoring.md: name -> label -> values; `None` for any value."""
    samples = {}
    row = r"(?m)^\| `(afterword_\w+)` \| (\w+) \|([^|]*)\|"
    for name, kind, text in re.findall(row, PAGE.read_text()):
        labels = {}
        for label in filter(None, text.strip().split("; ")):
            key, _, values = label.partition(": ")
            labels[key.strip("`")] = set(re.findall(r"`(\w+)`", values))
        if kind == "histogram":
            samples[f"{name}_bucket"] = {**labels, "le": None}
            samples[f"{name}_sum"] = samples[f"{name}_count"] = labels
        else:
            samples[name] = labels
    return samples


def metric(sample):
    return re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", sample)


def rules():
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def charts():
    return [panel for panel in panels() if panel["type"] != "row"]


def expression(target, job="afterword"):
    """The query as Grafana sends it."""
    text = target["expr"].replace("$__rate_interval", "1m").replace("$job", job)
    assert "$" not in text, text
    return text


def nodes(text):
    found = []
    promql_parser.walk(promql_parser.parse(text), found.append)
    return found


def grouping(node):
    """The labels that an aggregation or an operator names."""
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
        return set(node.modifier.labels)
    if isinstance(node, promql_parser.BinaryExpr) and node.modifier and node.modifier.matching:
        return set(node.modifier.matching.labels)
    return set()


def selectors(text):
    return [node for node in nodes(text) if isinstance(node, promql_parser.VectorSelector)]


class Expressions(unittest.TestCase):
    def expressions(self):
        for rule in rules():
            yield rule["alert"], rule["expr"]
        for panel in charts():
            for target in panel["targets"]:
                yield panel["title"], expression(target)

    def test_they_use_documented_metrics_and_labels_only(self):
        samples = documented_samples()
        for where, text in self.expressions():
            known = set(TARGET_LABELS)
            for selector in selectors(text):
                self.assertIn(selector.name, samples, where)
                labels = samples[selector.name]
                known |= set(labels)
                for matcher in selector.matchers.matchers:
                    if matcher.name in TARGET_LABELS:
                        continue
                    self.assertIn(matcher.name, labels, where)
                    for value in matcher.value.split("|"):
                        self.assertIn(value, labels[matcher.name], where)
            for node in nodes(text):
                self.assertLessEqual(grouping(node), known, where)

    def test_the_dashboard_shows_every_documented_metric(self):
        shown = {
            metric(selector.name)
            for panel in charts()
            for target in panel["targets"]
            for selector in selectors(expression(target))
        }
        self.assertEqual(shown, set(map(metric, documented_samples())))


class Alerts(unittest.TestCase):
    def test_each_says_what_to_do(self):
        headings = re.findall(r"(?m)^### (\w+)$", PAGE.read_text())
        for rule in rules():
            self.assertEqual(rule["annotations"].keys(), {"summary", "description", "runbook_url"})
            path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            self.assertTrue(path.endswith("/blob/main/docs/monitoring.md"), path)
            self.assertIn(rule["alert"], headings)
            self.assertEqual(anchor, rule["alert"].lower())

    def test_the_page_lists_them(self):
        row = r"(?m)^\| \[(\w+)\]\(#\w+\) \| (\w+) \|"
        listed = re.findall(row, PAGE.read_text())
        self.assertEqual(listed, [(rule["alert"], rule["labels"]["severity"]) for rule in rules()])

    @needs("promtool")
    def test_prometheus_accepts_them(self):
        output("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(ALERTS))

    @needs("promtool")
    def test_they_fire_when_they_should(self):
        tests = HERE / "alerts.test.yaml"
        output("promtool", "test", "rules", tests.name, cwd=HERE)
        for rule in rules():
            self.assertIn(rule["alert"], tests.read_text())

    @needs("promtool")
    def test_prometheus_accepts_the_configuration(self):
        with tempfile.TemporaryDirectory() as folder:
            for file in (ALERTS, MONITORING / "prometheus.yaml"):
                (Path(folder) / file.name).write_text(file.read_text())
            (Path(folder) / "admin-token").write_text("secret")
            checked = output("promtool", "check", "config", f"{folder}/prometheus.yaml")
        self.assertIn(f"{len(rules())} rules found", checked)

    def test_kubernetes_gets_the_same_ones(self):
        (commands,) = re.findall(r"```sh\n(kubectl apply .*?)```", PAGE.read_text(), re.DOTALL)
        applied = output("bash", "-c", f"kubectl() {{ cat; }}; {commands}", cwd=ROOT)
        monitor, alerts = yaml.safe_load_all(applied)
        self.assertEqual(alerts["kind"], "PrometheusRule")
        self.assertEqual(alerts["spec"], yaml.safe_load(ALERTS.read_text()))
        (web,) = (
            it
            for it in yaml.safe_load_all((DEPLOY / "kubernetes" / "web.yaml").read_text())
            if it["kind"] == "Deployment"
        )
        pod = web["spec"]["template"]
        selected = monitor["spec"]["selector"]["matchLabels"]
        self.assertLessEqual(selected.items(), pod["metadata"]["labels"].items())
        ports = [port["name"] for it in pod["spec"]["containers"] for port in it["ports"]]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        self.assertIn(endpoint["port"], ports)
        secret = endpoint["authorization"]["credentials"]
        self.assertEqual(secret["name"], "afterword")
        page = (ROOT / "docs" / "deploy" / "kubernetes.md").read_text()
        self.assertIn(f"--from-literal={secret['key']}=", page)


class Dashboard(unittest.TestCase):
    # What an import through Grafana's page needs, beyond the dashboard itself.
    IMPORT = {"__inputs", "__elements", "__requires", "id"}

    def assert_contains(self, whole, part, where):
        """That nothing of `part` was lost in `whole`, which may have defaults in addition."""
        if isinstance(part, dict):
            for key, value in part.items():
                self.assertIn(key, whole, where)
                self.assert_contains(whole[key], value, f"{where}/{key}")
        elif isinstance(part, list):
            self.assertEqual(len(whole), len(part), where)
            for index, (former, latter) in enumerate(zip(whole, part)):
                self.assert_contains(former, latter, f"{where}/{index}")
        else:
            self.assertEqual(whole, part, where)

    def test_grafana_knows_every_member(self):
        dashboard = json.loads(DASHBOARD.read_text())
        for member in self.IMPORT:
            del dashboard[member]
        # The types ignore an unknown member, so it is lost on the way.
        plugins.register_default_plugins()
        parsed = DashboardType.from_json(dashboard)
        written = encoder.JSONEncoder(sort_keys=True).encode(parsed)
        self.assert_contains(json.loads(written), dashboard, "")

    def test_it_can_be_imported(self):
        dashboard = json.loads(DASHBOARD.read_text())
        self.assertRegex(dashboard["uid"], r"^[a-z-]{8,40}$")
        # Grafana gives the number.
        self.assertIsNone(dashboard["id"])
        self.assertGreaterEqual(dashboard["schemaVersion"], 39)
        (source,) = dashboard["__inputs"]
        self.assertEqual((source["type"], source["pluginId"]), ("datasource", "prometheus"))
        placeholders = set(re.findall(r"\$\{(\w+)\}", DASHBOARD.read_text()))
        self.assertEqual(placeholders, {source["name"]})
        required = {it["id"] for it in dashboard["__requires"] if it["type"] == "panel"}
        self.assertEqual(required, {panel["type"] for panel in charts()})
        uids = set(re.findall(r'"uid": "(.*?)"', DASHBOARD.read_text()))
        self.assertEqual(uids, {dashboard["uid"], f"${{{source['name']}}}"})

    def test_each_panel_explains_itself(self):
        known = {unit for unit in vars(units).values() if isinstance(unit, str)}
        for panel in charts():
            self.assertRegex(panel["description"], r"^[A-Z].+\.$", panel["title"])
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], known, panel["title"])

    def test_a_legend_names_labels_that_the_query_keeps(self):
        for panel in charts():
            for target in panel["targets"]:
                kept = set().union(*map(grouping, nodes(expression(target))))
                named = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
                self.assertLessEqual(set(named), kept, panel["title"])

    def test_panels_have_a_place_of_their_own(self):
        ids = [panel["id"] for panel in panels()]
        self.assertEqual(len(ids), len(set(ids)))
        taken = set()
        for panel in panels():
            x, y, w, h = (panel["gridPos"][key] for key in "xywh")
            self.assertLessEqual(x + w, 24, panel["title"])
            cells = set(itertools.product(range(x, x + w), range(y, y + h)))
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    @needs("promtool")
    def test_each_query_has_a_result_and_counts_instances_once(self):
        """Of two jobs with the same numbers, one has two instances. A query shows the same."""
        series = []
        for sample, labels in documented_samples().items():
            values = {label: sorted(it or {"1", "+Inf"}) for label, it in labels.items()}
            for chosen in itertools.product(*values.values()):
                text = "".join(f',{key}="{it}"' for key, it in zip(values, chosen))
                growth = "0+2x80" if 'le="+Inf"' in text else "0+1x80"
                for target in ('job="a",instance="1"', 'job="b",instance="1"',
                               'job="b",instance="2"'):  # fmt: skip
                    series.append({"series": f"{sample}{{{target}{text}}}", "values": growth})
        checks = []
        for panel in charts():
            for target in panel["targets"]:
                one, two = (f"({expression(target, job)})" for job in "ab")
                same = f"count(abs({one} - {two}) < 1e-9) == bool count({one})"
                result = [{"labels": "{}", "value": 1}]
                checks.append({"expr": same, "eval_time": "20m", "exp_samples": result})
        test = {"interval": "15s", "input_series": series, "promql_expr_test": checks}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"rule_files": [], "tests": [test]}, file)
            file.flush()
            output("promtool", "test", "rules", file.name)


if __name__ == "__main__":
    unittest.main()
